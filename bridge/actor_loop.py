"""The actor's loop: newest request in, chunk out. The same in a thread and in a process."""

import logging
import threading
from dataclasses import replace
from typing import Any

import numpy as np

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.repeated import RepeatedWarnings
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.scene import Episode
from dualsys.bridge.senses import Senses
from dualsys.chunking import problem_of
from dualsys.events import ChunkRequest
from dualsys.messages import ActionChunk, LatentSubgoal, Observation
from dualsys.protocols import Actor, Clock, Preparing
from dualsys.provenance import prefix_at, sign_chunk
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)

_PROBLEM_CHARACTERS = 300
"""What a status has room for of a reason; the log has it all."""
POLL_S = 0.001
"""How long the loop sleeps between two looks at the request box; a look costs microseconds."""


class ActorLoop:
    """Answers the newest request with a chunk.

    Where that fails, it is counted, and the answer is a chunk of no rows: the core refuses it as one of the wrong
    shape, which ends the request, so that the next comes when it is due, not when this one has timed out.

    Args:
        actor: System 1.
        senses: Where observations come from.
        requests: What the tick asks for.
        subgoals: What the planner wants.
        outbox: Where chunks go.
        reporter: Where counters go.
        clock: Time of the figures.
        log: Gets every chunk, where there is one.
    """

    def __init__(
        self,
        actor: Actor,
        *,
        senses: Senses,
        requests: Mailbox[ChunkRequest],
        subgoals: Mailbox[LatentSubgoal],
        outbox: Mailbox[ActionChunk],
        reporter: Reporter,
        clock: Clock,
        log: RunLog | None = None,
    ) -> None:
        self._actor = actor
        self._preparing = actor if isinstance(actor, Preparing) else None
        self._senses = senses
        self._requests = requests
        self._subgoals = subgoals
        self._outbox = outbox
        self._reporter = reporter
        self._clock = clock
        self._log = log
        self._answered = outbox.last_sequence
        self._prepared: tuple[int, int] | None = None
        """Epoch and sequence of the newest subgoal that was prepared."""
        self._attempt: tuple[int, int] | None = None
        velocities = actor.embodiment.velocities
        self._stepped = velocities if velocities.any() else None
        self._latency_s = 0.0
        self._problem = ""
        self._warnings = RepeatedWarnings(_LOGGER)
        self._counts = {"chunks": 0, "guided": 0, "waits": 0, "prepared": 0, "failures": 0, "refused": 0}

    def run(self, stop: threading.Event) -> None:
        """Act until told to stop."""
        while not stop.is_set():
            if not self.step():
                self.prepare()
            self._reporter.report(self._status)
            stop.wait(POLL_S)

    def step(self) -> bool:
        """Answer the newest request, once; whether a chunk was published."""
        stamps = self._requests.peek()
        if stamps is None or stamps.sequence <= self._answered:
            return False
        try:
            return self._answer_newest()
        except Exception as error:
            # Whatever it was, this request is done with.
            self._fail("failures", f"no chunk for request {stamps.sequence}: {type(error).__name__}: {error}", error)
            self._give_none(max(self._answered, stamps.sequence), stamps.observation_stamp_s)
            return False

    def prepare(self) -> bool:
        """Where no request waits: let the actor make ready for a new subgoal; whether it did.

        Chunks are always made from the newest subgoal, prepared or not: one that came together with a request is
        prepared by `act`.
        """
        stamps = None if self._preparing is None else self._subgoals.peek()
        if self._preparing is None or stamps is None or (stamps.epoch, stamps.sequence) == self._prepared:
            return False
        # Tried once, whatever comes of it: `act` tries again, and tells.
        self._prepared = (stamps.epoch, stamps.sequence)
        try:
            subgoal = self._subgoals.read()
            if subgoal is None:
                return False
            self._preparing.prepare(subgoal)
        except Exception as error:
            reason = f"subgoal {stamps.sequence} could not be prepared: {type(error).__name__}: {error}"
            self._fail("failures", reason, error)
            return False
        self._counts["prepared"] += 1
        return True

    def _answer_newest(self) -> bool:
        request, sensed = self._requests.read(), self._senses.newest()
        if request is None or sensed is None:
            self._counts["waits"] += 1
            return False
        self._answered = request.sequence
        began_s = self._clock.now_s()
        chunk = self._answer(request, *sensed)
        if chunk is None:
            return False
        ready_s = self._clock.now_s()
        self._latency_s = ready_s - began_s
        self._outbox.write(chunk, sequence=chunk.sequence, observation_stamp_s=chunk.start_stamp_s)
        self._counts["chunks"] += 1
        if self._log is not None:
            self._log.chunk(chunk, began_stamp_s=began_s, ready_stamp_s=ready_s)
        return True

    def _answer(self, request: ChunkRequest, episode: Episode, observation: Observation) -> ActionChunk | None:
        subgoal = self._subgoals.read() if request.use_subgoal else None
        if subgoal is not None and subgoal.observation_stamp_s < episode.start_s:
            subgoal = None
        if episode.key != self._attempt:
            self._actor.reset(seed=episode.model_seed)
            self._attempt = episode.key
        self._counts["guided"] += request.prefix is not None
        prefix = prefix_at(request, observation.stamp_s, dt_s=self._actor.dt_s, stepped=self._stepped)
        chunk: Any = self._actor.act(observation, subgoal, prefix)
        usable = isinstance(chunk, ActionChunk)
        problem = problem_of(chunk, self._actor.embodiment.num_actions, now_s=observation.stamp_s) if usable else "type"
        if problem is not None:
            self._fail("refused", f"the chunk for request {request.sequence} is unusable: {problem}")
            self._give_none(request.sequence, request.stamp_s)
            return None
        signed: ActionChunk = sign_chunk(chunk, request, subgoal)
        return replace(signed, rows=np.asarray(signed.rows, dtype=np.float64))

    def _give_none(self, request: int, stamp_s: float) -> None:
        """End a request that there is no chunk for."""
        self._answered = request
        if self._outbox.last_sequence >= request:
            return  # It has its chunk; what failed came after that.
        rows = np.zeros((0, self._actor.embodiment.num_actions))
        none = ActionChunk(rows=rows, dt_s=self._actor.dt_s, start_stamp_s=stamp_s, sequence=request, request=request)
        try:
            self._outbox.write(none, sequence=request, observation_stamp_s=stamp_s)
        except Exception as error:
            # Then it times out: what can't be written now may be the next time.
            self._fail("failures", f"request {request} cannot be ended: {type(error).__name__}: {error}", error)

    def _fail(self, counter: str, reason: str, error: Exception | None = None) -> None:
        self._counts[counter] += 1
        self._warnings.tell(reason, error)
        self._problem = reason[:_PROBLEM_CHARACTERS]
        if self._log is not None:
            self._log.event("fault", stamp_s=self._clock.now_s(), part="actor", detail=reason)

    def _status(self) -> dict[str, Any]:
        seen = self._senses.images.counts()
        return {"ready": True, "latency_s": self._latency_s, "problem": self._problem, **seen, **self._counts}
