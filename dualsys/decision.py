"""The decision core: all that is decided in a tick, as a deterministic state machine.

    Started, Observed, SubgoalArrived, ChunkArrived, Tick, Fault --> DecisionCore.handle --> command, request

No clocks, threads, models or files: the same events give the same decisions to the bit, on a robot and in a test. The
three drivers (`dualsys.bridge`) only carry events in and decisions out. `handle` never raises, whatever an event holds:
what can't be used is refused, counted, and what was good before goes on.
"""

from dataclasses import replace
from typing import Any, final

import numpy as np

from dualsys.chunking import is_duration, is_number, problem_of
from dualsys.counters import new_counts
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import SpecMismatch
from dualsys.events import ChunkArrived as ChunkArrived
from dualsys.events import ChunkRequest as ChunkRequest
from dualsys.events import CoreStatus as CoreStatus
from dualsys.events import Decision as Decision
from dualsys.events import Event as Event
from dualsys.events import Fault as Fault
from dualsys.events import Observed as Observed
from dualsys.events import Phase as Phase
from dualsys.events import Started as Started
from dualsys.events import SubgoalArrived as SubgoalArrived
from dualsys.events import Tick as Tick
from dualsys.messages import ActionChunk, Command, CommandSource, FloatArray
from dualsys.playhead import Playhead
from dualsys.protocols import ChunkPolicy
from dualsys.requester import Requester
from dualsys.settings import CoreConfig
from dualsys.staleness import FUTURE_S, Freshness, action_for, freshness
from dualsys.tape import Tape


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
        self._requester = Requester(config.actor_hz, config.request_timeout_s, self._counts)
        self._chunk_sequence = -1
        self._target: FloatArray | None = None
        self._restart(0.0)

    def _restart(self, now_s: float) -> None:
        self._now_s = self._started_s = now_s
        self._ticked_s: float | None = None
        self._phase: Phase = "idle"
        self._playhead = Playhead(now_s)
        self._pending: ActionChunk | None = None
        self._seam = 0.0
        self._state_stamp_s: float | None = None
        self._subgoal: SubgoalArrived | None = None
        self._requester.restart()

    def handle(self, event: Event) -> Decision:
        """Take in one event. Never raises."""
        if self._tape is not None:
            self._tape.add(event)
        command, request = None, None
        incoming: Any = event
        match incoming:
            case Tick():
                command, request = self._tick(incoming)
            case Observed():
                self._observe(incoming)
            case SubgoalArrived():
                self._take_subgoal(incoming)
            case ChunkArrived():
                self._take_chunk(incoming)
            case Started():
                self._start(incoming)
            case Fault():
                self._count("faults")
                if isinstance(incoming.kind, str) and incoming.kind == "actor":
                    self._requester.in_flight = None
            case _:
                self._count("bad_events")
        if self._tape is not None and request is not None:
            self._tape.add(request)
        return Decision(command=command, request=request)

    def count_requests_from(self, sequence: int) -> None:
        """Number of the next request: that of the run which a tape was cut from."""
        self._requester.sequence = sequence

    def status(self) -> CoreStatus:
        """Phase, freshness of each input as of the newest tick, and all counters."""
        return CoreStatus(
            phase=self._phase,
            subgoal=self._subgoal_freshness(),
            state=self._state_freshness(),
            chunk=self._chunk_freshness(),
            counts=dict(self._counts),
        )

    def _start(self, event: Started) -> None:
        if not is_number(event.now_s) or not _is_vector(event.position, self._num_actions):
            self._count("bad_events")
            return
        self._count("starts")
        self._restart(float(event.now_s))
        self._phase = "start"
        self._target = np.array(event.position, dtype=np.float64)

    def _observe(self, event: Observed) -> None:
        usable = is_number(event.stamp_s) and _is_vector(event.state, self._num_states)
        known_s = self._state_stamp_s
        # A stamp from the future is a broken clock's: what comes after it must not be refused for being older.
        older = known_s is not None and event.stamp_s < known_s <= self._now_s + FUTURE_S if usable else False
        if not usable or older:
            self._count("observations_refused")
            return
        self._count("observations")
        self._state_stamp_s = float(event.stamp_s)

    def _take_subgoal(self, event: SubgoalArrived) -> None:
        usable = all(map(is_number, (event.sequence, event.epoch, event.observation_stamp_s)))
        usable = usable and is_duration(event.time_to_live_s)
        known = self._subgoal
        newer = usable and (known is None or (event.epoch, event.sequence) > (known.epoch, known.sequence))
        if not newer or event.observation_stamp_s < self._started_s:
            self._count("subgoals_refused")
            return
        self._count("subgoals")
        if known is not None and event.epoch != known.epoch:
            self._count("planner_restarts")
        self._subgoal = event

    def _take_chunk(self, event: ChunkArrived) -> None:
        chunk, asked = event.chunk, self._requester.in_flight
        if not isinstance(chunk, ActionChunk) or not is_number(event.now_s):
            self._count("bad_events")
            return
        if asked is None or not is_number(chunk.request) or chunk.request != asked.sequence:
            self._count("chunks_refused_request")
            return
        self._requester.in_flight = None
        if not is_number(chunk.sequence) or chunk.sequence <= self._chunk_sequence:
            self._count("chunks_refused_sequence")
            return
        problem = problem_of(chunk, self._num_actions, now_s=event.now_s)
        if problem is not None:
            self._count(f"chunks_refused_{problem}")
            return
        self._chunk_sequence = chunk.sequence
        self._pending = replace(chunk, rows=np.array(chunk.rows, dtype=np.float64))

    def _tick(self, event: Tick) -> tuple[Command | None, ChunkRequest | None]:
        elapsed_s = self._pass_time(event.now_s)
        if self._target is None:
            return None, None
        if self._ticked_s == self._now_s:
            self._counts[f"{self._phase}_ticks"] -= 1
        else:
            self._count("ticks")
        self._ticked_s = self._now_s
        held = self._inputs_hold()
        self._playhead.advance(self._now_s, 0.0 if held or self._chunk_holds() else elapsed_s)
        self._swap_pending()
        source, limited = self._choose_target(held or self._chunk_holds())
        self._count(f"{self._phase}_ticks")
        return self._command(source, limited), self._ask()

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

    def _inputs_hold(self) -> bool:
        """Whether the state or the subgoal is so old that motion stops at the last target."""
        state_holds = action_for(self._state_freshness(), self.config.state) == "hold"
        return state_holds or action_for(self._subgoal_freshness(), self.config.subgoal) == "hold"

    def _chunk_holds(self) -> bool:
        """Whether the chunk that is played is too old for it."""
        return action_for(self._chunk_freshness(), self.config.chunk) == "hold"

    def _swap_pending(self) -> None:
        """A chunk starts in a tick, never between two, so that consumed rows are those that became commands."""
        self._seam = 0.0
        if self._pending is None:
            return
        problem = self._playhead.swap(self._pending, self.policy)
        self._seam = self._playhead.seam if problem is None else 0.0
        self._count("chunks" if problem is None else f"chunks_refused_{problem}")
        self._pending = None

    def _choose_target(self, held: bool) -> tuple[CommandSource, tuple[str, ...]]:
        if self._playhead.chunk is None:
            self._phase = "start"
            return "start", ()
        if held:
            self._phase = "held"
            return "hold", ("stale",)
        self._target = self._playhead.target()
        if self._playhead.starved:
            self._phase = "starved"
            return "hold", ()
        self._phase = "playing"
        return "actor", ()

    def _command(self, source: CommandSource, limited: tuple[str, ...]) -> Command:
        assert self._target is not None
        chunk = self._playhead.chunk
        if chunk is None:
            return Command(target=self._target, stamp_s=self._now_s, source=source, limited=limited)
        age_s = self._now_s - chunk.start_stamp_s
        return Command(
            target=self._target,
            stamp_s=self._now_s,
            source=source,
            chunk_sequence=chunk.sequence,
            row=self._playhead.row,
            subgoal_sequence=chunk.subgoal_sequence,
            subgoal_epoch=chunk.subgoal_epoch,
            subgoal_age_s=age_s + chunk.subgoal_age_s,
            chunk_age_s=age_s,
            seam=self._seam,
            limited=limited,
        )

    def _ask(self) -> ChunkRequest | None:
        """A request for a chunk when one is due and none is in flight."""
        if action_for(self._state_freshness(), self.config.state) == "hold":
            return None
        waited_s = self._now_s - self._started_s
        if not self._requester.begun and self._subgoal is None and waited_s < self.config.first_subgoal_wait_s:
            return None
        if not self._requester.is_due(self._now_s):
            return None
        keep = self._subgoal is not None and action_for(self._subgoal_freshness(), self.config.subgoal) == "keep"
        guidance = self.policy.guidance
        prefix = None if guidance is None or self._chunk_holds() else self._playhead.prefix(guidance)
        return self._requester.ask(self._now_s, use_subgoal=keep, prefix=prefix)

    def _state_freshness(self) -> Freshness:
        if self._state_stamp_s is None:
            return "expired"
        return freshness(self._now_s - self._state_stamp_s, self.config.state)

    def _subgoal_freshness(self) -> Freshness:
        if self._subgoal is None:
            return "expired"
        age_s = self._now_s - self._subgoal.observation_stamp_s
        return freshness(age_s, self.config.subgoal, time_to_live_s=self._subgoal.time_to_live_s)

    def _chunk_freshness(self) -> Freshness:
        chunk = self._playhead.chunk
        return "expired" if chunk is None else freshness(self._now_s - chunk.start_stamp_s, self.config.chunk)

    def _count(self, name: str) -> None:
        self._counts[name] += 1


def _is_vector(value: Any, length: int) -> bool:
    """Whether a value is a finite vector of that length."""
    if not isinstance(value, np.ndarray) or value.shape != (length,) or value.dtype.kind not in "fiu":
        return False
    return bool(np.isfinite(value).all())
