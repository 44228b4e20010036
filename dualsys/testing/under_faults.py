"""Does the tick bear what may go wrong with a robot? Each fault of the kit is done to the robot, and then it ends.

    seconds      0            1               2.5                   4.5
                 |  healthy   |     fault      |    healthy again     |
    must hold    |            |  it is told    | at the end it plays  |
                 |   nothing raises, no command beyond the limits     |

The robot is driven by what a controller consists of, the decision core and the safety gate, with stand-ins for planner
and actor that move every joint a little: on hardware, the robot moves.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from dualsys.chunk_policies import build_policy
from dualsys.clock import SimulatedClock
from dualsys.decision import DecisionCore
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.events import ChunkArrived, ChunkRequest, CoreStatus, Fault, Observed, Started, Tick
from dualsys.image_ages import ImageAges
from dualsys.messages import Command, LatentSubgoal, Observation
from dualsys.protocols import Actor, Clock, Planner, Robot
from dualsys.provenance import arrival_of, sign_chunk, sign_subgoal, subgoal_problem
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, image_staleness
from dualsys.testing.conditions import require
from dualsys.testing.fakes import KnownPlanner, PoseActor
from dualsys.testing.faults.clocks import JumpingClock
from dualsys.testing.faults.models import FaultyActor, FaultyPlanner
from dualsys.testing.faults.robots import FaultyRobot
from dualsys.testing.faults.streams import (
    ClockJump,
    Delayed,
    Dropped,
    Duplicated,
    FrozenCamera,
    Reordered,
    SpoiledState,
    StreamFault,
)
from dualsys.testing.limits import check_limits
from dualsys.testing.robots import check_robot

RobotFault = Literal[
    "dropped", "delayed", "reordered", "duplicated", "frozen-camera", "stamps-ahead", "stamps-behind", "nan",
    "infinite", "shape", "dtype", "lost-link", "tick-ahead", "tick-behind", "no-planner", "no-actor",
]  # fmt: skip
"""What `check_robot_under_faults` does; the names are explained there."""
ROBOT_FAULTS: tuple[RobotFault, ...] = get_args(RobotFault)

_SPEC = SubgoalSpec(num_tokens=1, dim=1)
_PLANNER_HZ = 5.0
_HEALTHY_S, _FAULT_S, _AGAIN_S = 1.0, 1.5, 2.0
_JUMP_S = 0.6
_MOVE_S = 0.02
"""How far the robot is moved: what its joints travel in this time at their limits."""
_HARMLESS: tuple[RobotFault, ...] = ("duplicated",)
"""Nothing needs to be told of these."""


def check_robot_under_faults(
    make_robot: Callable[[Clock], Robot],
    *,
    faults: Iterable[RobotFault] = ROBOT_FAULTS,
    make_clock: Callable[[], Clock] = SimulatedClock,
    control_hz: float = 50.0,
) -> Mapping[RobotFault, Mapping[str, int]]:
    """Drive a robot through faults, one after the other, each with a new robot; what was counted, by fault.

    `check_robot` is asked first. Whether the robot does what it is told is not: that takes a look, or a measurement.

    `dropped`: nothing new is sensed. `delayed`: all of it half a second late. `reordered`, `duplicated`: observations.
    `frozen-camera`: images and their stamps stand still, and must be found old (left out where there is no camera).
    `stamps-ahead`, `stamps-behind`: the robot's clock is 5 s off. `nan`, `infinite`, `shape`, `dtype`: states that are
    none. `lost-link`: reading and commanding raise. `tick-ahead`, `tick-behind`: the tick's own clock is set by
    0.6 s. `no-planner`, `no-actor`: they raise.

    Args:
        make_robot: The robot, stamping with the clock it is given.
        faults: Which.
        make_clock: `dualsys.clock.MonotonicClock` for a robot that moves by itself.
        control_hz: Ticks a second.

    Raises:
        NotConforming: `check_robot` refuses the robot, something raised in a tick, a command was beyond the limits, a
            fault was not to be seen in the core's status, or it did not play again when the fault had ended.
        ConfigError: an unknown fault.
    """
    counted: dict[RobotFault, Mapping[str, int]] = {}
    if isinstance(faults, str):
        raise ConfigError(f"faults are a list of names: faults=[{faults!r}]")
    check_robot(make_robot(make_clock()))
    for fault in faults:
        if fault not in ROBOT_FAULTS:
            raise ConfigError(unknown_name("fault", fault, ROBOT_FAULTS))
        clock = make_clock()
        robot = make_robot(clock)
        if fault == "frozen-camera" and not robot.embodiment.cameras:
            robot.close()
            continue
        session = _Session(robot, clock, fault, 1.0 / control_hz)
        try:
            session.play()
        finally:
            robot.close()
        session.judge()
        counted[fault] = session.counts
    return counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a tick showed."""

    status: CoreStatus
    source: str


class _Session:
    """One robot, one fault."""

    def __init__(self, robot: Robot, clock: Clock, fault: RobotFault, dt_s: float) -> None:
        self._fault, self._dt_s = fault, dt_s
        self._clock, self._tick_clock = clock, JumpingClock(clock)
        self._robot = FaultyRobot(robot, _stream_faults(fault, dt_s), link=fault != "lost-link")
        self._embodiment: EmbodimentSpec = robot.embodiment
        self._core = DecisionCore(self._embodiment, CoreConfig(), build_policy("skip-by-delay"))
        self._gate = SafetyGate(self._embodiment, dt_s, SafetyConfig())
        self._images = ImageAges(image_staleness())
        self._planner: Planner = KnownPlanner(_SPEC)
        self._faulty_planner = FaultyPlanner(self._planner, ["error"])
        self._newest: Observation | None = None
        self._subgoal: LatentSubgoal | None = None
        self._planned_s, self._plans = float("-inf"), 0
        self._commands: list[dict[str, Any]] = []
        self._ended: CoreStatus | None = None
        self._during: list[_Seen] = []
        self._after: list[_Seen] = []
        self._before: Mapping[str, int] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """All of the core's, and what became of old images."""
        return {**self._core.status().counts, **self._images.counts()}

    def play(self) -> None:
        """Healthy, faulty, healthy again."""
        self._begin()
        self._ticks(_HEALTHY_S, [])
        self._before = self.counts
        require(self.counts["playing_ticks"] > 0, f"{self._name}: no chunk was played even without a fault")
        self._set_active(True)
        self._ticks(_FAULT_S, self._during)
        self._set_active(False)
        self._ticks(_AGAIN_S, self._after)

    def judge(self) -> None:
        """Raise `NotConforming` for what must not be."""
        kept = check_limits(self._commands, self._embodiment, self._dt_s)
        require(kept.outside == 0, f"{self._name}: {kept.outside} of {kept.commands} commands beyond the limits")
        if self._fault not in _HARMLESS:
            require(self._is_told(), f"{self._name}: nothing of it is to be seen in the core's status and counters")
        last = self._after[-round(0.2 / self._dt_s) :]
        words = sorted({seen.status.phase for seen in last} | {seen.status.state for seen in last})
        require(
            "playing" in words and set(words) <= {"playing", "fresh", "usable"},
            f"{self._name}: {_AGAIN_S - 0.2:g} s after the fault had ended, it was {', '.join(words)}",
        )

    @property
    def _name(self) -> str:
        return f"{self._embodiment.name} under {self._fault!r}"

    def _begin(self) -> None:
        observation = self._robot.observe()
        position = self._embodiment.position_in(observation.state)
        way = np.minimum(
            _MOVE_S * self._embodiment.max_velocity, 0.1 * (self._embodiment.upper - self._embodiment.lower)
        )
        way = np.where(np.isfinite(way), way, 0.0)
        middle = (self._embodiment.lower + self._embodiment.upper) / 2
        inwards = np.where(np.isfinite(middle) & (middle < position), -1.0, 1.0)
        self._actor: Actor = PoseActor(self._embodiment, _SPEC, position + inwards * way, speed=0.2)
        self._faulty_actor = FaultyActor(self._actor, ["error"])
        self._gate.reset(position)
        self._core.handle(Started(now_s=self._tick_clock.now_s(), position=position))

    def _set_active(self, active: bool) -> None:
        self._robot.active = active
        jumps = {"tick-ahead": _JUMP_S, "tick-behind": -_JUMP_S}
        if self._fault in jumps:
            self._tick_clock.jump(jumps[self._fault] if active else -jumps[self._fault])

    def _ticks(self, seconds: float, seen: list[_Seen]) -> None:
        begun_s = self._clock.now_s()
        for tick in range(round(seconds / self._dt_s)):
            try:
                command = self._tick()
            except Exception as error:
                require(False, f"{self._name}: a tick raised {type(error).__name__}: {error}")
                raise
            seen.append(_Seen(status=self._core.status(), source=command.source))
            self._clock.sleep_until_s(begun_s + (tick + 1) * self._dt_s)

    def _tick(self) -> Command:
        now_s = self._tick_clock.now_s()
        self._sense(now_s)
        self._plan(now_s)
        decision = self._core.handle(Tick(now_s=now_s))
        assert decision.command is not None
        if decision.request is not None:
            self._act(decision.request, now_s)
        command = self._gate.limit(decision.command)
        self._commands.append({"target": command.target, "source": command.source})
        try:
            self._robot.command(command)
        except Exception as error:  # a robot that can't be reached is a fault, and no reason to stop ticking
            self._core.handle(Fault(now_s=now_s, kind="robot", detail=str(error)))
        return command

    def _sense(self, now_s: float) -> None:
        try:
            observation = self._robot.observe()
        except Exception as error:  # as above
            self._core.handle(Fault(now_s=now_s, kind="robot", detail=str(error)))
            return
        refused = self.counts["observations_refused"]
        self._core.handle(Observed(stamp_s=observation.stamp_s, state=observation.state))
        if self.counts["observations_refused"] == refused:
            self._newest = observation

    def _plan(self, now_s: float) -> None:
        if self._newest is None or 0 <= now_s - self._planned_s < 1 / _PLANNER_HZ:
            return
        self._planned_s = now_s
        faulty = self._robot.active and self._fault == "no-planner"
        try:
            subgoal = (self._faulty_planner if faulty else self._planner).plan(self._newest)
        except Exception as error:  # its host would count it
            self._core.handle(Fault(now_s=now_s, kind="planner", detail=str(error)))
            return
        signed = sign_subgoal(subgoal, _SPEC, sequence=self._plans, epoch=0, emitted_stamp_s=now_s)
        self._plans += 1
        if subgoal_problem(signed, _SPEC) is None:
            self._subgoal = signed
            self._core.handle(arrival_of(signed))

    def _act(self, request: ChunkRequest, now_s: float) -> None:
        faulty = self._robot.active and self._fault == "no-actor"
        if self._newest is None or self._images.is_blind(self._newest):
            return
        subgoal = self._subgoal if request.use_subgoal else None
        try:
            chunk = (self._faulty_actor if faulty else self._actor).act(self._newest, subgoal, request.prefix)
        except Exception as error:  # its host would count it
            self._core.handle(Fault(now_s=now_s, kind="actor", detail=str(error)))
            return
        self._core.handle(ChunkArrived(chunk=sign_chunk(chunk, request, subgoal), now_s=now_s))

    def _is_told(self) -> bool:
        """Whether a state of the core while it lasted, or a counter of misfortunes, is another than before.

        Of a camera, that its images were found old.
        """
        after = self.counts
        if self._fault == "frozen-camera":
            # The image's own word: whatever else happened meanwhile, somebody has to know that it was old.
            return any(after[name] != self._before[name] for name in ("outages", "old_images"))
        odd = [
            name
            for name in after
            if name in ("faults", "bad_events", "late_ticks", "held_ticks", "starved_ticks", "stopped_ticks")
            or name.endswith("_refused")
            or name.startswith("chunks_refused")
        ]
        old = ("stale", "expired")
        told = any(seen.status.subgoal in old or seen.status.state in old for seen in self._during)
        return told or any(after[name] != self._before[name] for name in odd)


def _stream_faults(fault: RobotFault, dt_s: float) -> list[StreamFault]:
    made: dict[str, Callable[[], StreamFault]] = {
        "dropped": Dropped,
        "delayed": lambda: Delayed(max(1, round(0.5 / dt_s))),
        "reordered": Reordered,
        "duplicated": Duplicated,
        "frozen-camera": FrozenCamera,
        "stamps-ahead": lambda: ClockJump(5.0),
        "stamps-behind": lambda: ClockJump(-5.0),
        "nan": lambda: SpoiledState("nan"),
        "infinite": lambda: SpoiledState("infinite"),
        "shape": lambda: SpoiledState("shape"),
        "dtype": lambda: SpoiledState("dtype"),
    }
    return [made[fault]()] if fault in made else []
