"""What the decision core does about old inputs, and the emergency stop: with times small enough to follow on paper."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.chunk_policies import Naive, SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.events import ChunkArrived, EmergencyReset, EmergencyStop, Observed, Started, SubgoalArrived, Tick
from dualsys.messages import ActionChunk, Command
from dualsys.outliers import is_outlier
from dualsys.protocols import ChunkPolicy
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StaleAction, StalenessConfig
from dualsys.staleness import action_for, pace_for, strongest
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(1)
DT_S = 0.02


def _core(policy: ChunkPolicy | None = None, **config: Any) -> DecisionCore:
    """A core at 50 Hz that plays a chunk whose target is the row number over 1000."""
    core = DecisionCore(ARM, CoreConfig(first_subgoal_wait_s=0.0, **config), policy or SkipByDelay())
    core.handle(Started(now_s=0.0, position=np.zeros(1)))
    core.handle(Observed(stamp_s=0.0, state=np.zeros(1)))
    asked = core.handle(Tick(now_s=0.0)).request
    assert asked is not None
    rows = np.arange(200, dtype=np.float64)[:, None] / 1000
    chunk = ActionChunk(rows=rows, dt_s=DT_S, start_stamp_s=0.0, request=asked.sequence, sequence=0)
    core.handle(ChunkArrived(chunk=chunk, now_s=0.0))
    return core


def _tick(core: DecisionCore, now_s: float, *, observed: bool = True) -> Command:
    if observed:
        core.handle(Observed(stamp_s=now_s, state=np.zeros(1)))
    command = core.handle(Tick(now_s=now_s)).command
    assert command is not None
    return command


def _count(core: DecisionCore, name: str) -> int:
    return core.status().counts[name]


def _chunk_ages(on_stale: StaleAction, on_expired: StaleAction) -> StalenessConfig:
    return StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4, on_stale=on_stale, on_expired=on_expired)


def test_slow_runs_the_motion_down_to_a_standstill() -> None:
    """Pace 1 up to 0.2 s, then (0.4 - age) / 0.2: 0.9, 0.8, ... 0 rows a tick. Together 10 + 4.5."""
    core = _core(chunk=_chunk_ages("slow", "slow"))
    rows = [_tick(core, index * DT_S).row for index in range(31)]
    np.testing.assert_allclose(rows[:11], np.arange(11))
    np.testing.assert_allclose(np.diff(rows[10:21]), np.arange(9, -1, -1) / 10, atol=1e-9)
    np.testing.assert_allclose(rows[20:], 14.5)
    assert _count(core, "slowed_ticks") == 10
    assert core.status().phase == "held"


@pytest.mark.parametrize(("action", "source"), [("hold", "hold"), ("damp", "damp"), ("slow", "hold")])
def test_an_expired_input_stops_as_configured_and_a_new_one_goes_on(action: StaleAction, source: str) -> None:
    state = StalenessConfig(fresh_s=0.02, usable_s=0.04, expire_s=0.1, on_expired=action)
    core = _core(state=state)
    commands = [_tick(core, index * DT_S, observed=False) for index in range(9)]
    assert [c.source for c in commands] == ["actor"] * 6 + [source] * 3
    assert commands[-1].limited == ("stale",)
    command = _tick(core, 9 * DT_S)
    assert command.source == "actor"
    assert command.row == pytest.approx(6.0), "it goes on where it stopped"
    assert (_count(core, "held_ticks"), _count(core, "stops")) == (3, 0)


def test_stop_is_latched_and_an_input_that_never_came_does_not_stop_the_start() -> None:
    subgoal = StalenessConfig(fresh_s=0.05, usable_s=0.05, expire_s=0.1, on_expired="stop")
    core = DecisionCore(ARM, CoreConfig(subgoal=subgoal), SkipByDelay())
    core.handle(Started(now_s=0.0, position=np.zeros(1)))
    assert [_tick(core, index * DT_S).source for index in range(3)] == ["start"] * 3

    core = _core(subgoal=subgoal)
    core.handle(SubgoalArrived(sequence=0, epoch=0, observation_stamp_s=0.0, time_to_live_s=math.inf))
    sources = [_tick(core, index * DT_S).source for index in range(8)]
    assert sources == ["actor"] * 6 + ["stop"] * 2
    core.handle(SubgoalArrived(sequence=1, epoch=0, observation_stamp_s=0.15, time_to_live_s=math.inf))
    assert _tick(core, 8 * DT_S).source == "stop"
    assert (_count(core, "stops"), core.status().phase) == (1, "stopped")


def test_an_emergency_stop_is_latched_until_it_is_reset() -> None:
    core = _core()
    _tick(core, DT_S)
    core.handle(EmergencyStop(now_s=DT_S, reason="somebody walked in"))
    core.handle(EmergencyStop(now_s=DT_S))
    assert _tick(core, 2 * DT_S).source == "stop"
    core.handle(Started(now_s=3 * DT_S, position=np.array([0.4])))
    decision = core.handle(Tick(now_s=3 * DT_S))
    assert decision.command is not None
    assert (decision.command.source, decision.request) == ("stop", None), "a new episode does not reset it"
    core.handle(EmergencyReset(now_s=4 * DT_S, position=np.array([np.nan])))
    assert _tick(core, 4 * DT_S).source == "stop", "nor a reset to nowhere"
    core.handle(EmergencyReset(now_s=5 * DT_S, position=np.array([0.3])))
    command = _tick(core, 5 * DT_S)
    assert (command.source, command.target[0]) == ("start", 0.3)
    assert (_count(core, "stops"), _count(core, "stop_resets"), _count(core, "stopped_ticks")) == (1, 1, 3)


def test_a_reset_without_a_stop_means_nothing() -> None:
    core = _core()
    _tick(core, DT_S)
    core.handle(EmergencyReset(now_s=DT_S, position=np.array([0.3])))
    assert _tick(core, 2 * DT_S).source == "actor"
    assert (_count(core, "stop_resets"), _count(core, "bad_events")) == (0, 1)


EVENTS = st.sampled_from(["stop", "reset", "start", "chunk", "quiet", "subgoal", "tick", "tick", "tick"])


@settings(max_examples=60)
@given(st.lists(EVENTS, max_size=80), st.sampled_from(["joint", "path"]), st.integers(0, 2**32 - 1))
def test_nothing_but_a_reset_ends_a_stop_and_every_command_keeps_the_limits(
    events: list[str], follow: Any, seed: int
) -> None:
    """Random stops, resets, starts, lost states and wild chunks; once at rest a stopped command never moves."""
    rng = np.random.default_rng(seed)
    config = CoreConfig(state=_chunk_ages("slow", "damp"), chunk=_chunk_ages("damp", "stop"), first_subgoal_wait_s=0.0)
    arm = fake_embodiment(2)
    core = DecisionCore(arm, config, SkipByDelay())
    gate = SafetyGate(arm, DT_S, SafetyConfig(follow=follow, max_jerk=1000.0))
    gate.reset(np.zeros(2))
    core.handle(Started(now_s=0.0, position=np.zeros(2)))
    sent, now_s, quiet, latched, asked = [np.zeros(2)], 0.0, False, False, None
    for event in events + ["tick"] * 10:
        if event == "stop":
            core.handle(EmergencyStop(now_s=now_s))
            latched = True
        elif event == "reset" and core.status().phase == "stopped":
            core.handle(EmergencyReset(now_s=now_s, position=gate.resume(sent[-1])))
            latched = False
        elif event == "start":
            core.handle(Started(now_s=now_s, position=sent[-1]))
        elif event == "subgoal":
            core.handle(SubgoalArrived(sequence=0, epoch=0, observation_stamp_s=now_s, time_to_live_s=1.0))
        elif event == "quiet":
            quiet = not quiet
        elif event == "chunk" and asked is not None:
            rows = rng.uniform(-1.5, 1.5, (10, 2)) * rng.choice([0.05, 1.0])
            chunk = ActionChunk(rows=rows, dt_s=DT_S, start_stamp_s=asked.stamp_s, request=asked.sequence, sequence=0)
            core.handle(ChunkArrived(chunk=chunk, now_s=now_s))
        now_s += DT_S
        if not quiet:
            core.handle(Observed(stamp_s=now_s, state=np.zeros(2)))
        decision = core.handle(Tick(now_s=now_s))
        asked = decision.request or asked
        assert decision.command is not None
        rested = gate.at_rest
        command = gate.limit(decision.command)
        latched = latched or command.source == "stop"
        assert latched == (command.source == "stop") == (core.status().phase == "stopped")
        assert not (latched and rested) or np.array_equal(command.target, sent[-1])
        sent.append(command.target)
    path = np.stack([sent[0], sent[0], *sent])
    for order, most in ((0, 1.0), (1, 2.0), (2, 20.0), (3, 1000.0)):
        assert np.abs(np.diff(path, order, axis=0)).max() / DT_S**order <= most * (1 + 1e-6)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 3))
def test_the_pace_falls_evenly_and_never_rises_with_age(one_s: float, other_s: float, time_to_live_s: float) -> None:
    ages = _chunk_ages("slow", "hold")
    younger, older = (pace_for(age_s, ages, time_to_live_s=time_to_live_s) for age_s in sorted((one_s, other_s)))
    assert 1.0 >= younger >= older >= 0.0
    assert pace_for(0.3, ages) == pytest.approx(0.5)
    assert pace_for(9.0, _chunk_ages("keep", "hold")) == 1.0


def test_of_several_old_inputs_the_one_counts_that_stops_most() -> None:
    assert strongest("keep", "slow", "null") == "slow"
    assert strongest("hold", "damp", "slow") == "damp"
    assert strongest("stop", "damp", "keep") == "stop"
    assert action_for("expired", _chunk_ages("slow", "slow")) == "hold"


CONFIG = CoreConfig(outlier_reach_s=0.5, outlier_speed=2.0)
LIMIT = ARM.max_velocity


@pytest.mark.parametrize(
    ("rows", "target", "outlier"),
    [
        ([0.0, 0.0], 0.99, False),
        ([0.0, 0.0], 1.01, True),
        ([0.0, 0.079], 0.0, False),
        ([0.0, 0.081], 0.0, True),
        ([9.0, 0.0], 0.0, True),
    ],
)
def test_an_outlier_begins_out_of_reach_or_jumps(rows: list[float], target: float, outlier: bool) -> None:
    """At 2 rad/s: 1 rad within 0.5 s, and twice 0.04 rad between rows."""
    chunk = ActionChunk(rows=np.array(rows)[:, None], dt_s=DT_S, start_stamp_s=0.0)
    assert (is_outlier(chunk, 0.0, np.array([target]), LIMIT, CONFIG) is not None) == outlier
    off = CoreConfig(outlier_reach_s=0.0, outlier_speed=0.0)
    assert is_outlier(chunk, 0.0, np.array([target]), LIMIT, off) is None
    assert is_outlier(chunk, 0.0, np.array([target]), np.array([np.inf]), CONFIG) is None


def test_an_outlier_is_counted_and_the_old_chunk_goes_on() -> None:
    core = _core()
    for index in range(6):
        _tick(core, index * DT_S)
    rows = np.full((20, 1), 5.0)
    core.handle(
        ChunkArrived(chunk=ActionChunk(rows=rows, dt_s=DT_S, start_stamp_s=0.1, request=1, sequence=1), now_s=0.1)
    )
    command = _tick(core, 6 * DT_S)
    assert command.chunk_sequence == 0
    assert command.row == pytest.approx(6.0)
    assert _count(core, "chunks_refused_outlier") == 1


@pytest.mark.parametrize(
    ("policy", "rows", "refused"),
    [
        (Naive(), 0.3 + 0.15 * np.arange(20), 0),
        (SkipByDelay(), 0.3 + 0.15 * np.arange(20), 1),
        (Naive(), 1.2 - 0.15 * np.arange(20), 1),
        (SkipByDelay(), 1.2 - 0.15 * np.arange(20), 0),
    ],
)
def test_an_outlier_is_judged_at_the_row_where_the_policy_begins(policy: Any, rows: Any, refused: int) -> None:
    """Five rows were consumed, the motion is at 0.006 and may reach 1: row 0 is 0.3 or 1.2, row 5 is 1.05 or 0.45."""
    core = _core(policy)
    for index in range(6):
        _tick(core, index * DT_S)
    core.handle(
        ChunkArrived(
            chunk=ActionChunk(rows=rows[:, None], dt_s=DT_S, start_stamp_s=0.02, request=1, sequence=1), now_s=0.1
        )
    )
    _tick(core, 6 * DT_S)
    assert _count(core, "chunks_refused_outlier") == refused
