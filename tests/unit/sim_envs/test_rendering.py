import os
import subprocess
import sys
import threading

import mujoco
import numpy as np
import pytest

from dualsys.messages import ImageArray
from dualsys.sim_envs.rendering import Renderer, backend

SCENE = """
<mujoco>
  <visual><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual>
  <worldbody>
    <camera name="front" pos="0 -1 0" xyaxes="1 0 0 0 0 1" fovy="45"/>
    <geom name="ball" type="sphere" pos=".1 0 .1" size=".1" rgba="1 0 0 1"/>
    <geom type="sphere" pos="-.2 0 0" size=".1" rgba="0 1 0 1" group="3"/>
  </worldbody>
</mujoco>
"""


def scene() -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def in_a_process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**inherited, **environment},
        check=False,
        timeout=120,
    )


def test_a_picture_shows_what_is_there_the_right_way_up_and_no_collision_shapes() -> None:
    model, data = scene()
    renderer = Renderer(model, height=40, width=60)
    image = renderer.render(data, "front")
    renderer.close()
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    rows, columns = np.nonzero((image[..., 0] > 200) & (image[..., 1] < 50))
    assert rows.size > 20
    assert rows.mean() < 20, "the ball is above the camera's axis"
    assert columns.mean() > 30, "the ball is to the right of it"
    assert not ((image[..., 1] > 200) & (image[..., 0] < 50)).any(), "group 3 holds collision shapes"


def test_pictures_are_the_callers_own() -> None:
    model, data = scene()
    renderer = Renderer(model, height=16, width=16)
    first = renderer.render(data, "front")
    kept = first.copy()
    model.geom("ball").rgba[:] = (0, 0, 1, 1)
    second = renderer.render(data, "front")
    renderer.close()
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_every_thread_gets_the_same_picture_and_closing_twice_is_fine() -> None:
    model, data = scene()
    renderer = Renderer(model, height=32, width=32)
    images: list[ImageArray] = [renderer.render(data, "front")]

    def render() -> None:
        images.append(renderer.render(data, "front"))
        renderer.close()

    for _ in range(2):
        thread = threading.Thread(target=render)
        thread.start()
        thread.join()
    images.append(renderer.render(data, "front"))
    renderer.close()
    renderer.close()
    assert len(images) == 4
    assert all(np.array_equal(image, images[0]) for image in images)


def test_the_backend_is_named() -> None:
    assert backend() in ("egl", "osmesa")


def test_a_process_ends_without_noise_when_a_renderer_was_never_closed() -> None:
    program = f"""
import mujoco
from dualsys.sim_envs.rendering import Renderer
model = mujoco.MjModel.from_xml_string('''{SCENE}''')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderers = [Renderer(model, height=16, width=16) for _ in range(2)]
print([r.render(data, "front").shape for r in renderers])
"""
    done = in_a_process(program)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MUJOCO_GL": "off"}, "switched off by MUJOCO_GL=off"),
        ({"MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_FILENAMES": "/nowhere.json"}, "apt-get install -y libegl1"),
    ],
)
def test_a_machine_that_cannot_render_gets_one_clear_error(environment: dict[str, str], said: str) -> None:
    done = in_a_process("from dualsys.sim_envs.rendering import backend; backend()", **environment)
    assert done.returncode == 1
    assert "RenderingError" in done.stderr.splitlines()[-1]
    assert said in done.stderr.splitlines()[-1]


def test_without_an_egl_display_osmesa_is_tried() -> None:
    program = """
from dualsys.errors import RenderingError
from dualsys.sim_envs.rendering import backend
try:
    print(backend())
except RenderingError as error:
    print(error)
"""
    done = in_a_process(program, __EGL_VENDOR_LIBRARY_FILENAMES="/nowhere.json")
    assert done.stdout.strip() == "osmesa" or "OSMesa, as EGL finds no display" in done.stdout


@pytest.mark.slow
def test_forked_processes_draw_until_the_first_has_drawn_and_are_refused_then() -> None:
    """gymnasium's AsyncVectorEnv forks, after an environment of its own for the spaces: drivers hung there for ever."""
    program = """
import gymnasium
import dualsys.sim_envs.gymnasium_ids  # imports every suite, of which some load a window system

def pictures():
    made = gymnasium.make_vec("dualsys/humanoid-touch-v0", num_envs=2, vectorization_mode="async", image_size=32)
    try:
        return made.reset(seed=1)[0]["images"]["head"]
    finally:
        made.close(terminate=True)

print(pictures().std() > 1)
gymnasium.make("dualsys/humanoid-touch-v0", image_size=32).reset(seed=1)
try:
    pictures()
except Exception as error:
    print(error)
"""
    done = in_a_process(program)
    assert done.stdout.startswith("True\n"), done.stderr
    assert 'vector_kwargs={"context": "spawn"}' in done.stdout
