"""The decision core: all that is decided in a tick, as a deterministic state machine.

    Started, Observed, SubgoalArrived, ChunkArrived, Tick, Fault, EmergencyStop, EmergencyReset
        --> DecisionCore.handle --> command, request

No clocks, threads, models or files: the same events give the same decisions to the bit, on a robot and in a test. The
drivers (`dualsys.bridge`) only carry events in and decisions out. `handle` never raises, whatever an event holds: what
can't be used is refused, counted, and what was good before goes on.
"""

from dataclasses import replace
from typing import Any, final

import numpy as np

from dualsys.chunking import is_number, is_vector, problem_of
from dualsys.counters import new_counts
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import SpecMismatch
from dualsys.events import ChunkArrived as ChunkArrived
from dualsys.events import ChunkRequest as ChunkRequest
from dualsys.events import CoreStatus as CoreStatus
from dualsys.events import Decision as Decision
from dualsys.events import EmergencyReset as EmergencyReset
from dualsys.events import EmergencyStop as EmergencyStop
from dualsys.events import Event as Event
from dualsys.events import Fault as Fault
from dualsys.events import Observed as Observed
from dualsys.events import Phase as Phase
from dualsys.events import Retry as Retry
from dualsys.events import Started as Started
from dualsys.events import SubgoalArrived as SubgoalArrived
from dualsys.events import Tick as Tick
from dualsys.input_ages import InputAges
from dualsys.messages import ActionChunk, CommandSource, FloatArray
from dualsys.outliers import is_outlier
from dualsys.playhead import Playhead
from dualsys.protocols import ChunkPolicy
from dualsys.provenance import command_of
from dualsys.recovery import Recovery
from dualsys.requester import Requester
from dualsys.settings import CoreConfig, StaleAction
from dualsys.tape import Tape

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
        if embodiment.action_representation == "delta":
            raise SpecMismatch(
                f"embodiment {embodiment.name!r} takes delta actions: a target that is held would drift. "
                "Its actor has to turn deltas into positions (action_representation 'joint')"
            )
        self.embodiment = embodiment
        self.config = config
        self.policy = policy
        self._tape = tape
        self._num_actions, self._num_states = embodiment.num_actions, embodiment.num_states
        self._counts = new_counts()
        self.requester = Requester(config.actor_hz, config.request_timeout_s, self._counts)
        self._chunk_sequence = -1
        self._target: FloatArray | None = None
        self._max_velocity = embodiment.max_velocity
        self._stopped = False
        self._recovery = Recovery(embodiment, config.recovery, self._counts)
        self._restart(0.0)

    def _restart(self, now_s: float) -> None:
        self._now_s = self._started_s = now_s
        self._ticked_s: float | None = None
        self._phase: Phase = "idle"
        self._playhead = Playhead(now_s)
        self._pending: ActionChunk | None = None
        self._seam = 0.0
        self._ages = InputAges(self.config)
        self._recovery.restart(now_s, self._target)
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
                taken = self._ages.take_state(incoming, self._num_states, self._now_s)
                self._count("observations" if taken else "observations_refused")
            case SubgoalArrived():
                self._take_subgoal(incoming)
            case ChunkArrived():
                self._take_chunk(incoming)
            case Started():
                self._begin(incoming, "starts")
            case Fault():
                self._count("faults")
                if isinstance(incoming.kind, str) and incoming.kind == "actor":
                    self.requester.in_flight = None
            case EmergencyStop():
                self._stop()
            case EmergencyReset() if self._stopped:
                self._stopped = not self._begin(incoming, "stop_resets")
            case _:
                self._count("bad_events")
        return _NOTHING

    def status(self) -> CoreStatus:
        """Phase, freshness of each input as of the newest tick, and all counters."""
        return CoreStatus(
            phase=self._phase,
            subgoal=self._ages.subgoal_freshness(self._now_s),
            state=self._ages.state_freshness(self._now_s),
            chunk=self._ages.chunk_freshness(self._now_s, self._playhead.chunk),
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
        self._counts["stops"] += not self._stopped
        self._stopped = True

    def _take_subgoal(self, event: SubgoalArrived) -> None:
        known = self._ages.subgoal
        taken = self._ages.take_subgoal(event, not_before_s=self._started_s)
        self._count("subgoals" if taken else "subgoals_refused")
        if taken and known is not None and event.epoch != known.epoch:
            self._count("planner_restarts")

    def _take_chunk(self, event: ChunkArrived) -> None:
        chunk, asked = event.chunk, self.requester.in_flight
        if not isinstance(chunk, ActionChunk) or not is_number(event.now_s):
            self._count("bad_events")
            return
        if asked is None or not is_number(chunk.request) or chunk.request != asked.sequence:
            self._count("chunks_refused_request")
            return
        self.requester.in_flight = None
        if not is_number(chunk.sequence) or chunk.sequence <= self._chunk_sequence:
            self._count("chunks_refused_sequence")
            return
        problem = problem_of(chunk, self._num_actions, now_s=event.now_s)
        if problem is not None:
            self._count(f"chunks_refused_{problem}")
            return
        self._chunk_sequence = chunk.sequence
        self._pending = replace(chunk, rows=np.array(chunk.rows, dtype=np.float64))

    def _tick(self, event: Tick) -> Decision:
        elapsed_s = self._pass_time(event.now_s)
        if self._target is None:
            return _NOTHING
        if self._ticked_s == self._now_s:
            self._counts[f"{self._phase}_ticks"] -= 1
        else:
            self._count("ticks")
        self._ticked_s = self._now_s
        motion_s = self._motion_time_s(elapsed_s)
        self._playhead.advance(self._now_s, motion_s)
        self._swap_pending()
        source, limited = self._choose_target(self._action(), motion_s)
        self._count(f"{self._phase}_ticks")
        command = command_of(self._target, self._now_s, source, limited, self._playhead, self._seam)
        retry = self._look_for_setback()
        return Decision(command=command, request=self._ask(), retry=retry)

    def _look_for_setback(self) -> Retry | None:
        """Whether the attempt has failed; then what belongs to it is forgotten."""
        chunk = self._playhead.chunk
        if chunk is None or self._phase != "playing":
            self._recovery.pause(self._now_s)
            return None
        assert self._target is not None
        retry = self._recovery.look(self._now_s, self._ages.state, self._target, chunk.subgoal_progress)
        if retry is None or retry.reaction == "give_up":
            return retry
        self._started_s, self._ages.subgoal, self._pending = self._now_s, None, None
        self.requester.restart()
        if retry.reaction != "none":
            self._playhead = Playhead(self._now_s)
        return retry

    def _pass_time(self, now_s: float) -> float:
        """Move to a tick's time, never back; the time that motion goes on by."""
        if not is_number(now_s) or now_s < self._now_s:
            self._count("bad_events")
            return 0.0
        elapsed_s = float(now_s) - self._now_s
        self._now_s = float(now_s)
        gap_s = self.config.max_tick_gap_s
        if elapsed_s > gap_s * (1 + 1e-6) and self._playhead.chunk is not None:
            self._count("late_ticks")
            return gap_s
        return elapsed_s

    def _motion_time_s(self, elapsed_s: float) -> float:
        """Time that the motion goes on by: none where it stands still, less where an old input slows it."""
        if self._stopped or self._action() in _STILL:
            return 0.0
        pace = self._ages.pace(self._now_s, self._playhead.chunk)
        self._counts["slowed_ticks"] += pace < 1.0 and elapsed_s > 0.0
        return elapsed_s * pace

    def _swap_pending(self) -> None:
        """A chunk starts in a tick, never between two, so that consumed rows are those that became commands."""
        self._seam = 0.0
        if self._pending is None:
            return
        assert self._target is not None
        row = self._playhead.consumed_rows(self._pending)
        outlier = is_outlier(self._pending, row, self._target, self._max_velocity, self.config)
        problem = outlier or self._playhead.swap(self._pending, self.policy)
        self._seam = self._playhead.seam if problem is None else 0.0
        self._count("chunks" if problem is None else f"chunks_refused_{problem}")
        if problem is None:
            self._recovery.resume(self._now_s)
        self._pending = None

    def _action(self) -> StaleAction:
        """What old inputs call for. On the way back from a failed attempt only the state can be old."""
        if self._recovery.under_way:
            return self._ages.state_action(self._now_s)
        return self._ages.action(self._now_s, self._playhead.chunk)

    def _choose_target(self, action: StaleAction, motion_s: float) -> tuple[CommandSource, tuple[str, ...]]:
        recovers = self._recovery.under_way
        if action == "stop" and (recovers or self._playhead.chunk is not None):
            self._stop()
        if self._stopped:
            self._phase = "stopped"
            return "stop", ("stale",) if action in _STILL else ()
        if self._playhead.chunk is None and not recovers:
            self._phase = "start"
            return "start", ()
        if action in _STILL:
            self._phase = "held"
            return "hold" if action == "hold" else "damp", ("stale",)
        if recovers:
            assert self._target is not None
            self._phase, self._target = "recovering", self._recovery.back(motion_s, self._target)
            return "recover", ()
        self._target = self._playhead.target()
        if self._playhead.starved:
            self._phase = "starved"
            return "hold", ()
        self._phase = "playing"
        return "actor", ()

    def _ask(self) -> ChunkRequest | None:
        """A request for a chunk when one is due and none is in flight."""
        if self._stopped or self._recovery.goes_back or self._ages.state_action(self._now_s) in _STILL:
            return None
        waited_s = self._now_s - self._started_s
        if not self.requester.begun and self._ages.subgoal is None and waited_s < self.config.first_subgoal_wait_s:
            return None
        if not self.requester.is_due(self._now_s):
            return None
        keep = self._ages.subgoal is not None and self._ages.subgoal_action(self._now_s) in _USED
        # What runs while a chunk is made, for policies that tell the actor.
        guidance = self.policy.guidance
        prefix = None if guidance is None or self._action() in _STILL else self._playhead.prefix(guidance)
        return self.requester.ask(self._now_s, use_subgoal=keep, prefix=prefix)

    def _count(self, name: str) -> None:
        self._counts[name] += 1
