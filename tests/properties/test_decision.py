"""Whatever happens to the decision core, it gives a command the gate can make safe, and the same one every time."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys import registry
from dualsys.chunk_policies import Placed, SkipByDelay, build_policy
from dualsys.chunking import target_at
from dualsys.counters import COUNTS
from dualsys.decision import DecisionCore
from dualsys.events import (
    ChunkArrived,
    ChunkRequest,
    CoreStatus,
    Decision,
    EmergencyReset,
    EmergencyStop,
    Fault,
    Observed,
    Offered,
    Started,
    SubgoalArrived,
    Tick,
)
from dualsys.messages import ActionChunk, FloatArray
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, RecoveryConfig, SafetyConfig, StalenessConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)
NUMBERS = st.floats(0, 2) | st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 1e300, 1e13])
ODDITIES = NUMBERS | st.sampled_from([None, "1", 10**400, True, np.float64(0.5), np.array([1.0, 2.0])])
ARRAYS = st.sampled_from(
    [
        np.zeros(2),
        np.array([0.3, -0.3]),
        np.array([5.0, -5.0]),
        np.array([math.nan, 0.0]),
        np.array([1e308, -1e308]),
        np.zeros(3),
        np.zeros((2, 2)),
        np.array(0.5),
        np.array(["a", "b"]),
        np.array([1, 0]),
        None,
        [0.0, 0.0],
    ]
)
SOURCES: Any = st.sampled_from(["teleoperation", "pose", "controller", "policy", None, []])
ROWS = st.sampled_from(
    [
        np.zeros((4, 2)),
        np.linspace(-1, 1, 16).reshape(8, 2),
        np.full((5, 2), 1e308),
        np.stack([np.full(2, 1.7e308), np.full(2, -1.7e308)]),
        np.ones((1, 2)),
        np.zeros((0, 2)),
        np.zeros((4, 3)),
        np.zeros(2),
        np.full((4, 2), math.nan),
        np.ones((4, 2), dtype=np.int64),
        np.ones((4, 2), dtype=np.complex128),
        None,
        [[0.0, 0.0]],
    ]
)


@st.composite
def chunks(draw: st.DrawFn) -> Any:
    oddities: Any = ODDITIES
    if draw(st.integers(0, 19)) == 0:
        return draw(oddities)
    integers = st.integers(-1, 6)
    return ActionChunk(
        rows=draw(ROWS),
        dt_s=draw(st.just(0.02) | oddities),
        start_stamp_s=draw(st.floats(0, 1) | oddities),
        sequence=draw(integers | oddities),
        request=draw(integers | oddities),
        subgoal_sequence=draw(integers | oddities),
        subgoal_epoch=draw(st.just(0) | oddities),
        subgoal_age_s=draw(st.floats(0, 1) | oddities),
        subgoal_progress=draw(st.floats(0, 1) | oddities),
    )


ANYTHING = st.one_of(
    st.builds(Started, now_s=ODDITIES, position=ARRAYS),
    st.builds(Observed, stamp_s=ODDITIES, state=ARRAYS),
    st.builds(SubgoalArrived, sequence=ODDITIES, epoch=ODDITIES, observation_stamp_s=ODDITIES, time_to_live_s=ODDITIES),
    st.builds(ChunkArrived, chunk=chunks(), now_s=ODDITIES),
    st.builds(Tick, now_s=ODDITIES),
    st.builds(
        Offered, now_s=ODDITIES, source=SOURCES, target=ARRAYS, stamp_s=ODDITIES, claims=st.booleans() | ODDITIES
    ),
    st.builds(Offered, now_s=st.floats(0, 2), source=SOURCES, target=ARRAYS, stamp_s=st.floats(0, 2)),
    st.builds(EmergencyStop, now_s=ODDITIES, reason=ODDITIES),
    st.builds(EmergencyReset, now_s=ODDITIES, position=ARRAYS),
    st.builds(Fault, now_s=ODDITIES, kind=st.sampled_from(["actor", "planner", ""]) | ODDITIES),
    ODDITIES,
)
DISTURBANCES = ANYTHING.filter(lambda event: not isinstance(event, Tick | Observed))
CONFIGS = st.builds(
    CoreConfig,
    actor_hz=st.sampled_from([5.0, 10.0, 1000.0]),
    first_subgoal_wait_s=st.sampled_from([0.0, 0.3]),
    request_timeout_s=st.sampled_from([0.05, 1.0]),
    recovery=st.builds(
        RecoveryConfig,
        enabled=st.booleans(),
        reaction=st.sampled_from(["resample", "retrace", "home", "escalate"]),
        still_s=st.sampled_from([0.1, 0.4]),
        max_recoveries=st.integers(0, 2),
    ),
    subgoal=st.sampled_from(
        [
            StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4, on_stale="null", on_expired="null"),
            StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4, on_expired="hold"),
            StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4, on_stale="slow", on_expired="damp"),
            StalenessConfig(fresh_s=0.0, usable_s=0.1, expire_s=0.1, on_stale="slow", on_expired="stop"),
        ]
    ),
)


class BrokenPolicy:
    """Somebody's rule that gives anything, or fails."""

    guidance = None

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def first_row(self, consumed_rows: float) -> float:
        if self._answer is None:
            raise KeyError(consumed_rows)
        return self._answer  # type: ignore[no-any-return]

    def join(self, arrived: Placed, playing: Placed, earlier: Iterable[Placed]) -> FloatArray:
        if self._answer is None:
            raise KeyError(arrived)
        return self._answer if isinstance(self._answer, np.ndarray) else arrived.rows


POLICIES = st.sampled_from([build_policy(name) for name in registry.names("chunk_policies")])
ANY_POLICIES = POLICIES | st.builds(BrokenPolicy, ODDITIES)


def _run(events: list[Any], config: CoreConfig, policy: Any) -> list[tuple[Decision, CoreStatus]]:
    core = DecisionCore(ARM, config, policy)
    return [(core.handle(event), core.status()) for event in events]


def told(request: ChunkRequest) -> Any:
    prefix = request.prefix
    return prefix and (prefix.rows.tobytes(), prefix.inference_delay, prefix.guidance)


def _bits(decision: Decision, status: CoreStatus) -> tuple[Any, ...]:
    """Everything in a decision and the status after it, floats to the bit."""
    command, request = decision.command, decision.request
    fields: tuple[Any, ...] = ()
    if command is not None:
        names = [name for name in type(command).__slots__ if name != "target"]
        fields = (command.target.tobytes(), *(repr(getattr(command, name)) for name in names))
    asked = None if request is None else (request.sequence, repr(request.stamp_s), request.use_subgoal, told(request))
    return (*fields, asked, status.phase, tuple(status.counts.items()))


@settings(max_examples=300)
@given(st.lists(ANYTHING, max_size=40), CONFIGS, ANY_POLICIES)
def test_no_event_raises_and_the_same_events_give_the_same_decisions(
    events: list[Any], config: CoreConfig, policy: Any
) -> None:
    decisions = _run(events, config, policy)
    again = _run(events, config, policy)
    assert [_bits(*step) for step in decisions] == [_bits(*step) for step in again]
    for decision, status in decisions:
        assert set(status.counts) == set(COUNTS)
        if decision.command is not None:
            assert decision.command.target.shape == (2,)
            assert np.isfinite(decision.command.target).all()


@st.composite
def runs(draw: st.DrawFn) -> list[Any]:
    """A plausible run: time goes on, now and then anything at all happens, chunks answer requests or fail to."""
    events: list[Any] = [Started(now_s=0.0, position=np.zeros(2))]
    now_s = 0.0
    for _ in range(draw(st.integers(5, 40))):
        now_s += draw(st.sampled_from([0.002, 0.02, 0.02, 0.3]))
        if draw(st.booleans()):
            events.append(Observed(stamp_s=now_s, state=np.zeros(2)))
        if draw(st.integers(0, 3)) == 0:
            events.append(draw(DISTURBANCES))
        events.append(Tick(now_s=now_s))
    return events


@settings(max_examples=60)
@given(runs(), ANY_POLICIES, st.integers(0, 2**32 - 1))
def test_after_the_gate_every_command_keeps_the_limits(events: list[Any], policy: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dt_s = 0.02
    core, gate = DecisionCore(ARM, CoreConfig(first_subgoal_wait_s=0.0), policy), SafetyGate(ARM, dt_s, SafetyConfig())
    gate.reset(np.zeros(2))
    sent = [np.zeros(2)]
    requests = []
    chunk_sequences = []
    answers: list[Any] = []
    for event in events:
        now_s = event.now_s if isinstance(event, Tick) else 0.0
        if answers and rng.random() < 0.5:
            core.handle(ChunkArrived(chunk=answers.pop(), now_s=now_s))
        decision = core.handle(event)
        if decision.request is not None:
            requests.append(decision.request.sequence)
            answers = [_answer(decision.request.sequence, decision.request.stamp_s, rng)]
        if decision.command is not None:
            command = gate.limit(decision.command)
            sent.append(command.target)
            chunk_sequences.append(command.chunk_sequence)
    path = np.stack(sent)
    assert np.all(np.abs(path) <= 1 + 1e-12)
    velocity = np.diff(path, axis=0) / dt_s
    assert np.all(np.abs(velocity) <= 2 + 1e-6)
    acceleration = np.diff(np.concatenate([np.zeros((1, 2)), velocity]), axis=0) / dt_s
    assert np.all(np.abs(acceleration) <= 20 + 1e-6)
    assert requests == list(range(len(requests)))


def _answer(request: int, stamp_s: float, rng: np.random.Generator) -> ActionChunk:
    rows = rng.uniform(-3, 3, (int(rng.integers(1, 12)), 2))
    if rng.random() < 0.2:
        rows[0, 0] = np.nan
    return ActionChunk(rows=rows, dt_s=0.02, start_stamp_s=stamp_s, request=request, sequence=request)


@settings(max_examples=100)
@given(
    st.integers(1, 8),
    st.floats(0.005, 0.05),
    st.lists(st.floats(0.0005, 0.09), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
)
def test_the_command_is_the_interpolation_of_the_rows_at_any_tick_times(
    horizon: int, dt_s: float, gaps_s: list[float], seed: int
) -> None:
    """The curve through the rows (held to its own oracles) at (now - start) / dt, whatever the rate and its jitter."""
    rows = np.random.default_rng(seed).uniform(-1, 1, (horizon, 2))
    anything = CoreConfig(first_subgoal_wait_s=0.0, outlier_reach_s=0.0, outlier_speed=0.0)
    core = DecisionCore(ARM, anything, SkipByDelay())
    core.handle(Started(now_s=0.0, position=np.zeros(2)))
    core.handle(Observed(stamp_s=0.0, state=np.zeros(2)))
    request = core.handle(Tick(now_s=0.0)).request
    assert request is not None
    chunk = ActionChunk(rows=rows, dt_s=dt_s, start_stamp_s=0.0, request=request.sequence, sequence=request.sequence)
    core.handle(ChunkArrived(chunk=chunk, now_s=0.0))
    core.handle(Tick(now_s=0.0))
    now_s = 0.0
    for gap_s in gaps_s:
        now_s += gap_s
        core.handle(Observed(stamp_s=now_s, state=np.zeros(2)))
        command = core.handle(Tick(now_s=now_s)).command
        assert command is not None
        if now_s > 1.9:
            break
        np.testing.assert_allclose(command.target, target_at(rows, now_s / dt_s), atol=1e-9)
