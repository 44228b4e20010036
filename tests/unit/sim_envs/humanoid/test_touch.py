import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dualsys import sim_envs
from dualsys.errors import ConfigError, InvalidObservation, SpecMismatch
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.judge import TIME_LIMIT_S
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.humanoid.robot import HOME
from dualsys.sim_envs.humanoid.table import HumanoidTable
from dualsys.sim_envs.options import EnvironmentOptions

SEED = 8000


@pytest.fixture(scope="module")
def env() -> Iterator[HumanoidTable]:
    environment = HumanoidTable(EnvironmentOptions(images="on-demand"))
    yield environment
    environment.close()


def play(environment: HumanoidTable, seed: int, *, aim_at: str | None = None) -> dict[str, Any]:
    """Run the expert to the end of an episode; `aim_at` sends it to another block than the named one."""

    class Elsewhere:
        model, control_dt_s, observe = environment.model, environment.control_dt_s, environment.observe

        def privileged(self) -> dict[str, Any]:
            facts = environment.privileged()
            place = facts["blocks"][aim_at or facts["target"]]
            return {**facts, "blocks": {**facts["blocks"], facts["target"]: place}}

    environment.reset(seed=seed)
    task = Elsewhere()
    expert = TableExpert(task)
    while True:
        _, reward, terminated, truncated, info = environment.step(expert.act())
        assert reward == float(environment.success)
        if terminated or truncated:
            return {**info, "terminated": terminated, "truncated": truncated}


def test_touching_the_named_block_is_success(env: HumanoidTable) -> None:
    info = play(env, SEED)
    assert info["terminated"]
    assert info["success"]
    assert env.success
    assert info["touched"] == info["target"] == env.privileged()["target"]
    assert info["target"] in env.instruction


def test_touching_another_block_first_ends_the_episode_as_a_failure(env: HumanoidTable) -> None:
    env.reset(seed=SEED)
    other = next(colour for colour in env.privileged()["blocks"] if colour != env.privileged()["target"])
    info = play(env, SEED, aim_at=other)
    assert info["terminated"]
    assert not info["success"]
    assert info["touched"] == other


def test_success_is_not_taken_back_by_what_follows(env: HumanoidTable) -> None:
    """A recording goes on a little after the end."""
    play(env, SEED)
    for _ in range(20):
        *_, info = env.step(HOME)
    assert info["success"]


def test_doing_nothing_runs_into_the_time_limit(env: HumanoidTable) -> None:
    env.reset(seed=SEED)
    home = env.observe().state
    for step in range(1, round(TIME_LIMIT_S["touch"] / env.control_dt_s) + 1):
        _, _, terminated, truncated, info = env.step(home)
        assert not terminated
        assert truncated == (step == 250)
    assert info["touched"] is None
    assert not info["success"]


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
def test_nothing_is_touched_at_the_start_even_from_odd_postures(env: HumanoidTable, seed: int) -> None:
    env.reset(seed=seed, options={"posture_spread_rad": 0.2})
    posture = env.observe().state
    assert np.abs(posture - HOME).max() > 0.1
    for _ in range(10):
        *_, info = env.step(posture)
    assert info["touched"] is None


def test_blocks_stand_still_until_they_are_touched(env: HumanoidTable) -> None:
    env.reset(seed=SEED)
    before = env.privileged()["blocks"]
    for _ in range(50):
        env.step(HOME)
    after = env.privileged()["blocks"]
    assert set(before) == set(after)
    for colour, position in before.items():
        assert np.abs(after[colour] - position).max() < 5e-4


def test_the_seed_of_make_is_used_once_and_later_episodes_differ() -> None:
    first, second = (HumanoidTable(EnvironmentOptions(images="on-demand", seed=5)) for _ in range(2))
    seeds = [[environment.reset()[1]["episode_seed"] for _ in range(3)] for environment in (first, second)]
    assert seeds[0] == seeds[1]
    assert seeds[0][0] == 5
    assert len(set(seeds[0])) == 3


def test_an_episode_is_the_same_after_another_and_with_or_without_pictures(env: HumanoidTable) -> None:
    with_pictures = HumanoidTable(EnvironmentOptions(image_size=16))
    play(env, SEED + 1)
    states = []
    for environment in (env, with_pictures):
        environment.reset(seed=SEED)
        expert = TableExpert(environment)
        for _ in range(40):
            environment.step(expert.act())
        states.append(environment.physics_state())
    with_pictures.close()
    assert np.array_equal(states[0], states[1])


_DIGEST = f"""
import hashlib
from dualsys import sim_envs
from dualsys.sim_envs.humanoid.expert import TableExpert
env = sim_envs.make("humanoid/touch", seed={SEED}, image_size=64)
digest = hashlib.sha256()
observation, info = env.reset()
expert = TableExpert(env)
for _ in range(60):
    digest.update(observation["state"].tobytes() + observation["images"]["head"].tobytes())
    observation, reward, terminated, truncated, info = env.step(expert.act())
digest.update(env.physics_state().tobytes() + env.instruction.encode() + repr(sorted(info.items())).encode())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_in_two_processes() -> None:
    digests = [
        subprocess.run(
            [sys.executable, "-c", _DIGEST],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout.strip()
        for hash_seed in ("1", "12345")
    ]
    assert len(digests[0]) == hashlib.sha256().digest_size * 2
    assert digests[0] == digests[1]


def test_a_mirror_in_another_environment_shows_the_same_picture(env: HumanoidTable) -> None:
    play(env, SEED)
    mirror = HumanoidTable(EnvironmentOptions(images="on-demand"))
    mirror.reset(seed=SEED)
    before = mirror.observe()
    mirror.set_state(env.physics_state(), stamp_s=env.observe().stamp_s)
    assert mirror.observe().stamp_s == env.observe().stamp_s
    assert np.array_equal(mirror.observe().state, env.observe().state)
    assert np.array_equal(mirror.observe().images["head"], env.observe().images["head"])
    with pytest.raises(InvalidObservation, match="not read before"):
        before.images["head"]
    with pytest.raises(SpecMismatch, match="56 positions"):
        mirror.set_state(np.zeros(3))
    mirror.close()


def test_pictures_are_of_the_present(env: HumanoidTable) -> None:
    env.reset(seed=SEED)
    start = env.observe()
    first = start.images["head"]
    expert = TableExpert(env)
    for _ in range(40):
        env.step(expert.act())
    assert not np.array_equal(env.observe().images["head"], first)
    assert start.images["head"] is first
    assert env.render().shape == (360, 480, 3)
    with pytest.raises(ConfigError, match="Did you mean 'head'"):
        env.render_camera("heat")


def test_light_and_shade_differ_between_seeds(env: HumanoidTable) -> None:
    means = []
    for seed in range(SEED, SEED + 6):
        env.reset(seed=seed)
        means.append(env.observe().images["head"].mean())
    assert np.ptp(means) > 10


def test_every_colour_is_plain_to_see(env: HumanoidTable) -> None:
    """Each named colour shows as pixels nearer to it in hue than to any other."""
    for colour, rgb in COLOURS.items():
        env.reset(seed=SEED + 3, options={"instruction": f"touch {colour}"})
        image = env.observe().images["head"].astype(float)
        hues = image / np.linalg.norm(image, axis=2, keepdims=True).clip(1)
        likeness = {name: hues @ (np.array(c) / np.linalg.norm(c)) for name, c in COLOURS.items()}
        best = np.stack(list(likeness.values())).max(axis=0)
        mine = (likeness[colour] == best) & (likeness[colour] > 0.97) & (image.max(axis=2) > 60)
        assert mine.sum() >= 15, f"{colour} {rgb}: {mine.sum()} pixels"


def test_instructions_can_be_given_and_decide_what_counts(env: HumanoidTable) -> None:
    env.reset(seed=SEED, options={"instruction": "Go for the CYAN thing!"})
    assert env.instruction == "Go for the CYAN thing!"
    assert env.privileged()["target"] == "cyan"
    fixed = HumanoidTable(EnvironmentOptions(images="on-demand", instruction="touch purple"))
    for seed in (1, 2):
        assert fixed.reset(seed=seed)[1]["target"] == "purple"
    with pytest.raises(ConfigError, match="name one of"):
        env.reset(options={"instruction": "touch the mauve one"})
    with pytest.raises(ConfigError, match="Did you mean 'instruction'"):
        env.reset(options={"instrucion": "touch the red one"})
    with pytest.raises(ConfigError, match="name one of"):
        sim_envs.make("humanoid/touch", instruction="touch it")


def test_held_out_phrasing_keeps_the_scene() -> None:
    other = HumanoidTable(EnvironmentOptions(images="on-demand", phrasing="held-out"))
    usual = HumanoidTable(EnvironmentOptions(images="on-demand"))
    for environment in (other, usual):
        environment.reset(seed=SEED)
    assert other.instruction != usual.instruction
    assert np.array_equal(other.physics_state(), usual.physics_state())


@pytest.mark.parametrize(
    "action", [np.zeros(27), np.zeros((1, 28)), np.full(28, np.nan), np.r_[np.inf, np.zeros(27)]], ids=str
)
def test_actions_that_mean_nothing_are_refused(env: HumanoidTable, action: Any) -> None:
    env.reset(seed=SEED)
    with pytest.raises(SpecMismatch, match="takes 28 finite joint positions"):
        env.step(action)


def test_actions_are_clipped_to_the_ranges_of_the_joints(env: HumanoidTable) -> None:
    ends = []
    for scale in (1.0, 1000.0):
        env.reset(seed=SEED)
        for _ in range(5):
            env.step(env.embodiment.upper * scale + (scale - 1))
        ends.append(env.physics_state())
    assert np.array_equal(ends[0], ends[1])


@pytest.mark.parametrize(("control_hz", "substeps"), [(50.0, 10), (500.0, 1), (100.0, 5)])
def test_control_rates(control_hz: float, substeps: int) -> None:
    environment = HumanoidTable(EnvironmentOptions(images="on-demand", control_hz=control_hz))
    assert environment.control_dt_s == pytest.approx(1 / control_hz)
    environment.reset(seed=SEED)
    environment.step(HOME)
    assert environment.observe().stamp_s == pytest.approx(0.002 * substeps)


@pytest.mark.parametrize("control_hz", [1000.0, 60.0, 501.0])
def test_a_rate_that_physics_steps_do_not_divide_is_refused(control_hz: float) -> None:
    with pytest.raises(ConfigError, match="does not divide the physics rate"):
        HumanoidTable(EnvironmentOptions(control_hz=control_hz))


def test_one_rate_and_another_give_the_same_physics() -> None:
    ends = []
    for control_hz in (50.0, 500.0):
        environment = HumanoidTable(EnvironmentOptions(images="on-demand", control_hz=control_hz))
        environment.reset(seed=SEED)
        for _ in range(round(0.2 * control_hz)):
            environment.step(HOME)
        ends.append(environment.physics_state())
    assert np.array_equal(ends[0], ends[1])


def test_the_embodiment(env: HumanoidTable) -> None:
    embodiment = env.embodiment
    assert embodiment.name == "unitree-g1-upper"
    assert [len(group.joints) for group in embodiment.groups] == [7, 7, 7, 7]
    assert [name for group in embodiment.groups for name in group.joints] == [joint.name for joint in embodiment.joints]
    groups = {group.name: group.joints for group in embodiment.groups}
    assert groups["right_arm"] == tuple(joint.name for joint in embodiment.joints[7:14])
    assert np.all((embodiment.lower < HOME) & (embodiment.upper > HOME))
    embodiment.check_observation(env.observe())


@pytest.mark.parametrize("images", ["observation", "on-demand"])
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space")  # actions are physical positions
@pytest.mark.filterwarnings("ignore:.*not having a spec")  # it is not made by gymnasium.make
def test_gymnasium_finds_nothing_wrong(images: Any) -> None:
    environment = HumanoidTable(EnvironmentOptions(images=images, image_size=32))
    check_env(environment)
    assert ("images" in environment.observation_space.spaces) == (images == "observation")  # type: ignore[attr-defined]
    environment.close()
    environment.close()
