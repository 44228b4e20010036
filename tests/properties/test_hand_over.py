"""Hand-over between sources of commands: smooth at the switch, within the limits, and at the end the new one's own."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.bridge.inline import InlineDriver
from dualsys.chunk_policies import SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.embodiment import EmbodimentSpec, Joint, SubgoalSpec
from dualsys.events import Observed, Offered, Started, Tick
from dualsys.messages import Command, CommandSource, FloatArray, Observation
from dualsys.replay import replay
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, TimingConfig
from dualsys.sources import PRIORITY
from dualsys.tape import Record, TapeHead
from dualsys.testing import GroupActor, PoseActor, fake_embodiment, mobile_embodiment
from dualsys.testing.groups import mobile_motions

ARM = fake_embodiment(2)
FREE = EmbodimentSpec(name="free", joints=(Joint(name="x", lower=-9, upper=9),), state_names=("x",))
SPEC = SubgoalSpec(num_tokens=1, dim=1)
DT_S = 0.005
LIMITS = [ARM.max_velocity, ARM.max_acceleration]


class Run:
    """Commands through a gate, with what was sent."""

    def __init__(self, robot: EmbodimentSpec = ARM, **config: Any) -> None:
        self.gate = SafetyGate(robot, DT_S, SafetyConfig(**config))
        self.gate.reset(np.zeros(robot.num_actions))
        self.sent: list[FloatArray] = [np.zeros(robot.num_actions)]

    def send(self, target: Any, source: CommandSource) -> FloatArray:
        stamp_s = len(self.sent) * DT_S
        command = Command(target=np.array(target, dtype=np.float64), stamp_s=stamp_s, source=source)
        self.sent.append(self.gate.limit(command).target)
        return self.sent[-1]


def require_limits(sent: list[FloatArray], robot: EmbodimentSpec = ARM) -> None:
    """Of velocity and acceleration, from rest on."""
    path = np.stack([sent[0], *sent])
    velocity = np.diff(path, axis=0) / DT_S
    acceleration = np.diff(velocity, axis=0) / DT_S
    assert np.all(np.abs(path) <= robot.upper + 1e-9)
    assert np.all(np.abs(velocity) <= robot.max_velocity * (1 + 1e-6))
    assert np.all(np.abs(acceleration) <= robot.max_acceleration * (1 + 1e-6))


MOTIONS = st.tuples(st.floats(-0.6, 0.6), st.floats(0, 0.3), st.floats(0.5, 3), st.floats(0, 6))
SWITCHES = st.lists(
    st.tuples(st.sampled_from(["actor", *PRIORITY]), MOTIONS, st.integers(1, 300)), min_size=2, max_size=5
)


def motion(shape: tuple[float, float, float, float], now_s: float) -> FloatArray:
    centre, width, speed, phase = shape
    return np.array([centre + width * np.sin(speed * now_s + phase), centre - width * np.cos(speed * now_s)])


@settings(max_examples=60)
@given(SWITCHES, st.sampled_from([0.05, 0.5, 1.5]), st.sampled_from(["joint", "path"]), st.booleans())
def test_whoever_takes_over_whenever_the_limits_are_kept_and_its_own_commands_are_met(
    switches: list[Any], handover_s: float, follow: Any, steps: bool
) -> None:
    """Sources that move within the limits, or jump about, switched in the midst of blends, too."""
    run = Run(handover_s=handover_s, follow=follow)
    for source, shape, ticks in switches:
        for tick in range(ticks):
            held_s = tick // 40 * 0.2 if steps else tick * DT_S
            run.send(motion(shape, held_s), source)
    source, shape = "teleoperation", (0.1, 0.2, 1.0, 0.0)
    for tick in range(1600):
        target = motion(shape, tick * DT_S)
        run.send(target, source)  # type: ignore[arg-type]
    require_limits(run.sent)
    np.testing.assert_allclose(run.sent[-1], target, atol=1e-9)


@settings(max_examples=60)
@given(MOTIONS, MOTIONS, st.integers(50, 400), st.floats(0.3, 1.5))
def test_at_the_switch_position_and_velocity_go_on(before: Any, after: Any, ticks: int, handover_s: float) -> None:
    """The first command of the new source is where the old motion would have gone on, to a small share of a limit."""
    run = Run(handover_s=handover_s)
    for tick in range(ticks):
        run.send(motion(before, tick * DT_S), "actor")
    position, velocity = run.sent[-1], (run.sent[-1] - run.sent[-2]) / DT_S
    run.send(motion(after, 0.0), "controller")
    change = (run.sent[-1] - position) / DT_S - velocity
    # Half the acceleration limit for braking, and the curve's first step beside it.
    assert np.all(np.abs(change) <= 0.6 * ARM.max_acceleration * DT_S + 1e-9)


@settings(max_examples=40)
@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.2, 1.0))
def test_from_rest_to_rest_it_is_the_minimum_jerk_curve(begin: float, end: float, handover_s: float) -> None:
    run = Run(FREE, handover_s=handover_s)
    for _ in range(3):
        run.send([begin], "actor")
    began = len(run.sent) - 1
    for _ in range(300):
        run.send([end], "pose")
    share = np.clip((np.arange(began, len(run.sent)) - began) * DT_S / handover_s, 0, 1)
    curve = begin + (10 * share**3 - 15 * share**4 + 6 * share**5) * (end - begin)
    np.testing.assert_allclose(np.stack(run.sent)[began:, 0], curve, atol=1e-9)


def test_a_long_way_takes_as_long_as_the_limits_ask_and_nothing_has_to_be_cut() -> None:
    run = Run(handover_s=0.1)
    for _ in range(5):
        run.send([0.0, 0.0], "actor")
    command = Command(target=np.array([0.9, -0.4]), stamp_s=len(run.sent) * DT_S, source="pose")
    changed: set[str] = set()
    for _ in range(400):
        command = replace(command, stamp_s=len(run.sent) * DT_S)
        sent = run.gate.limit(command)
        changed.update(sent.limited)
        run.sent.append(sent.target)
    assert changed == set()
    require_limits(run.sent)
    np.testing.assert_array_equal(run.sent[-1], [0.9, -0.4])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["actor", "hold", "start", "damp"]), MOTIONS), min_size=1, max_size=30))
def test_the_policy_alone_is_never_blended(commands: list[Any]) -> None:
    """To the bit: what the policy's own chunks, holds and starts do is as without hand-over."""
    runs = [Run(handover_s=0.7), Run(handover_s=0.0)]
    for run in runs:
        for source, shape in commands:
            for tick in range(7):
                run.send(motion(shape, tick * DT_S), source)
    assert [sent.tobytes() for sent in runs[0].sent] == [sent.tobytes() for sent in runs[1].sent]


@settings(max_examples=30)
@given(st.floats(-0.8, 0.8), st.floats(-0.8, 0.8), st.booleans())
def test_after_an_emergency_stop_the_motion_blends_in_too(far: float, sagged: float, was_moved: bool) -> None:
    """From what was last sent, or from where it was moved to meanwhile; the first chunk may be anywhere."""
    run = Run(handover_s=0.5)
    for _ in range(100):
        run.send([0.5, -0.5], "actor")
    for _ in range(100):
        run.send([0.5, -0.5], "stop")
    begins = run.gate.resume(np.array([sagged, sagged]) if was_moved else run.sent[-1])
    after = [begins]
    after.extend(run.send(begins, "start") for _ in range(3))
    after.extend(run.send([far, far], "actor") for _ in range(600))
    np.testing.assert_array_equal(after[3], begins)
    require_limits(after)
    # A tick into a curve of half a second: 10 (1/100)^3 of the way, not what the limits would allow.
    assert np.all(np.abs(after[4] - begins) <= 1.1e-5 * np.abs(far - begins) + 1e-12)
    np.testing.assert_allclose(after[-1], [far, far], atol=1e-9)


@st.composite
def offers(draw: st.DrawFn) -> list[tuple[int, Offered]]:
    """Offers of all sources, each at some tick."""
    ticks = draw(st.lists(st.integers(0, 500), min_size=1, max_size=25))
    return [
        (
            tick,
            Offered(
                now_s=tick * DT_S,
                source=draw(st.sampled_from(PRIORITY)),
                target=np.array([draw(st.floats(-1.5, 1.5)), draw(st.floats(-1.5, 1.5))]),
                stamp_s=tick * DT_S,
                claims=draw(st.integers(0, 4)) > 0,
            ),
        )
        for tick in sorted(ticks)
    ]


@settings(max_examples=40)
@given(offers())
def test_in_the_decision_core_the_limits_are_kept_whoever_claims(offered: list[tuple[int, Offered]]) -> None:
    core = DecisionCore(ARM, CoreConfig(first_subgoal_wait_s=0.0), SkipByDelay())
    gate = SafetyGate(ARM, DT_S, SafetyConfig())
    gate.reset(np.zeros(2))
    core.handle(Started(now_s=0.0, position=np.zeros(2)))
    sent = [np.zeros(2)]
    for tick in range(600):
        for due, offer in offered:
            if due == tick:
                core.handle(offer)
        core.handle(Observed(stamp_s=tick * DT_S, state=sent[-1]))
        command = core.handle(Tick(now_s=tick * DT_S)).command
        assert command is not None
        sent.append(gate.limit(command).target)
        assert (core.status().holder or "policy") in (command.source, "policy") or command.source == "hold"
    require_limits(sent)


class Listed:
    """A tape in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)


@pytest.mark.parametrize("moving", [False, True])
def test_a_person_takes_over_from_the_policy_and_gives_back(moving: bool) -> None:
    """Through the driver, with a stop in between; what came is replayed to the bit."""
    tape, config = Listed(), CoreConfig(first_subgoal_wait_s=0.0)
    robot = mobile_embodiment() if moving else ARM
    actor: Any = GroupActor(robot, SPEC, mobile_motions()) if moving else PoseActor(robot, SPEC, np.full(2, 0.7))
    core, gate = DecisionCore(robot, config, SkipByDelay(), tape), SafetyGate(robot, DT_S, SafetyConfig())
    driver = InlineDriver(None, actor, core, gate, TimingConfig(control_hz=1 / DT_S), tape=tape)
    state = np.zeros(robot.num_states)
    driver.reset(Observation(stamp_s=0.0, state=state))
    sent, holders = [np.zeros(robot.num_actions)], []
    person = np.full(robot.num_actions, -0.3)
    for tick in range(1200):
        if 200 <= tick < 500 and (tick - 200) % 6 == 0:
            driver.offer(person + 0.1 * np.sin(tick * DT_S), "teleoperation")
        if tick == 500:
            driver.release("teleoperation")
        if tick == 800:
            driver.stop()
        if tick == 900:
            driver.reset_stop()
        command = driver.step(Observation(stamp_s=tick * DT_S, state=state))
        sent.append(command.target)
        holders.append(core.status().holder)
        state = command.target[: robot.num_states].copy()
    assert holders == [None] * 200 + ["teleoperation"] * 300 + [None] * 700
    require_limits(sent, robot)
    # An offer's time late, as offers are joined by lines.
    np.testing.assert_allclose(sent[499], person + 0.1 * np.sin(493 * DT_S), atol=2e-3)
    assert core.status().counts["handovers"] == 2
    if not moving:
        np.testing.assert_allclose(sent[-1], [0.7, 0.7], atol=1e-6)
    head = TapeHead(embodiment=robot, core=config, safety=SafetyConfig(), control_dt_s=DT_S)
    again = replay(head, tape.records)
    assert again.identical, again.first_difference
