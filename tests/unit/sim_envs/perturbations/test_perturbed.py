"""Perturbations on real tasks: what each changes, what it leaves alone, and that it is undone."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.errors import ConfigError
from dualsys.protocols import Mirrored, Perturbable, Privileged, Rendered, Rewindable
from dualsys.sim_envs.perturbations.camera_pose import CameraPose
from dualsys.sim_envs.perturbations.drop_out import DropOut
from dualsys.sim_envs.perturbations.friction import Friction
from dualsys.sim_envs.perturbations.lighting import Lighting
from dualsys.sim_envs.perturbations.mass import Mass
from dualsys.sim_envs.perturbations.paraphrase import Paraphrase
from dualsys.sim_envs.perturbations.perturbed import Perturbed
from dualsys.sim_envs.perturbations.presets import PRESETS, Perturbation
from dualsys.sim_envs.perturbations.pushes import Pushes, pushed_bodies
from dualsys.sim_envs.perturbations.sensor_noise import SensorNoise
from dualsys.sim_envs.perturbations.texture import Texture, background
from dualsys.testing import fake_embodiment
from dualsys.testing.fake_environment import ReachEnvironment

TASKS = ("humanoid/touch", "dm_control/cheetah-run")
ZERO: tuple[Perturbation, ...] = (
    Lighting(), CameraPose(), Texture(), Friction(), Mass(), Pushes(), SensorNoise(), DropOut(), Paraphrase(),
)  # fmt: skip
SEVERE = PRESETS["all"]["severe"]


@pytest.fixture(scope="module", params=TASKS)
def plain(request: pytest.FixtureRequest) -> Iterator[Any]:
    environment = sim_envs.make(request.param, image_size=32, images="on-demand")
    yield environment
    environment.close()


def model_bits(environment: Any) -> dict[str, bytes]:
    model, _ = environment.simulation()
    arrays = {name: getattr(model, name) for name in dir(model) if isinstance(getattr(model, name), np.ndarray)}
    headlight = model.vis.headlight
    light = {name: getattr(headlight, name) for name in ("ambient", "diffuse", "specular")}
    return {name: np.asarray(array).tobytes() for name, array in (arrays | light).items()}


def played(environment: Any, seed: int = 5, steps: int = 12) -> list[Any]:
    """All that an episode gives: states, first and last picture, words, rewards."""
    environment.reset(seed=seed)
    seen: list[Any] = [environment.instruction]
    camera = environment.embodiment.cameras[0].name
    middle = (environment.embodiment.lower + environment.embodiment.upper) / 2
    for step in range(steps):
        observation = environment.observe()
        seen += [observation.state.tobytes(), observation.instruction]
        if step in (0, steps - 1):
            seen.append(observation.images[camera].tobytes())
        seen.append(environment.step(middle)[1])
    return seen


def put_on(plain: Any, *perturbations: Perturbation) -> Perturbed:
    return Perturbed(plain, perturbations)


def test_without_strength_everything_is_as_without(plain: Any) -> None:
    expected, model = played(plain), model_bits(plain)
    assert played(put_on(plain, *ZERO)) == expected
    assert model_bits(plain) == model


@pytest.fixture(scope="module")
def table() -> Iterator[Any]:
    environment = sim_envs.make("humanoid/touch", image_size=32, images="on-demand")
    yield environment
    environment.close()


@pytest.mark.parametrize("index", range(len(SEVERE)), ids=[each.kind for each in SEVERE])
def test_each_is_undone_and_drawn_again_to_the_bit(table: Any, index: int) -> None:
    expected, model = played(table), model_bits(table)
    perturbed = put_on(table, SEVERE[index])
    first = played(perturbed)
    assert (first != expected) == (SEVERE[index].kind != "pushes")  # none is due in these few steps
    assert played(perturbed) == first
    perturbed.close()
    assert played(table) == expected
    assert model_bits(table) == model


def test_all_together_are_undone_and_drawn_again_whatever_was_played_before(plain: Any) -> None:
    expected, model = played(plain), model_bits(plain)
    perturbed = put_on(plain, *SEVERE)
    first = played(perturbed)
    assert played(perturbed, seed=8) != first
    assert played(perturbed) == first
    perturbed.close()
    assert played(plain) == expected
    assert model_bits(plain) == model


def test_one_on_another_is_both_at_once(table: Any) -> None:
    first = (Lighting(brightness=1.0), SensorNoise(state_std=0.1), Paraphrase(share=1.0))
    then = (Friction(change_by=1.0), Mass(change_by=1.0), DropOut(cameras=0.5, states=0.5))
    at_once = put_on(table, *first, *then)
    expected = played(at_once)
    at_once.close()
    inner = put_on(table, *first)
    outer = put_on(inner, *then)
    assert played(outer) == expected
    assert outer.truth is table
    outer.close()


def test_adding_a_kind_leaves_the_draws_of_the_others(plain: Any) -> None:
    def drawn(*perturbations: Perturbation) -> dict[str, float]:
        _, info = put_on(plain, *perturbations).reset(seed=3)
        plain.reset(seed=3)
        return {name: value for name, value in info.items() if name.startswith("perturbed.friction")}

    alone = drawn(Friction(change_by=1.0))
    assert alone == drawn(Mass(change_by=1.0), Lighting(brightness=1.0), Friction(change_by=1.0))
    assert 0.5 <= alone["perturbed.friction.factor"] <= 2.0


def test_friction_and_mass_are_what_info_says(plain: Any) -> None:
    plain.reset(seed=4)
    model, _ = plain.simulation()
    friction, mass, inertia = np.array(model.geom_friction), np.array(model.body_mass), np.array(model.body_inertia)
    perturbed = put_on(plain, Friction(change_by=3.0), Mass(change_by=1.0))
    _, info = perturbed.reset(seed=4)
    model, _ = plain.simulation()
    assert np.allclose(model.geom_friction, friction * info["perturbed.friction.factor"])
    moving = model.body_weldid != 0
    factors = model.body_mass[moving] / mass[moving]
    assert np.isclose(factors.min(), info["perturbed.mass.least_factor"])
    assert np.isclose(factors.max(), info["perturbed.mass.largest_factor"])
    assert factors.min() >= 0.5
    assert factors.max() <= 2.0
    assert np.allclose(model.body_inertia[moving], inertia[moving] * factors[:, None])
    assert np.array_equal(model.body_mass[~moving], mass[~moving])
    perturbed.close()


def test_what_follows_from_masses_follows(plain: Any) -> None:
    perturbed = put_on(plain, Mass(change_by=1.0))
    perturbed.reset(seed=4)
    model, _ = plain.simulation()
    compiled = model.__copy__()
    mujoco.mj_setConst(compiled, mujoco.MjData(compiled))
    for field in ("body_subtreemass", "body_invweight0", "dof_M0", "dof_invweight0", "actuator_acc0"):
        assert np.array_equal(getattr(model, field), getattr(compiled, field)), field
    perturbed.close()


@pytest.mark.parametrize("kind", ["lighting", "camera", "texture"])
def test_looks_change_pictures_and_nothing_else(plain: Any, kind: str) -> None:
    other = played(put_on(plain, *PRESETS[kind]["severe"]))
    own = played(plain)
    pictures = {index for index, seen in enumerate(own) if isinstance(seen, bytes) and len(seen) == 32 * 32 * 3}
    assert len(pictures) == 2
    for index, (one, another) in enumerate(zip(own, other, strict=True)):
        assert (one != another) == (index in pictures)


def test_cameras_stay_within_their_bounds(plain: Any) -> None:
    plain.reset(seed=0)
    perturbed = put_on(plain, CameraPose(shift_m=0.05, turn_rad=0.1, zoom=0.1))
    name = plain.embodiment.cameras[0].name
    for seed in range(4):
        plain.reset(seed=seed)
        model, _ = plain.simulation()
        camera = model.camera(name).id
        place, turn, fovy = (np.array(getattr(model, field)[camera]) for field in ("cam_pos", "cam_quat", "cam_fovy"))
        others = np.array(np.delete(model.cam_pos, camera, axis=0))
        perturbed.reset(seed=seed)
        model, _ = plain.simulation()
        assert np.all(np.abs(model.cam_pos[camera] - place) <= 0.05 + 1e-12)
        assert 2 * np.arccos(np.clip(abs(model.cam_quat[camera] @ turn), 0, 1)) <= 0.1 + 1e-6
        assert fovy / 1.1 - 1e-9 <= model.cam_fovy[camera] <= fovy * 1.1 + 1e-9
        assert np.array_equal(np.delete(model.cam_pos, camera, axis=0), others)
        perturbed._undo()


def test_light_is_that_much_brighter(plain: Any) -> None:
    plain.reset(seed=2)
    model, _ = plain.simulation()
    diffuse, directions = np.array(model.light_diffuse), np.array(model.light_dir)
    perturbed = put_on(plain, Lighting(brightness=1.0, turn_rad=0.5))
    _, info = perturbed.reset(seed=2)
    model, _ = plain.simulation()
    assert np.allclose(model.light_diffuse, diffuse * info["perturbed.lighting.brightness"], rtol=1e-5)
    cosines = np.sum(model.light_dir * directions, axis=1) / np.linalg.norm(directions, axis=1) ** 2
    assert np.all(cosines >= np.cos(info["perturbed.lighting.turn_rad"]) - 1e-6)
    assert 0 < info["perturbed.lighting.turn_rad"] <= 0.5
    perturbed.close()


def test_blocks_and_robot_keep_their_colours() -> None:
    plain: Any = sim_envs.make("humanoid/touch", images="on-demand")
    plain.reset(seed=2)
    model, _ = plain.simulation()
    before = np.array(model.geom_rgba)
    painted = background(model)
    put_on(plain, Texture(mix=1.0)).reset(seed=2)
    changed = np.flatnonzero(np.any(model.geom_rgba != before, axis=1))
    assert set(changed) == set(painted) == {model.geom("floor").id, model.geom("table").id}
    plain.close()


def test_a_push_changes_velocities_in_its_time_and_not_before() -> None:
    pushes = Pushes(speed_m_s=1.0, every_s=0.4, lasts_s=0.04)
    own, other = (sim_envs.make("humanoid/touch", images="on-demand") for _ in range(2))
    perturbed = put_on(other, pushes)
    model, data = own.simulation()  # type: ignore[attr-defined]
    _, pushed_data = other.simulation()  # type: ignore[attr-defined]
    own.reset(seed=1)
    perturbed.reset(seed=1)
    due = [pushes.force_at(model, seed=1, step=step, dt_s=own.control_dt_s) is not None for step in range(60)]
    assert sum(due) == 3 * 2
    target = own.observe().state
    for step in range(due.index(True) + 1):
        assert np.array_equal(data.qvel, pushed_data.qvel)
        own.step(target)
        perturbed.step(target)
        assert not pushed_data.xfrc_applied.any()
        assert np.array_equal(data.qvel, pushed_data.qvel) != due[step]
    for environment in (own, perturbed):
        environment.close()


def test_a_push_is_bounded_and_meets_the_robot() -> None:
    environment: Any = sim_envs.make("humanoid/touch", images="on-demand")
    model, _ = environment.simulation()
    pushes = Pushes(speed_m_s=1.0, every_s=0.2, lasts_s=0.1)
    names = {model.body(body).name for body in pushed_bodies(model)}
    assert names
    assert not any(name.startswith("block") for name in names)
    for step in range(200):
        if (force := pushes.force_at(model, seed=0, step=step, dt_s=0.02)) is None:
            continue
        speed = np.linalg.norm(force[1]) * 0.1 / model.body_subtreemass[force[0]]
        assert 0.5 <= speed <= 1.0
        assert force[0] in pushed_bodies(model)
    environment.close()


def test_what_is_rendered_with_each_step_is_perturbed_too(plain: Any) -> None:
    task = TASKS[0] if "head" in {camera.name for camera in plain.embodiment.cameras} else TASKS[1]
    noise = (SensorNoise(image_std=20.0, state_std=0.1), Lighting(brightness=3.0))
    perturbed = Perturbed(sim_envs.make(task, image_size=32), noise)
    middle = (plain.embodiment.lower + plain.embodiment.upper) / 2
    seen, _ = perturbed.reset(seed=5)
    for _ in range(3):
        observation = perturbed.observe()
        assert np.array_equal(seen["state"], observation.state)
        for name, image in seen["images"].items():
            assert np.array_equal(image, observation.images[name])
        seen = perturbed.step(middle)[0]
    perturbed.close()


@pytest.mark.parametrize("protocol", [Rendered, Privileged, Rewindable, Mirrored, Perturbable])
def test_what_a_task_offers_beside_its_perturbed_self_offers_too(plain: Any, protocol: Any) -> None:
    perturbed = put_on(plain, *SEVERE)
    assert isinstance(perturbed, protocol) == isinstance(plain, protocol)
    assert isinstance(perturbed, gymnasium.Env)
    assert perturbed.truth is plain


def test_experts_and_judges_know_better() -> None:
    plain: Any = sim_envs.make("humanoid/pick", images="on-demand")
    perturbed: Any = put_on(plain, SensorNoise(state_bias=0.5), Paraphrase(share=1.0, distraction=True))
    perturbed.reset(seed=3)
    assert not np.allclose(perturbed.observe().state, plain.observe().state)
    assert perturbed.observe().instruction == perturbed.instruction != plain.instruction
    assert np.array_equal(perturbed.privileged()["target_position"], plain.privileged()["target_position"])
    plain.close()


def test_held_out_words_are_asked_of_a_task_that_has_them() -> None:
    ours = sim_envs.make("humanoid/touch", seed=4, images="on-demand", perturbations=("paraphrase:medium",))
    own = sim_envs.make("humanoid/touch", seed=4, images="on-demand", phrasing="held-out")
    for environment in (ours, own):
        environment.reset(seed=4)
    assert ours.instruction == own.instruction
    for environment in (ours, own):
        environment.close()


def test_a_task_without_a_simulation_to_show_is_refused_what_needs_one() -> None:
    fake = ReachEnvironment(fake_embodiment(2), np.ones(2))
    with pytest.raises(ConfigError, match=r"does not show its simulation, which mass, pushes would change; offer"):
        put_on(fake, Mass(change_by=1.0), Pushes(speed_m_s=1.0))
    assert played_states(put_on(fake, SensorNoise(state_std=0.1))) != played_states(fake)


def played_states(environment: Any) -> bytes:
    seen, _ = environment.reset(seed=1)
    state: bytes = environment.observe().state.tobytes()
    assert seen.tobytes() == state
    return state


def test_episodes_without_seeds_differ_and_come_again() -> None:
    def factors() -> list[float]:
        environment = sim_envs.make("dm_control/cheetah-run", seed=3, images="on-demand", perturbations=("friction",))
        found = [environment.reset()[1]["perturbed.friction.factor"] for _ in range(3)]
        environment.close()
        return found

    assert factors() == factors()
    assert len(set(factors())) == 3
