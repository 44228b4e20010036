"""What tells that an attempt gets nowhere, each sign with a motion of which one knows."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dualsys.embodiment import EmbodimentSpec, Joint, JointGroup
from dualsys.messages import FloatArray
from dualsys.progress_watch import ProgressWatch, gripper_groups
from dualsys.settings import RecoveryConfig

NAMES = ("shoulder", "elbow", "finger", "thumb")
ROBOT = EmbodimentSpec(
    name="one-armed",
    joints=tuple(Joint(name=name, lower=-2, upper=2, max_velocity=2, max_acceleration=20) for name in NAMES),
    state_names=(*NAMES, "battery"),
    groups=(JointGroup(name="arm", joints=NAMES[:2]), JointGroup(name="hand", joints=NAMES[2:])),
)
DT_S = 0.02
Motion = Callable[[float], FloatArray]


def seen(
    sent: Motion, sensed: Motion | None = None, *, seconds: float = 6.0, progress: float = -1.0, **config: Any
) -> tuple[float, str] | None:
    """When and what is noticed of a motion first."""
    watch = ProgressWatch(ROBOT, RecoveryConfig(enabled=True, **config))
    watch.restart(0.0)
    for tick in range(round(seconds / DT_S)):
        now_s = tick * DT_S
        state = np.append((sensed or sent)(now_s), 12.0)
        found = watch.look(now_s, state, sent(now_s), progress)
        if found is not None:
            return now_s, found
    return None


def arm(shoulder: float = 0.0, hand: float = 0.0) -> FloatArray:
    return np.array([shoulder, 0.0, hand, hand])


def test_standing_still_is_told_after_its_time_and_no_sooner() -> None:
    found = seen(lambda now_s: arm(min(now_s, 1.0)), still_s=0.6)
    assert found is not None
    assert found[1] == "no_progress"
    assert found[0] == pytest.approx(1.6, abs=0.1)


def test_a_motion_that_goes_on_is_progress_however_slow_its_other_joints() -> None:
    assert seen(lambda now_s: arm(0.3 * now_s)) is None


def test_creeping_below_the_bound_is_no_progress_and_above_it_is() -> None:
    bound_rad_s = 0.02 * 2
    assert seen(lambda now_s: arm(0.8 * bound_rad_s * now_s), still_speed=0.02) is not None
    assert seen(lambda now_s: arm(1.3 * bound_rad_s * now_s), still_speed=0.02) is None


def test_to_and_fro_is_no_progress() -> None:
    assert seen(lambda now_s: arm(0.5 * math.sin(2 * math.pi * 4 * now_s))) is not None
    assert seen(lambda now_s: arm(0.5 * math.sin(2 * math.pi * 4 * now_s)), to_and_fro=20) is None


def closing(now_s: float) -> FloatArray:
    return arm(0.3 * now_s, hand=min(now_s, 1.0))


def kept_open(now_s: float) -> FloatArray:
    return arm(0.3 * now_s, hand=min(now_s, 0.6))


def test_a_hand_that_closes_on_nothing_missed() -> None:
    found = seen(closing)
    assert found is not None
    assert found[1] == "missed_grasp"
    assert 1.0 <= found[0] <= 1.4
    assert seen(closing, max_missed_grasps=2) is None
    assert seen(closing, max_missed_grasps=0) is None


def test_fingers_kept_from_where_they_were_sent_hold_something() -> None:
    assert seen(closing, kept_open) is None


def test_a_hand_that_opens_grasps_at_nothing() -> None:
    assert seen(lambda now_s: arm(0.3 * now_s, hand=1.0 - min(now_s, 1.0))) is None


def test_two_misses_are_counted_where_one_is_allowed() -> None:
    def twice(now_s: float) -> FloatArray:
        return arm(0.3 * now_s, hand=min(1.0, max(0.0, 3 * math.sin(math.pi * now_s))))

    found = seen(twice, max_missed_grasps=2)
    assert found is not None
    assert found[1] == "missed_grasp"
    assert found[0] > 2.0


def test_who_holds_something_and_stands_still_is_done() -> None:
    def sent(now_s: float) -> FloatArray:
        return arm(min(0.3 * now_s, 0.5), hand=min(now_s, 1.4))

    def sensed(now_s: float) -> FloatArray:
        return arm(min(0.3 * now_s, 0.5), hand=min(now_s, 0.9))

    assert seen(sent, sensed) is None
    assert seen(sent, sensed, held_error=0.6) is not None


def test_completed_is_said_once_until_it_is_taken_back() -> None:
    watch = ProgressWatch(ROBOT, RecoveryConfig(enabled=True))
    watch.restart(0.0)
    told = [0.5, 1.0, 1.0, -1.0, 1.0]
    found = [watch.look(i * DT_S, np.zeros(5), np.zeros(4), value) for i, value in enumerate(told)]
    assert [each == "completed" for each in found] == [False, True, False, False, True]


def test_a_pause_forgets_how_long_it_has_been_still() -> None:
    watch = ProgressWatch(ROBOT, RecoveryConfig(enabled=True, still_s=0.6))
    watch.restart(0.0)
    found = []
    for tick in range(100):
        if tick == 25:
            watch.pause(tick * DT_S)
        found.append(watch.look(tick * DT_S, np.zeros(5), np.zeros(4), -1.0))
    assert found.index("no_progress") * DT_S == pytest.approx(25 * DT_S + 0.6, abs=0.1)


def test_a_joint_that_is_not_sensed_is_taken_to_be_where_it_was_sent() -> None:
    blind = ROBOT.model_copy(update={"state_names": ("elbow",)})
    watch = ProgressWatch(blind, RecoveryConfig(enabled=True))
    watch.restart(0.0)
    found = [watch.look(i * DT_S, np.zeros(1), arm(0.3 * i * DT_S), -1.0) for i in range(200)]
    assert found == [None] * 200


def test_grippers_are_found_by_name_or_named() -> None:
    assert gripper_groups(ROBOT, RecoveryConfig()) == ("hand",)
    assert gripper_groups(ROBOT, RecoveryConfig(grippers=("arm",))) == ("arm",)
    assert gripper_groups(ROBOT, RecoveryConfig(grippers=())) == ()
