import numpy as np
import pytest

from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.errors import SpecMismatch


def test_a_joint_is_where_the_state_of_its_name_says() -> None:
    joints = (Joint(name="elbow", lower=-1, upper=1), Joint(name="wrist", lower=-1, upper=1))
    arm = EmbodimentSpec(name="arm", joints=joints, state_names=("wrist", "elbow_velocity", "elbow"))
    assert arm.position_in(np.array([0.1, 9.0, 0.2])).tolist() == [0.2, 0.1]


def test_a_unitless_action_rests_at_zero_or_as_near_as_it_may() -> None:
    joints = (Joint(name="torque", lower=-1, upper=1, unit="1"), Joint(name="throttle", lower=0.2, upper=1, unit="1"))
    arm = EmbodimentSpec(name="motor", joints=joints, state_names=("speed",))
    assert arm.position_in(np.array([3.0])).tolist() == [0.0, 0.2]


def test_a_joint_that_is_commanded_but_not_sensed_is_refused() -> None:
    arm = EmbodimentSpec(name="arm", joints=(Joint(name="elbow", lower=-1, upper=1),), state_names=("knee",))
    with pytest.raises(SpecMismatch, match=r"commands \['elbow'\].*\['knee'\]"):
        arm.position_in(np.zeros(1))
