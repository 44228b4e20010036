import itertools
from collections.abc import Callable, Iterator

import mujoco
import numpy as np
import pytest

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import SIDES, Side, TaskName
from dualsys.sim_envs.humanoid.kinematics import ArmKinematics, Hold, fist, grasp
from dualsys.sim_envs.humanoid.layout import BLOCK_X_M, BLOCK_Y_M, EITHER_HAND_X_M, EITHER_HAND_Y_M, draw_episode
from dualsys.sim_envs.humanoid.pick_motion import GRIP_M, HOVER_M, LIFT_M, REACHED_M
from dualsys.sim_envs.humanoid.robot import ARM_SLICE, HOME, JOINT_NAMES, OPEN_HOME
from dualsys.sim_envs.humanoid.scene import BLOCK_REST_M, BLOCK_TOP_M, build_model

MIRROR = np.array([1.0, -1.0, 1.0])
Arms = dict[Side, ArmKinematics]


@pytest.fixture(scope="module")
def fists() -> Arms:
    model = build_model()
    return {side: ArmKinematics(model, side, fist(side)) for side in SIDES}


@pytest.fixture(scope="module")
def grasps() -> Arms:
    model = build_model()
    return {side: ArmKinematics(model, side, grasp(side)) for side in SIDES}


def points(side: Side) -> list[FloatArray]:
    sign = 1.0 if side == "left" else -1.0
    heights = (BLOCK_TOP_M, BLOCK_TOP_M + 0.06)
    return [np.array([x, sign * y, z]) for x, y, z in itertools.product(BLOCK_X_M, BLOCK_Y_M, heights)]


def places_to_pick(side: Side) -> Iterator[tuple[float, float]]:
    """A grid over the hand's own strip (pick, bimanual, sequence) and where either hand may be sent (pick-with)."""
    sign = 1.0 if side == "left" else -1.0
    for x, y in itertools.product(np.linspace(*BLOCK_X_M, 4), np.linspace(*BLOCK_Y_M, 5)):
        yield float(x), sign * float(y)
    yield from itertools.product(np.linspace(*EITHER_HAND_X_M, 4).tolist(), np.linspace(*EITHER_HAND_Y_M, 5).tolist())


@pytest.mark.parametrize("side", SIDES)
def test_every_place_a_block_can_have_is_reached(fists: Arms, side: Side) -> None:
    for point in points(side):
        arm = fists[side].posture_for(point, HOME[ARM_SLICE[side]], iterations=60)
        assert np.linalg.norm(fists[side].point(arm) - point) < 0.004, point


def miss_m(arms: Arms, side: Side, x: float, y: float, height_m: float) -> float:
    """How far the middle of an open hand stays from the place it is sent to."""
    point = np.array([x, y, BLOCK_REST_M + GRIP_M + height_m])
    arm = arms[side].posture_for(point, OPEN_HOME[ARM_SLICE[side]], iterations=60)
    return float(np.linalg.norm(arms[side].point(arm) - point))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("height_m", [0.0, LIFT_M, HOVER_M], ids=["gripping", "lifted", "hovering"])
def test_an_open_hand_reaches_where_blocks_stand(grasps: Arms, side: Side, height_m: float) -> None:
    """Short of two far corners by the arm's length: outermost, and furthest across, where it comes no nearer."""
    for x, y in places_to_pick(side):
        across = x > 0.35 and (abs(y) > 0.22 or (y > 0) != (side == "left"))
        assert miss_m(grasps, side, x, y, height_m) < (0.015 if across else 0.006), (x, y)


@pytest.mark.parametrize("task", ["pick", "pick-with", "bimanual"])
def test_of_the_blocks_that_are_drawn_hardly_one_is_out_of_reach(grasps: Arms, task: TaskName) -> None:
    misses = []
    for seed in range(8000, 8150):
        episode = draw_episode(seed, task=task)
        for block, goal in zip(episode.blocks, episode.goals, strict=False):
            misses.append(miss_m(grasps, goal.hand_at(block.y_m), block.x_m, block.y_m, 0.0))
    assert np.mean(np.array(misses) < 0.006) >= 0.98
    assert max(misses) < REACHED_M, "the hand would never close"


@pytest.mark.parametrize("side", SIDES)
def test_the_posture_depends_on_the_point_and_not_on_the_start(fists: Arms, side: Side) -> None:
    rng = np.random.default_rng(0)
    for point in points(side):
        starts = [HOME[ARM_SLICE[side]] + rng.uniform(-0.3, 0.3, 7) for _ in range(4)]
        ends = np.array([fists[side].posture_for(point, start, iterations=80) for start in starts])
        assert np.ptp(ends, axis=0).max() < 0.02, point


@pytest.mark.parametrize("side", SIDES)
def test_a_grasping_posture_does_not_depend_on_the_start(grasps: Arms, side: Side) -> None:
    rng = np.random.default_rng(0)
    for x, y in list(places_to_pick(side))[::6]:
        point = np.array([x, y, BLOCK_REST_M + GRIP_M])
        starts = [OPEN_HOME[ARM_SLICE[side]] + rng.uniform(-0.3, 0.3, 7) for _ in range(4)]
        ends = np.array([grasps[side].posture_for(point, start, iterations=80) for start in starts])
        assert np.ptp(ends, axis=0).max() < 0.02, point


@pytest.mark.parametrize(("hold", "home"), [(fist, HOME), (grasp, OPEN_HOME)], ids=["fist", "grasp"])
def test_the_arms_are_mirror_images(hold: Callable[[Side], Hold], home: FloatArray) -> None:
    model = build_model()
    arms = {side: ArmKinematics(model, side, hold(side)) for side in SIDES}
    left, right = (arms[side].point(home[ARM_SLICE[side]]) for side in SIDES)
    assert left * MIRROR == pytest.approx(right, abs=1e-3)
    target = np.array([0.33, 0.12, 0.85])
    postures = [
        arms[side].posture_for(target * (1, sign, 1), home[ARM_SLICE[side]], iterations=60)
        for side, sign in zip(SIDES, (1, -1), strict=True)
    ]
    pitches = [JOINT_NAMES[:7].index(name) for name in ("left_shoulder_pitch_joint", "left_elbow_joint")]
    assert postures[0][pitches] == pytest.approx(postures[1][pitches], abs=0.01)
    others = [index for index, name in enumerate(JOINT_NAMES[:7]) if "pitch" not in name and "elbow" not in name]
    assert postures[0][others] == pytest.approx(-postures[1][others], abs=0.01)


@pytest.mark.parametrize("side", SIDES)
def test_a_grasping_hand_points_ahead_and_down(grasps: Arms, side: Side) -> None:
    model = build_model()
    data = mujoco.MjData(model)
    joints = [model.joint(name).qposadr[0] for name in JOINT_NAMES[ARM_SLICE[side]]]
    for x, y in list(places_to_pick(side))[:20]:
        point = np.array([x, y, BLOCK_REST_M + GRIP_M])
        data.qpos[joints] = grasps[side].posture_for(point, OPEN_HOME[ARM_SLICE[side]], iterations=60)
        mujoco.mj_kinematics(model, data)
        ahead = data.body(f"{side}_wrist_yaw_link").xmat.reshape(3, 3)[:, 0]
        assert ahead[0] > 0.4
        assert ahead[2] < -0.3


def test_joints_stay_in_their_ranges_when_the_point_is_out_of_reach(fists: Arms) -> None:
    arm = fists["left"].posture_for(np.array([2.0, 1.0, 0.0]), HOME[:7], iterations=50)
    model = build_model()
    ranges = np.array([model.jnt_range[joint] for joint in range(model.njnt)])[:7]
    assert np.all((arm > ranges[:, 0]) & (arm < ranges[:, 1]))
