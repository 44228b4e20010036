"""The decision core: all that is decided in a tick, as a deterministic state machine.

    Started, Observed, SubgoalArrived, ChunkArrived, Offered, Tick, Fault, EmergencyStop, EmergencyReset
        --> DecisionCore.handle --> command, request

No clocks, threads, models or files: the same events give the same decisions to the bit, on a robot and in a test. The
drivers (`dualsys.bridge`) only carry events in and decisions out. `handle` never raises, whatever an event holds: what
can't be used is refused, counted, and what was good before goes on.
"""

from typing import Any, final

import numpy as np

from dualsys.action_groups import ActionGroups, Coasting
from dualsys.chunk_intake import ChunkIntake
from dualsys.chunking import is_number, is_vector
from dualsys.counters import new_counts
from dualsys.displacement import Displacement
from dualsys.embodiment import EmbodimentSpec
from dualsys.events import (
    ChunkArrived,
    ChunkRequest,
    CoreStatus,
    Decision,
    EmergencyReset,
    EmergencyStop,
    Event,
    Fault,
    Observed,
    Offered,
    Phase,
    Retry,
    Started,
    SubgoalArrived,
    Tick,
)
from dualsys.input_ages import InputAges
from dualsys.messages import ActionChunk, CommandSource, FloatArray
from dualsys.outliers import is_outlier
from dualsys.playhead import Playhead
from dualsys.protocols import ChunkPolicy
from dualsys.recovery import Recovery
from dualsys.requester import Requester
from dualsys.settings import CoreConfig, StaleAction
from dualsys.sources import Sources
from dualsys.staleness import strongest
from dualsys.tape import Tape
from dualsys.tick_time import TickTime

_NOTHING = Decision(command=None, request=None)
_STILL, _USED = ("hold", "damp", "stop"), ("keep", "slow")
"""What is done about an old input, by whether the motion stands still, and whether the input is used all the same."""


@final
class DecisionCore:
    """Events in, decisions out. See the module's head.

    Args:
        embodiment: Shapes of states and rows.
        config: Rates and staleness policies.
        policy: How a new chunk takes over.
        tape: Gets every event and request, so that the run can be decided again (`dualsys.replay`).

    Raises:
        SpecMismatch: the embodiment takes delta actions.
    """

    def __init__(
        self, embodiment: EmbodimentSpec, config: CoreConfig, policy: ChunkPolicy, tape: Tape | None = None
    ) -> None:
        embodiment.require_no_deltas()
        self.embodiment, self.config, self.policy, self._tape = embodiment, config, policy, tape
        self._num_actions, self._num_states = embodiment.num_actions, embodiment.num_states
        self._counts = new_counts()
        self._time = TickTime(config.max_tick_gap_s, self._counts)
        self.requester = Requester(config.actor_hz, config.request_timeout_s, self._counts)
        self.groups = ActionGroups(embodiment, config.velocity_decay_s)
        self._intake = ChunkIntake(self._num_actions, self.groups, self.requester, self._counts)
        self._sources = Sources(self._num_actions, config.source, self._counts)
        self._coasting = Coasting(embodiment.velocities, config.velocity_decay_s)
        self._target: FloatArray | None = None
        # A commanded velocity steps by nature: the gate limits how fast it changes.
        self._max_velocity = np.where(embodiment.velocities, np.inf, embodiment.max_velocity)
        self._displacement = Displacement(embodiment, config.outlier_reach_s)
        self.stopped = False
        """Whether an emergency stop is latched, from the event on that latched it."""
        self._recovery = Recovery(embodiment, config.recovery, self._counts)
        self._restart(0.0)

    def _restart(self, now_s: float) -> None:
        self._time.restart(now_s)
        self._phase: Phase = "idle"
        self._coasting.stop()
        self._ages = InputAges(self.config, self._num_states, self._counts)
        self._recovery.restart(now_s, self._target)
        self._seam = 0.0
        self._playhead = Playhead(self._time.now_s, self.groups.stepped)
        self._forget_chunks(running=False)

    def _forget_chunks(self, *, running: bool = True) -> None:
        if running:
            self._playhead = self._playhead.anew(self._time.now_s)
        self._intake.restart()
        self.requester.restart()

    def handle(self, event: Event) -> Decision:
        """Take in one event. Never raises."""
        if self._tape is not None:
            self._tape.add(event)
        decision = self._take_in(event)
        for record in (decision.retry, decision.request):
            if self._tape is not None and record is not None:
                self._tape.add(record)
        return decision

    def _take_in(self, incoming: Any) -> Decision:
        match incoming:
            case Tick():
                return self._tick(incoming)
            case Observed():
                self._ages.observe(incoming, self._time.now_s)
            case SubgoalArrived():
                self._ages.take_subgoal(incoming, since_s=self._time.attempt_s)
            case ChunkArrived():
                self._intake.take(incoming)
            case Offered():
                self._sources.take(incoming)
            case Started():
                self._begin(incoming, "starts")
            case Fault():
                self._count("faults")
                self.requester.note_fault(incoming.kind)
            case EmergencyStop():
                self._stop()
            case EmergencyReset() if self.stopped:
                self.stopped = not self._begin(incoming, "stop_resets")
            case _:
                self._count("bad_events")
        return _NOTHING

    def status(self) -> CoreStatus:
        """Phase, freshness of each input as of the newest tick, and all counters."""
        return CoreStatus(
            phase=self._phase,
            holder=self._sources.holder,
            subgoal=self._ages.subgoal_freshness(self._time.now_s),
            state=self._ages.state_freshness(self._time.now_s),
            chunk=self._ages.chunk_freshness(self._time.now_s, self._playhead.chunk),
            counts=dict(self._counts),
        )

    def _begin(self, event: Started | EmergencyReset, count: str) -> bool:
        """Begin to move from rest at a pose; whether it is one."""
        if not is_number(event.now_s) or not is_vector(event.position, self._num_actions):
            self._count("bad_events")
            return False
        self._count(count)
        self._target = np.array(event.position, dtype=np.float64)
        self._restart(float(event.now_s))
        self._phase = "start"
        return True

    def _stop(self) -> None:
        """Latch the emergency stop."""
        self._counts["stops"] += not self.stopped
        self.stopped = True

    def _tick(self, event: Tick) -> Decision:
        elapsed_s = self._time.pass_to(event.now_s, moving=self._playhead.chunk is not None)
        if self._target is None:
            return _NOTHING
        again = self._time.is_again()
        self._counts[f"{self._phase}_ticks" if again else "ticks"] += -1 if again else 1
        changed, elsewhere = self._sources.settle(self._time.now_s), self._elsewhere(self._target)
        if changed or elsewhere is not None:
            # Chunks are made from what was seen: those from before, or from while somebody else drove, mean nothing.
            self._seam = 0.0
            self._recovery.resume(self._time.now_s)
            self._forget_chunks()
            self._target = self._target if elsewhere is None else elsewhere
        motion_s = self._motion_time_s(elapsed_s)
        self._playhead.advance(self._time.now_s, motion_s)
        self._swap_pending(self._target)
        source, limited = self._choose_target(self._target, motion_s)
        self._target = self._in_time(self._target)
        self._count(f"{self._phase}_ticks")
        command = self._playhead.command(self._target, self._time.now_s, source, limited, seam=self._seam)
        retry = self._look_for_setback(self._target)
        return Decision(command=command, request=self._ask(), retry=retry)

    def _elsewhere(self, target: FloatArray) -> FloatArray | None:
        """Where the robot is found when a hold ends, if it is out of reach of where it was held."""
        state = self._ages.known_state(self._time.now_s) if self._phase == "held" else None
        if state is None or (self._follows() and self._action(self._intake.waiting) in _STILL):
            return None
        return self._displacement.position(state, target)

    def _look_for_setback(self, target: FloatArray) -> Retry | None:
        """Whether the attempt has failed; then what belongs to it is forgotten."""
        played = self._playhead.chunk if self._phase == "playing" else None
        retry = self._recovery.look(self._time.now_s, self._ages.state, target, played)
        if retry is None or retry.reaction == "give_up":
            return retry
        self._time.attempt_s = retry.now_s
        self._ages.forget_subgoal(retry.now_s + self.config.first_subgoal_wait_s)
        self._forget_chunks(running=retry.reaction != "none")
        return retry

    def _motion_time_s(self, elapsed_s: float) -> float:
        """Time that the motion goes on by: none where it stands still, less where an old input slows it."""
        if self.stopped or self._action() in _STILL:
            return 0.0
        driven = self._sources.holder is not None
        pace = 1.0 if driven else self._ages.pace(self._time.now_s, self._playhead.chunk)
        self._counts["slowed_ticks"] += pace < 1.0 and elapsed_s > 0.0
        return elapsed_s * pace

    def _swap_pending(self, target: FloatArray) -> None:
        """A chunk starts in a tick, never between two, so that consumed rows are those that became commands."""
        self._seam = 0.0
        chunk = self._intake.pop()
        if chunk is None:
            return
        row = self._playhead.first_row(chunk, self.policy)
        outlier = None if row is None else is_outlier(chunk, row, target, self._max_velocity, self.config)
        problem = outlier or self._playhead.swap(chunk, self.policy)
        self._count("chunks" if problem is None else f"chunks_refused_{problem}")
        if problem is None:
            self._seam = self._playhead.seam
            self._recovery.resume(self._time.now_s)

    def _action(self, newer: ActionChunk | None = None) -> StaleAction:
        """What is to be done about the age of what is followed; on the way back only the state can be old."""
        if self._sources.holder is not None:
            return strongest(self._ages.state_action(self._time.now_s), self._sources.action(self._time.now_s))
        if self._recovery.under_way:
            return self._ages.state_action(self._time.now_s)
        return self._ages.action(self._time.now_s, newer or self._playhead.chunk)

    def _follows(self) -> bool:
        """Whether there is anything to go by."""
        return self._sources.holder is not None or self._recovery.under_way or self._playhead.chunk is not None

    def _choose_target(self, target: FloatArray, motion_s: float) -> tuple[CommandSource, tuple[str, ...]]:
        action, holder, recovers = self._action(), self._sources.holder, self._recovery.under_way
        if action == "stop" and self._follows():
            self._stop()
        if self.stopped:
            self._phase = "stopped"
            return "stop", ("stale",) if action in _STILL else ()
        if not self._follows():
            self._phase = "start"
            return "start", ()
        if action in _STILL:
            self._phase = "held"
            return "hold" if action == "hold" else "damp", ("stale",)
        if holder is not None:
            self._phase, self._target = "driven", self._sources.target(self._time.now_s)
            return holder, ()
        if recovers:
            self._phase, self._target = "recovering", self._recovery.back(motion_s, target)
            return "recover", ()
        self._target = self._playhead.target()
        if self._playhead.starved:
            self._phase = "starved"
            return "hold", ()
        self._phase = "playing"
        return "actor", ()

    def _in_time(self, target: FloatArray) -> FloatArray:
        """The target with its velocities as they are at this pace of the motion's time, or as they go to zero."""
        if self._phase == "driven":
            return self._coasting.driven(target)
        if self._phase != "playing":
            return self._coasting.apply(target, self._time.now_s)
        chunk = self._playhead.chunk
        assert chunk is not None
        self._counts["group_ended_ticks"] += self.groups.has_ended(self._playhead.row, chunk.horizon, chunk.dt_s)
        return self._coasting.driven(target, self._ages.pace(self._time.now_s, chunk))

    def _ask(self) -> ChunkRequest | None:
        """A request for a chunk when one is due and none is in flight."""
        silent = self.stopped or self._sources.holder is not None or self._recovery.goes_back
        if silent or self._ages.state_action(self._time.now_s) in _STILL:
            return None
        waited_s = self._time.now_s - self._time.attempt_s
        if not self.requester.begun and self._ages.subgoal is None and waited_s < self.config.first_subgoal_wait_s:
            return None
        if not self.requester.is_due(self._time.now_s):
            return None
        keep = self._ages.subgoal is not None and self._ages.subgoal_action(self._time.now_s) in _USED
        # What runs while a chunk is made, for policies that tell the actor.
        guidance = None if self._action() in _STILL else self.policy.guidance
        prefix = None if guidance is None else self._playhead.prefix(guidance)
        return self.requester.ask(self._time.now_s, use_subgoal=keep, prefix=prefix)

    def _count(self, name: str) -> None:
        self._counts[name] += 1
