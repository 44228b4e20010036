import itertools

import numpy as np
import pytest

from dualsys.sim_envs.humanoid.kinematics import ArmKinematics, Side
from dualsys.sim_envs.humanoid.layout import BLOCK_X_M, BLOCK_Y_M
from dualsys.sim_envs.humanoid.robot import ARM_SLICE, HOME
from dualsys.sim_envs.humanoid.scene import BLOCK_TOP_M, build_model

SIDES: tuple[Side, ...] = ("left", "right")


@pytest.fixture(scope="module")
def arms() -> dict[Side, ArmKinematics]:
    model = build_model()
    return {side: ArmKinematics(model, side) for side in SIDES}


def points(side: Side) -> list[np.ndarray]:
    sign = 1.0 if side == "left" else -1.0
    heights = (BLOCK_TOP_M, BLOCK_TOP_M + 0.06)
    return [np.array([x, sign * y, z]) for x, y, z in itertools.product(BLOCK_X_M, BLOCK_Y_M, heights)]


@pytest.mark.parametrize("side", SIDES)
def test_every_place_a_block_can_have_is_reached(arms: dict[Side, ArmKinematics], side: Side) -> None:
    for point in points(side):
        arm = arms[side].posture_for(point, HOME[ARM_SLICE[side]], iterations=60)
        assert np.linalg.norm(arms[side].touch_point(arm) - point) < 0.004, point


@pytest.mark.parametrize("side", SIDES)
def test_the_posture_depends_on_the_point_and_not_on_the_start(arms: dict[Side, ArmKinematics], side: Side) -> None:
    rng = np.random.default_rng(0)
    for point in points(side):
        starts = [HOME[ARM_SLICE[side]] + rng.uniform(-0.3, 0.3, 7) for _ in range(4)]
        ends = np.array([arms[side].posture_for(point, start, iterations=80) for start in starts])
        assert np.ptp(ends, axis=0).max() < 0.02, point


def test_the_arms_are_mirror_images(arms: dict[Side, ArmKinematics]) -> None:
    left, right = (arms[side].touch_point(HOME[ARM_SLICE[side]]) for side in SIDES)
    assert left * (1, -1, 1) == pytest.approx(right, abs=1e-3)


def test_joints_stay_in_their_ranges_when_the_point_is_out_of_reach(arms: dict[Side, ArmKinematics]) -> None:
    arm = arms["left"].posture_for(np.array([2.0, 1.0, 0.0]), HOME[:7], iterations=50)
    model = build_model()
    ranges = np.array([model.jnt_range[joint] for joint in range(model.njnt)])[:7]
    assert np.all((arm > ranges[:, 0]) & (arm < ranges[:, 1]))
