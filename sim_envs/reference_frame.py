"""A small picture that is stored: tells whether this machine draws as the one did where it was made.

    python -m dualsys.sim_envs.reference_frame

stores it anew, when the renderer was changed on purpose. It needs no suite: bodies of several shapes, a checkered
floor and a lamp, drawn as everything else is.
"""

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.messages import ImageArray
from dualsys.sim_envs import rendering

SIZE = 32
PATH = Path(str(resources.files("dualsys.sim_envs"))) / "reference_frame.json"
_SCENE = """
<mujoco>
  <asset>
    <texture name="checks" type="2d" builtin="checker" rgb1=".2 .3 .4" rgb2=".8 .7 .6" width="64" height="64"/>
    <material name="checks" texture="checks" texrepeat="4 4" reflectance=".2"/>
  </asset>
  <worldbody>
    <light pos="1 -1 2" dir="-1 1 -2"/>
    <camera name="eye" pos="0 -1.2 .7" xyaxes="1 0 0 0 .5 1"/>
    <geom type="plane" size="1 1 .1" material="checks"/>
    <geom type="sphere" size=".2" pos="-.35 0 .2" rgba=".9 .2 .1 1"/>
    <geom type="capsule" size=".08 .2" pos="0 .2 .3" euler="0 40 20" rgba=".2 .8 .2 1"/>
    <geom type="box" size=".15 .1 .2" pos=".35 0 .2" euler="0 0 30" rgba=".2 .3 .9 .7"/>
  </worldbody>
</mujoco>
"""


def draw_reference_frame() -> ImageArray:
    """The picture as it is drawn here and now, `(32, 32, 3)`. Raises `RenderingError` where nothing can be drawn."""
    mujoco = rendering.import_mujoco()
    model = mujoco.MjModel.from_xml_string(_SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = rendering.Renderer(model, height=SIZE, width=SIZE)
    try:
        return renderer.render(data, "eye")
    finally:
        renderer.close()


@cache
def compare_reference_frame() -> str:
    """`as stored`, or by how much of 255 the picture drawn here differs. Raises `RenderingError` as drawing does."""
    stored: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    pixels = np.frombuffer(bytes.fromhex("".join(stored["pixels"])), np.uint8).reshape(SIZE, SIZE, 3)
    most = int(np.abs(pixels.astype(np.int16) - draw_reference_frame()).max())
    return "as stored" if most == 0 else f"differs from the stored one by up to {most} of 255"


def store_reference_frame(path: Path = PATH) -> None:
    """Write the picture as it is drawn here and now, a row of pixels a line."""
    rows = [row.tobytes().hex() for row in draw_reference_frame()]
    drawn_by = {"mujoco": rendering.import_mujoco().__version__, "renderer": rendering.backend()}
    path.write_text(json.dumps({"drawn_by": drawn_by, "pixels": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    store_reference_frame()
