import math
from typing import Any

import numpy as np
import pytest

from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.errors import InvalidObservation
from dualsys.messages import Command
from dualsys.safety import SafetyGate
from dualsys.settings import SafetyConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)
FREE = EmbodimentSpec(
    name="free", joints=(Joint(name="x", lower=-math.inf, upper=math.inf, unit="1"),), state_names=("x",)
)
DT_S = 0.02


def _gate(**config: Any) -> SafetyGate:
    gate = SafetyGate(ARM, DT_S, SafetyConfig(**config))
    gate.reset(np.zeros(2))
    return gate


def test_what_is_changed_is_named() -> None:
    assert _gate().apply(np.array([0.001, 0.0]))[1] == ()
    assert _gate().apply(np.array([0.02, 0.0]))[1] == ("acceleration",)
    assert _gate().apply(np.array([0.5, 0.0]))[1] == ("velocity", "acceleration")
    assert _gate().apply(np.array([3.0, 0.0]))[1] == ("position", "velocity", "acceleration")
    assert _gate().apply(np.array([math.nan, 0.0]))[1] == ("finite",)
    assert _gate().apply(np.zeros(3))[1] == ("finite",)
    assert _gate().apply(None)[1] == ("finite",)


def test_a_joint_that_is_not_finite_keeps_its_target_and_the_others_move() -> None:
    gate = _gate()
    gate.apply(np.array([0.004, 0.004]))
    out, names = gate.apply(np.array([math.nan, 0.008]))
    assert names == ("finite",)
    np.testing.assert_allclose(out, [0.004, 0.008])


def test_the_first_tick_of_a_jump_uses_the_whole_acceleration() -> None:
    out, _ = _gate().apply(np.array([1.0, -1.0]))
    np.testing.assert_allclose(out, [20 * DT_S**2, -20 * DT_S**2])


def test_scales_take_a_share_of_the_limits() -> None:
    full, half = _gate(), _gate(velocity_scale=0.5, acceleration_scale=0.25)
    for gate, speed in ((full, 2.0), (half, 1.0)):
        path = [gate.apply(np.array([1.0, 0.0]))[0][0] for _ in range(30)]
        assert np.max(np.diff(path)) / DT_S == pytest.approx(speed)
    np.testing.assert_allclose(_gate(acceleration_scale=0.25).apply(np.ones(2))[0], 5 * DT_S**2)


def test_an_arm_without_limits_follows_everything_finite_exactly() -> None:
    gate = SafetyGate(FREE, DT_S, SafetyConfig())
    gate.reset(np.zeros(1))
    for value in (5.0, -1e6, 1e9, 0.1, -0.3):
        out, names = gate.apply(np.array([value]))
        assert (out[0], names) == (value, ())


def test_a_gate_that_is_off_still_stops_what_is_not_finite() -> None:
    gate = _gate(enabled=False)
    assert gate.apply(np.array([9.0, -9.0]))[0].tolist() == [9.0, -9.0]
    out, names = gate.apply(np.array([math.inf, 1.0]))
    assert (out.tolist(), names) == ([9.0, 1.0], ("finite",))


@pytest.mark.parametrize("pose", ["hold_pose", "damp_pose"])
def test_a_pose_without_limits_on_the_way_there_is_refused(pose: str) -> None:
    with pytest.raises(ValueError, match=f"{pose} with enabled = false"):
        SafetyConfig(enabled=False, **{pose: {"joint_0": 0.1}})  # type: ignore[arg-type]


def test_it_is_on_unless_told_otherwise() -> None:
    assert SafetyConfig().enabled


def test_a_command_keeps_its_provenance_and_gathers_what_was_limited() -> None:
    command = Command(target=np.ones(2), stamp_s=1.0, source="hold", chunk_sequence=4, limited=("stale",))
    limited = _gate().limit(command)
    assert limited.limited == ("stale", "velocity", "acceleration")
    assert (limited.chunk_sequence, limited.source) == (4, "hold")
    assert command.target[0] == 1.0


def test_what_was_sent_does_not_change_afterwards() -> None:
    gate = _gate()
    first, _ = gate.apply(np.array([0.004, 0.0]))
    first += 100.0
    np.testing.assert_allclose(gate.apply(np.array([0.008, 0.0]))[0], [0.008, 0.0])


def test_a_reset_starts_from_rest_at_the_pose() -> None:
    gate = _gate()
    for _ in range(20):
        gate.apply(np.ones(2))
    gate.reset(np.array([-0.5, 0.5]))
    np.testing.assert_allclose(gate.apply(np.array([-0.5, 0.5]))[0], [-0.5, 0.5])


@pytest.mark.parametrize("position", [np.zeros(3), np.array([math.nan, 0.0]), np.array([1e13, 0.0])])
def test_a_pose_that_cannot_be_is_refused_at_reset(position: Any) -> None:
    with pytest.raises(InvalidObservation, match="cannot start"):
        _gate().reset(position)


def test_targets_of_the_embodiment_limits_are_reached_exactly() -> None:
    gate = _gate()
    for _ in range(200):
        out, _ = gate.apply(np.array([1.0, -1.0]))
    assert out.tolist() == [1.0, -1.0]
