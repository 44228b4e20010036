"""Sensors on a fake robot whose true readings are known."""

from typing import Any

import numpy as np
import pytest

from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.messages import Observation
from dualsys.sim_envs.perturbations.drop_out import DropOut
from dualsys.sim_envs.perturbations.senses import Senses
from dualsys.sim_envs.perturbations.sensor_noise import SensorNoise

DT_S = 0.02
NAMES = ("a", "b", "c")
ROBOT = EmbodimentSpec(
    name="three",
    joints=tuple(Joint(name=name, lower=-9, upper=9) for name in NAMES),
    state_names=NAMES,
    cameras=(CameraSpec(name="left", height=8, width=10), CameraSpec(name="right", height=8, width=10)),
)


def true_at(step: int) -> Observation:
    """Readings that tell their step."""
    images = {name: np.full((8, 10, 3), 1 + (step + at) % 200, np.uint8) for at, name in enumerate(("left", "right"))}
    return Observation(stamp_s=step * DT_S, state=np.array([step, -step, step / 2]), images=images, instruction="go")


def told(senses: Senses, steps: int, seed: int = 1) -> list[Observation]:
    senses.begin(seed)
    seen = []
    for step in range(steps):
        senses.note(true_at(step), step)
        seen.append(senses.told(true_at(step), step))
    return seen


def test_noise_and_bias_have_the_size_that_is_asked_for() -> None:
    noise = SensorNoise(state_std=0.1, state_bias=0.5)
    off = np.array([o.state - true_at(s).state for s, o in enumerate(told(Senses(noise, None, ROBOT, DT_S), 4000))])
    assert np.allclose(off.std(axis=0), 0.1, atol=0.005)
    assert np.all(np.abs(off.mean(axis=0)) <= 0.5 + 0.01)
    assert len(set(np.round(off.mean(axis=0), 2))) == 3
    whites = off - off.mean(axis=0)
    assert abs(np.mean(whites[1:] * whites[:-1])) < 0.001


def test_pixels_are_noisy_clipped_and_drawn_from_the_moment() -> None:
    senses = Senses(SensorNoise(image_std=10.0), None, ROBOT, DT_S)
    senses.begin(1)
    observation = Observation(stamp_s=0.0, state=np.zeros(3), images={"left": np.full((8, 10, 3), 250, np.uint8)})
    first, again, later = (senses.told(observation, step).images["left"] for step in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)
    assert first.dtype == np.uint8
    assert first.max() == 255
    assert 5 < (first.astype(float) - 250)[first < 255].std() < 12


@pytest.mark.parametrize("blur_px", [0.7, 2.0])
def test_a_blur_keeps_the_light_and_spreads_a_point_as_a_gaussian(blur_px: float) -> None:
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    image = SensorNoise(image_blur_px=blur_px).image(point, seed=0, step=0, camera=0).astype(float)
    across = np.arange(41) - 20.0
    shape = np.exp(-(across[:, None] ** 2 + across[None, :] ** 2) / (2 * blur_px**2))
    assert np.allclose(image[..., 0], 255 * shape / shape.sum(), atol=1.0)
    flat = np.full((20, 20, 3), 77, np.uint8)
    assert np.array_equal(SensorNoise(image_blur_px=blur_px).image(flat, seed=0, step=0, camera=0), flat)


def test_exposure_is_the_cameras_own_for_a_whole_episode() -> None:
    noise, grey = SensorNoise(exposure=0.5), np.full((4, 4, 3), 100, np.uint8)
    levels = [
        {int(noise.image(grey, seed=3, step=step, camera=camera)[0, 0, 0]) for step in range(5)} for camera in (0, 1)
    ]
    assert all(len(each) == 1 for each in levels)
    assert levels[0] != levels[1]
    assert all(66 <= each.pop() <= 150 for each in levels)


def test_a_stuck_component_tells_what_it_last_was() -> None:
    drop_out = DropOut(states=0.3, lasts_s=0.2)
    stuck = 0
    for step, observation in enumerate(told(Senses(None, drop_out, ROBOT, DT_S), 500)):
        for component in range(3):
            first = drop_out.is_stuck(component, seed=1, step=step, dt_s=DT_S)
            since = step if first is None else first
            stuck += first is not None
            assert observation.state[component] == true_at(since).state[component]
    assert 0.25 < stuck / 1500 < 0.35


def test_cameras_freeze_with_their_stamp_or_go_black_without() -> None:
    drop_out = DropOut(cameras=0.4, lasts_s=0.2)
    faults: set[Any] = set()
    for step, observation in enumerate(told(Senses(None, drop_out, ROBOT, DT_S), 400)):
        for index, name in enumerate(("left", "right")):
            fault = drop_out.camera_fault(index, seed=1, step=step, dt_s=DT_S)
            kind, since = fault if fault is not None else ("none", step)
            faults.add(kind)
            shown = 0 * true_at(step).images[name] if kind == "black" else true_at(since).images[name]
            assert np.array_equal(observation.images[name], shown)
            stamp_s = observation.image_stamps_s.get(name, observation.stamp_s)
            assert stamp_s == pytest.approx(DT_S * (since if kind == "frozen" else step))
    assert faults == {"none", "frozen", "black"}


def test_an_episode_that_is_set_back_goes_on_as_it_did() -> None:
    senses = Senses(SensorNoise(state_std=0.1), DropOut(cameras=0.5, states=0.5, lasts_s=0.3), ROBOT, DT_S)
    told(senses, 20)
    memory = senses.memory

    def rest() -> list[tuple[bytes, bytes]]:
        seen = []
        for step in range(20, 60):
            senses.note(true_at(step), step)
            observation = senses.told(true_at(step), step)
            seen.append((observation.state.tobytes(), observation.images["left"].tobytes()))
        return seen

    expected = rest()
    told(senses, 30, seed=9)
    senses.recall(1, memory)
    assert rest() == expected
