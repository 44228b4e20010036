"""Joints to pose and back, on a planar arm with a closed form, on seven joints, and what is refused."""

import mujoco
import numpy as np
import pytest

from dualsys.errors import ConfigError
from dualsys.rotations import matrix_of_sixd, sixd_of_matrix
from dualsys.sim_envs.end_effector import EndEffector

PLANAR = """<mujoco><compiler angle="radian"/><worldbody>
<body><joint name="a" axis="0 0 1" range="-3 3"/><geom size=".1"/>
  <body name="fore" pos=".3 0 0"><joint name="b" axis="0 0 1" range="0 3"/><geom size=".1"/>
    <site name="tip" pos=".2 0 0"/>
  </body>
</body></worldbody></mujoco>"""
AXES = ["0 0 1", "0 1 0", "1 0 0", "0 1 0", "1 0 0", "0 1 0", "0 0 1"]


def chain() -> mujoco.MjModel:
    inner = '<site name="hand" pos=".1 0 0"/>'
    for number, axis in reversed(list(enumerate(AXES))):
        joint = f'<joint name="j{number}" axis="{axis}" range="-2.5 2.5"/>'
        inner = f'<body pos=".12 0 0">{joint}<geom size=".02"/>{inner}</body>'
    return mujoco.MjModel.from_xml_string(f'<mujoco><compiler angle="radian"/><worldbody>{inner}</worldbody></mujoco>')


def test_the_pose_of_a_planar_arm_is_the_closed_form() -> None:
    arm = EndEffector(mujoco.MjModel.from_xml_string(PLANAR), joints=("a", "b"), site="tip")
    a, b = 0.4, 1.1
    pose = arm.pose(np.array([a, b]))
    np.testing.assert_allclose(pose[:2], [0.3 * np.cos(a) + 0.2 * np.cos(a + b), 0.3 * np.sin(a) + 0.2 * np.sin(a + b)])
    np.testing.assert_allclose(matrix_of_sixd(pose[3:])[:, 0], [np.cos(a + b), np.sin(a + b), 0], atol=1e-12)


def test_seven_joints_come_back_to_the_pose_from_nearby_and_within_limits() -> None:
    hand = EndEffector(chain(), joints=[f"j{i}" for i in range(7)], site="hand")
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints = rng.uniform(-1.2, 1.2, 7)
        pose = hand.pose(joints)
        found, left = hand.joints_for(pose, joints + rng.uniform(-0.3, 0.3, 7))
        assert left < 1e-6
        np.testing.assert_allclose(hand.pose(found), pose, atol=1e-6)
        assert np.all(np.abs(found) <= 2.5)


def test_a_pose_out_of_reach_says_how_much_is_left() -> None:
    arm = EndEffector(mujoco.MjModel.from_xml_string(PLANAR), joints=("a", "b"), site="tip")
    far = np.concatenate([[2.0, 0, 0], sixd_of_matrix(np.eye(3))])
    joints, left = arm.joints_for(far, np.array([0.1, 0.1]))
    assert left == pytest.approx(1.5, abs=0.02)
    assert np.all(np.isfinite(joints))


def test_bodies_have_poses_too_and_unknown_names_are_refused() -> None:
    model = mujoco.MjModel.from_xml_string(PLANAR)
    np.testing.assert_allclose(EndEffector(model, joints=("a",), body="fore").pose(np.zeros(1))[:3], [0.3, 0, 0])
    with pytest.raises(ConfigError, match=r"unknown site 'tup'.*Did you mean 'tip'"):
        EndEffector(model, joints=("a",), site="tup")
    with pytest.raises(ConfigError, match="unknown joint 'c'"):
        EndEffector(model, joints=("c",), site="tip")
    with pytest.raises(ConfigError, match="a body or a site"):
        EndEffector(model, joints=("a",), site="tip", body="fore")
