"""Perturbations of a simulation: bounded by their strength, drawn from the seed, undone to the bit."""

from typing import Any

import mujoco
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dualsys.sim_envs.perturbations.camera_pose import CameraPose
from dualsys.sim_envs.perturbations.draws import factor, rotation, stream
from dualsys.sim_envs.perturbations.edited_model import EditedModel
from dualsys.sim_envs.perturbations.friction import Friction
from dualsys.sim_envs.perturbations.lighting import Lighting
from dualsys.sim_envs.perturbations.mass import Mass
from dualsys.sim_envs.perturbations.pushes import Pushes, pushed, pushed_bodies
from dualsys.sim_envs.perturbations.texture import Texture, background

SCENE = mujoco.MjModel.from_xml_string("""
<mujoco>
  <asset><material name="grey" rgba="0.3 0.4 0.6 0.5"/></asset>
  <worldbody>
    <light name="lamp" pos="0 0 3" dir="0 0.6 -0.8" diffuse="0.5 0.4 0.3" ambient="0.1 0.1 0.1"/>
    <camera name="own" pos="1 2 3" euler="10 20 30"/>
    <camera name="other" pos="3 2 1"/>
    <geom name="floor" type="plane" size="1 1 0.1" material="grey"/>
    <body name="cup" pos="0 0 1"><freejoint/><geom name="cup" size="0.1" mass="0.5"/></body>
    <body name="cabinet"><geom name="cabinet" size="0.1"/>
      <body name="drawer"><joint name="drawer" type="slide"/><geom name="drawer" size="0.1" mass="2"/></body></body>
    <body name="target" mocap="true"><geom name="target" size="0.1"/></body>
    <body name="arm" pos="1 0 1"><joint name="shoulder"/><geom name="arm" size="0.1" mass="3"/>
      <camera name="following" mode="trackcom" pos="0 0 1"/>
      <body name="hand" pos="0 0 0.5"><joint name="wrist"/><geom name="hand" size="0.1" mass="1"/></body></body>
  </worldbody>
  <actuator><motor joint="shoulder"/></actuator>
</mujoco>
""")
CAMERAS = ("own", "following", "nobody's")
strength = st.floats(0.0, 1.0, allow_subnormal=False)
kinds = st.one_of(
    st.builds(Lighting, brightness=strength, tint=strength, turn_rad=strength),
    st.builds(CameraPose, shift_m=strength, turn_rad=strength, zoom=strength),
    st.builds(Texture, mix=strength),
    st.builds(Friction, change_by=strength),
    st.builds(Mass, change_by=strength),
)
seeds = st.integers(0, 2**31)


def bits(model: Any) -> dict[str, bytes]:
    arrays = {name: getattr(model, name) for name in dir(model) if isinstance(getattr(model, name), np.ndarray)}
    light = {name: getattr(model.vis.headlight, name) for name in ("ambient", "diffuse", "specular")}
    return {name: np.asarray(array).tobytes() for name, array in (arrays | light).items()}


PRISTINE = bits(SCENE)


@given(kinds, seeds)
def test_what_is_written_is_drawn_from_the_seed_and_undone_to_the_bit(perturbation: Any, seed: int) -> None:
    def edited() -> tuple[dict[str, bytes], dict[str, float]]:
        edits = EditedModel(SCENE, CAMERAS)
        try:
            drawn = perturbation.change(edits, stream(seed, perturbation.kind))
            return bits(SCENE), drawn
        finally:
            edits.undo()
            assert bits(SCENE) == PRISTINE

    assert edited() == edited()


@given(st.floats(0.0, 99.0), seeds)
def test_factors_are_bounded_and_one_without_strength(change: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert 1 / (1 + change) * (1 - 1e-12) <= factor(rng, change) <= (1 + change) * (1 + 1e-12)
    assert factor(rng, 0.0) == 1.0


@given(seeds, st.floats(-3.0, 3.0))
def test_a_rotation_is_one(seed: int, angle: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    axis /= np.linalg.norm(axis)
    matrix = rotation(axis, angle)
    assert np.allclose(matrix @ matrix.T, np.eye(3))
    assert np.isclose(np.trace(matrix), 1 + 2 * np.cos(angle))
    assert np.allclose(matrix @ axis, axis)


@given(strength, seeds)
def test_masses_and_friction_stay_within_their_factors(change: float, seed: int) -> None:
    edits = EditedModel(SCENE, CAMERAS)
    names = ("body_mass", "body_inertia", "geom_friction")
    mass, inertia, friction = (np.array(getattr(SCENE, name)) for name in names)
    Mass(change_by=change).change(edits, stream(seed, "mass"))
    Friction(change_by=change).change(edits, stream(seed, "friction"))
    moving = mass > 0
    moving[SCENE.body("cabinet").id] = moving[SCENE.body("target").id] = False
    factors = SCENE.body_mass[moving] / mass[moving]
    assert np.all((factors >= 1 / (1 + change) - 1e-9) & (factors <= 1 + change + 1e-9))
    assert np.allclose(SCENE.body_inertia[moving], inertia[moving] * factors[:, None])
    arm, hand = (SCENE.body_mass[SCENE.body(name).id] / mass[SCENE.body(name).id] for name in ("arm", "hand"))
    assert np.isclose(arm, hand)  # what hangs together gets heavier together
    ratios = SCENE.geom_friction / friction
    assert np.allclose(ratios, ratios[0, 0])
    assert 1 / (1 + change) - 1e-9 <= ratios[0, 0] <= 1 + change + 1e-9
    edits.undo()


@given(strength, strength, seeds)
def test_only_the_policys_cameras_move_and_no_further(shift_m: float, turn_rad: float, seed: int) -> None:
    edits = EditedModel(SCENE, CAMERAS)
    places, frames = np.array(SCENE.cam_pos), np.array(SCENE.cam_quat)
    CameraPose(shift_m=shift_m, turn_rad=turn_rad).change(edits, stream(seed, "camera"))
    moved = np.abs(SCENE.cam_pos - places).max(axis=1)
    turned = 2 * np.arccos(np.clip(np.abs(np.sum(SCENE.cam_quat * frames, axis=1)), 0.0, 1.0))
    assert np.all(moved <= shift_m + 1e-12)
    assert np.all(turned <= turn_rad + 1e-6)
    other = SCENE.camera("other").id
    assert moved[other] == turned[other] == 0.0
    edits.undo()


@given(strength, seeds)
def test_only_what_never_moves_is_painted(mix: float, seed: int) -> None:
    edits = EditedModel(SCENE, CAMERAS)
    before = np.array(SCENE.geom_rgba)
    Texture(mix=mix).change(edits, stream(seed, "texture"))
    assert [SCENE.geom(geom).name for geom in background(SCENE)] == ["floor"]
    colour = SCENE.geom_rgba[SCENE.geom("floor").id]
    assert np.all(np.abs(colour[:3] - [0.3, 0.4, 0.6]) <= mix + 1e-6)  # of its material, which it had
    assert colour[3] == 0.5
    others = [SCENE.geom(name).id for name in ("cup", "cabinet", "drawer", "target", "arm", "hand")]
    assert np.array_equal(SCENE.geom_rgba[others], before[others])
    edits.undo()


@given(seeds, st.floats(0.1, 5.0), st.floats(0.02, 0.5))
def test_a_push_gives_an_unheld_body_the_speed_that_is_asked_for(seed: int, speed_m_s: float, lasts_s: float) -> None:
    pushes = Pushes(speed_m_s=speed_m_s, every_s=0.5, lasts_s=lasts_s)
    dt_s = 0.02
    assert {SCENE.body(body).name for body in pushed_bodies(SCENE)} == {"arm", "hand"}
    forces = [pushes.force_at(SCENE, seed=seed, step=step, dt_s=dt_s) for step in range(25)]
    lasting = [force for force in forces if force is not None]
    assert len(lasting) == max(1, round(lasts_s / dt_s))
    impulse = sum(np.linalg.norm(newtons) * dt_s for _, newtons in lasting)
    speed = impulse / SCENE.body_subtreemass[lasting[0][0]]
    assert 0.5 * speed_m_s * (1 - 1e-9) <= speed <= speed_m_s * (1 + 1e-9)


def test_a_push_leaves_the_tasks_own_forces() -> None:
    data = mujoco.MjData(SCENE)
    data.xfrc_applied[2, :3] = own = np.array([0.1, 0.2, 0.3])
    with pushed(data, (2, np.array([1.0, 0.0, -1.0]))):
        assert np.allclose(data.xfrc_applied[2, :3], own + np.array([1.0, 0.0, -1.0]))
    assert np.array_equal(data.xfrc_applied[2, :3], own)
    with pushed(data, (2, np.ones(3))):
        data.xfrc_applied[2, :3] = 7.0  # the task writes its own meanwhile
    assert np.array_equal(data.xfrc_applied[2, :3], [7.0, 7.0, 7.0])
