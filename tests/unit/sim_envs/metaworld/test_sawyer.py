"""Meta-World behind our interface: its own numbers to the bit, its own judgement, pictures the right way up."""

import sys
import warnings
from typing import Any

import metaworld
import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from dualsys import sim_envs
from dualsys.errors import ConfigError, ExtraMissing, InvalidObservation, SpecMismatch
from dualsys.sim_envs.fixed_task import FixedTask
from dualsys.sim_envs.metaworld.sawyer import BENCHMARK_SEED
from dualsys.sim_envs.metaworld.sentences import SENTENCES
from dualsys.sim_envs.metaworld.suite import SUITE
from dualsys.sim_envs.options import EnvironmentOptions

WITHOUT_IMAGES = EnvironmentOptions(images="on-demand", image_size=48)


def make(name: str, options: EnvironmentOptions = WITHOUT_IMAGES) -> FixedTask:
    environment = SUITE.make(f"metaworld/{name}", options)
    assert isinstance(environment, FixedTask)
    return environment


def stock(name: str) -> Any:
    """As LeRobot's environment sets Meta-World up: a task of `MT1`, then objects and goals from the seed."""
    benchmark = metaworld.MT1(name, seed=42)
    environment = benchmark.train_classes[name]()
    environment.set_task(benchmark.train_tasks[0])
    environment.reset()
    environment._freeze_rand_vec, environment.seeded_rand_vec = False, True
    return environment


def test_there_are_meta_world_s_own_50_each_with_a_sentence_of_its_own() -> None:
    assert set(SENTENCES) == set(ALL_V3_ENVIRONMENTS)
    assert len(set(SENTENCES.values())) == len(SUITE.tasks()) == 50


@pytest.mark.parametrize("name", ["pick-place-v3", "drawer-open-v3", "stick-pull-v3"])
def test_observations_and_rewards_are_meta_world_s_to_the_bit(name: str) -> None:
    ours, theirs = make(name), stock(name)
    for seed in (11, 4):
        theirs.seed(seed)
        expected, _ = theirs.reset()
        observation, _ = ours.reset(seed=seed)
        rng = np.random.default_rng(seed)
        for _ in range(80):
            assert np.array_equal(ours.privileged()["observation"], expected)
            assert np.array_equal(observation["state"], expected[:4])
            action = rng.uniform(-1, 1, 4)
            expected, reward, _, _, said = theirs.step(action)
            observation, got, _, _, info = ours.step(action)
            assert got == reward
            assert said.pop("success") == 0.0
            assert info["success"] is False
            assert said == {key: info[key] for key in said}


@pytest.mark.parametrize("name", ["push-v3", "window-close-v3"])
def test_initial_states_are_the_tasks_of_mt1(name: str) -> None:
    ours = make(name)
    tasks = metaworld.MT1(name, seed=BENCHMARK_SEED).train_tasks
    assert ours.initial_states == len(tasks) == 50
    theirs = ALL_V3_ENVIRONMENTS[name]()
    starts = []
    for number in (0, 17, 49):
        theirs.set_task(tasks[number])
        expected, _ = theirs.reset()
        ours.reset(seed=number, options={"initial_state": number})
        assert np.array_equal(ours.privileged()["observation"], expected)
        starts.append(expected)
    assert not np.array_equal(starts[0], starts[1])
    ours.reset(seed=3)
    drawn = ours.privileged()["observation"]
    ours.reset(seed=3, options={"initial_state": 17})
    assert np.array_equal(ours.privileged()["observation"], starts[1])
    ours.reset(seed=3)
    assert np.array_equal(ours.privileged()["observation"], drawn)


def test_an_episode_ends_with_success_or_at_the_horizon() -> None:
    ours = make("reach-v3")
    ours.reset(seed=0)
    for step in range(500):
        assert not ours.success
        *_, terminated, truncated, info = ours.step(np.zeros(4))
        assert not terminated
        assert truncated == (step == 499)
    assert info["time_s"] == pytest.approx(6.25)
    short = make("reach-v3", EnvironmentOptions(images="on-demand", episode_steps=7))
    short.reset(seed=0)
    assert [short.step(np.zeros(4))[3] for _ in range(8)] == [False] * 6 + [True] * 2


def test_the_first_success_ends_the_episode_and_stays() -> None:
    ours = make("reach-v3")
    ours.reset(seed=0)
    terminated = False
    while not terminated:
        facts = ours.privileged()
        way = facts["target_position"] - facts["observation"][:3]
        *_, terminated, _, info = ours.step(np.append(np.clip(10 * way, -1, 1), 0.0))
    assert ours.success
    assert info["success"] is True
    for _ in range(20):  # what is recorded after success
        *_, info = ours.step(np.array([-1.0, -1.0, 1.0, 0.0]))
    assert np.linalg.norm(ours.privileged()["target_position"] - ours.observe().state[:3]) > 0.05
    assert ours.success
    ours.reset(seed=0)
    assert not ours.success


def test_where_nobody_commands_the_hand_stays() -> None:
    spec = make("push-v3").embodiment
    assert spec.velocities.tolist() == [True, True, True, False]
    assert (spec.lower.tolist(), spec.upper.tolist()) == ([-1.0] * 4, [1.0] * 4)


def test_settling_is_before_the_episode() -> None:
    still, settled = make("push-v3"), make("push-v3", EnvironmentOptions(images="on-demand", settle_steps=5))
    still.reset(seed=2)
    for _ in range(5):
        still.step(np.zeros(4))
    settled.reset(seed=2)
    assert np.array_equal(settled.privileged()["observation"], still.privileged()["observation"])
    assert settled.observe().stamp_s == 0.0


def test_pictures_are_the_right_way_up_and_turned_when_asked() -> None:
    """The table is below, the grey background above; as LeRobot's environment has it, without shadows."""
    options = {"images": "on-demand", "image_size": 64}
    upright = sim_envs.make("metaworld/reach-v3", seed=1, **options).observe().images["corner2"]  # type: ignore[arg-type]
    assert upright[0, -10:].std() < 3  # nothing there but background
    assert upright[-10:, -10:].std() > 5
    turned = sim_envs.make("metaworld/reach-v3", seed=1, image_turn="half", **options).observe().images["corner2"]  # type: ignore[arg-type]
    assert np.array_equal(turned, upright[::-1, ::-1])


def test_pictures_are_of_their_moment() -> None:
    ours = make("push-v3")
    ours.reset(seed=0)
    seen = ours.observe()
    ours.step(np.zeros(4))
    with pytest.raises(InvalidObservation, match="corner2"):
        seen.images["corner2"]
    ours.close()


def test_a_policy_may_have_other_cameras() -> None:
    cameras = ("gripperPOV", "topview")
    ours = make("push-v3", EnvironmentOptions(cameras=cameras, image_size=32))
    observation, _ = ours.reset(seed=0)
    assert tuple(observation["images"]) == cameras
    assert ours.observation_space.contains(observation)
    assert not np.array_equal(observation["images"]["gripperPOV"], observation["images"]["topview"])
    ours.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"cameras": ("corner5",)}, "Did you mean 'corner"),
        ({"control_hz": 50.0}, "is controlled at 80 Hz, not at 50"),
        ({"instruction": "bake a cake"}, "it does one thing, 'push the puck to the goal'"),
        ({"phrasing": "held-out"}, "it is told one sentence; leave phrasing out"),
        ({"randomization": "wide"}, "it has one look; leave randomization out"),
        ({"reset_kind": "hard"}, "leave reset_kind out"),
    ],
)
def test_what_a_benchmark_does_not_leave_open_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sim_envs.make("metaworld/push-v3", **wrong)


def test_unknown_names_are_refused_with_the_closest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'metaworld/pick-place-v3'"):
        sim_envs.make("metaworld/pick-place")
    ours = make("push-v3")
    with pytest.raises(ConfigError, match="lists 50, from 0"):
        ours.reset(seed=0, options={"initial_state": 50})
    with pytest.raises(ConfigError, match="Did you mean 'initial_state'"):
        ours.reset(seed=0, options={"initial_states": 0})
    with pytest.raises(SpecMismatch, match="takes finite x, y, z, grip"):
        ours.step(np.zeros(3))
    with pytest.raises(SpecMismatch, match="nan"):
        ours.step(np.array([0.0, np.nan, 0.0, 0.0]))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'dualsys\[metaworld\]'"):
        sim_envs.make("metaworld/push-v3")


def test_importing_meta_world_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("basketball-v3").close()
