import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from dualsys import sim_envs
from dualsys.errors import ConfigError, ExtraMissing, InvalidObservation, SpecMismatch
from dualsys.messages import FloatArray
from dualsys.sim_envs.aloha import scenes
from dualsys.sim_envs.aloha.bimanual import BimanualTable
from dualsys.sim_envs.aloha.robot import JOINT_NAMES, START
from dualsys.sim_envs.aloha.scenes import scene_named
from dualsys.sim_envs.options import EnvironmentOptions

TASKS = ("transfer-cube", "insertion")


def make(task: str, **options: Any) -> BimanualTable:
    usual: dict[str, Any] = {"images": "on-demand", "image_size": 48}
    return BimanualTable(scene_named(task), EnvironmentOptions(**(usual | options)))


def rollout(environment: BimanualTable, seed: int) -> list[FloatArray]:
    """States of a wild episode's first steps."""
    return [environment.reset(seed=seed)[0]["state"], *(environment.step(row)[0]["state"] for row in wild_actions(5))]


def wild_actions(steps: int) -> FloatArray:
    """Targets around the start, some beyond what servos take."""
    return START + np.random.default_rng(0).uniform(-0.6, 0.6, (steps, 14))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_positions_and_rewards_equal_the_packages_own_environment_to_the_bit(task: str) -> None:
    from gym_aloha.env import AlohaEnv

    stock, ours = AlohaEnv(task.replace("-", "_"), obs_type="pixels_agent_pos"), make(task)
    theirs, _ = stock.reset(seed=12)
    state = ours.reset(seed=12)[0]["state"]
    assert np.array_equal(state, theirs["agent_pos"])
    for action in wild_actions(12):
        theirs, reward, *_ = stock.step(action)
        observation, our_reward, *_ = ours.step(action)
        assert np.array_equal(observation["state"], theirs["agent_pos"])
        assert np.array_equal(ours.physics_state(), stock._env.physics.data.qpos)
        assert our_reward == reward
    ours.close()


def test_what_came_before_leaves_nothing_and_objects_lie_where_the_seed_says() -> None:
    environment = make("insertion")
    first = rollout(environment, 4)
    environment.reset(seed=5)
    poses = environment.privileged()["object_poses"]
    assert np.array_equal(first, rollout(environment, 4))
    environment.reset(seed=4)
    assert not np.array_equal(environment.privileged()["object_poses"], poses)
    (peg, socket) = poses[:, :3]
    assert 0.1 <= peg[0] <= 0.2
    assert -0.2 <= socket[0] <= -0.1
    assert np.all((poses[:, 1] >= 0.4) & (poses[:, 1] <= 0.6))


def test_same_seed_same_bits_in_another_process() -> None:
    program = (
        "import numpy, sys; from dualsys import sim_envs; e = sim_envs.make('aloha/transfer-cube', images='on-demand');"
        "e.reset(seed=9); a = numpy.full(14, 0.2); [e.step(a) for _ in range(20)];"
        "print(e.physics_state().tobytes().hex())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    environment = make("transfer-cube")
    environment.reset(seed=9)
    for _ in range(20):
        environment.step(np.full(14, 0.2))
    assert other.stdout.strip() == environment.physics_state().tobytes().hex()


@pytest.mark.filterwarnings("ignore:.*we recommend using a symmetric and normalized space:UserWarning")
@pytest.mark.parametrize("images", ["observation", "on-demand"])
def test_gymnasium_finds_nothing_wrong(images: str) -> None:
    environment = make("transfer-cube", images=images)
    check_env(environment, skip_render_check=True)  # its render check needs a gymnasium registration
    environment.close()


def test_the_robot_is_lerobots_layout_with_the_scenes_limits() -> None:
    robot = make("transfer-cube", cameras=("top", "left_wrist")).embodiment
    assert robot.state_names == tuple(joint.name for joint in robot.joints) == JOINT_NAMES
    assert JOINT_NAMES[:7] == (
        "left_waist", "left_shoulder", "left_elbow", "left_forearm_roll", "left_wrist_angle", "left_wrist_rotate",
        "left_gripper",
    )  # fmt: skip
    shoulder, gripper = robot.joints[1], robot.joints[13]
    assert (shoulder.lower, shoulder.upper, shoulder.unit) == (-1.85005, 1.25664, "rad")
    assert (gripper.lower, gripper.upper, gripper.unit) == (0.0, 1.0, "1")
    assert [camera.name for camera in robot.cameras] == ["top", "left_wrist"]


@pytest.mark.parametrize("control_hz", [50.0, 500.0])
def test_an_episode_lasts_eight_seconds_and_reward_stays_none_while_nothing_is_done(control_hz: float) -> None:
    environment = make("transfer-cube", control_hz=control_hz)
    environment.reset(seed=1)
    assert np.allclose(environment.privileged()["command"], START)
    ended, steps, total = False, 0, 0.0
    while not ended:
        _, reward, terminated, ended, info = environment.step(START)
        steps, total = steps + 1, total + reward
        assert not terminated
    assert (steps, total, info["success"], environment.success) == (8 * control_hz, 0.0, False, False)


def test_a_picture_is_drawn_when_it_is_read_and_not_later() -> None:
    environment = make("transfer-cube", image_size=64)
    environment.reset(seed=0)
    observation = environment.observe()
    picture = observation.images["top"]
    assert picture.shape == (64, 64, 3)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 80)
    assert red.any(), "the cube is not seen"
    assert environment.render().shape == (360, 480, 3)
    late = environment.observe()
    environment.step(START)
    with pytest.raises(InvalidObservation, match="was not read before the environment moved on"):
        late.images["top"]
    environment.close()


def test_a_protocols_horizon_settling_and_turn_are_honoured() -> None:
    plain = make("insertion", image_size=64)
    ours = make("insertion", image_size=64, episode_steps=3, settle_steps=20, image_turn="half")
    plain.reset(seed=2)
    ours.reset(seed=2)
    for _ in range(20):
        plain.step(plain.privileged()["command"])
    assert ours.observe().stamp_s == 0.0
    assert np.allclose(ours.physics_state(), plain.physics_state(), atol=1e-6)
    assert np.array_equal(ours.observe().images["top"], plain.observe().images["top"][::-1, ::-1])
    assert [ours.step(START)[3] for _ in range(3)] == [False, False, True]
    for environment in (plain, ours):
        environment.close()


@pytest.mark.parametrize("action", [np.zeros(13), np.full(14, np.nan)])
def test_a_wrong_action_is_refused(action: FloatArray) -> None:
    with pytest.raises(SpecMismatch, match="takes 14 finite joint targets"):
        make("insertion").step(action)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"control_hz": 30.0}, "control_hz=30 does not divide the 500 Hz"),
        ({"cameras": ("tpo",)}, r"unknown camera 'tpo'\. Did you mean 'top'"),
        ({"instruction": "wave"}, "cannot be told 'wave': it does one thing, 'pick up the red cube"),
        ({"phrasing": "held-out"}, "one sentence alone"),
        ({"randomization": "wide"}, "has one look"),
        ({"reset_kind": "soft"}, "there is one kind; leave reset_kind out"),
    ],
)
def test_what_the_suite_does_not_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make("transfer-cube", **options)
    with pytest.raises(ConfigError, match=r"unknown reset option \['pose'\]; aloha tasks take none"):
        make("transfer-cube").reset(seed=0, options={"pose": 1})


def test_an_unknown_task_is_refused_with_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'aloha/insertion'"):
        sim_envs.make("aloha/insert")


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes._module.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'dualsys\[aloha\]'"):
        make("transfer-cube")
    scenes._module.cache_clear()
