"""Which chunks are let in: the answer to what was asked, once, and such that it can be played."""

from dataclasses import replace
from typing import final

import numpy as np

from dualsys.action_groups import ActionGroups
from dualsys.chunking import is_number, problem_of
from dualsys.events import ChunkArrived
from dualsys.messages import ActionChunk
from dualsys.requester import Requester


@final
class ChunkIntake:
    """Takes in the actor's answers; the newest usable one waits here until the next tick.

    Args:
        num_actions: `nu`.
        groups: Spread each group's rows over the chunk's.
        requester: Knows what was asked.
        counts: Counters to add to, under the names in `dualsys.counters`.
    """

    def __init__(self, num_actions: int, groups: ActionGroups, requester: Requester, counts: dict[str, int]) -> None:
        self._num_actions = num_actions
        self._groups = groups
        self._requester = requester
        self._counts = counts
        self._sequence = -1
        self.waiting: ActionChunk | None = None
        """Waits for the next tick; None: nothing does."""

    def restart(self) -> None:
        """Forget what waits; sequences go on, so that late answers are recognised."""
        self.waiting = None

    def take(self, event: ChunkArrived) -> None:
        """Take in an answer, or refuse and count it."""
        refusal = self._refusal(event)
        if refusal is not None:
            self._counts[refusal] += 1

    def pop(self) -> ActionChunk | None:
        """What waits, which then waits no more."""
        chunk, self.waiting = self.waiting, None
        return chunk

    def _refusal(self, event: ChunkArrived) -> str | None:
        chunk, asked = event.chunk, self._requester.in_flight
        if not isinstance(chunk, ActionChunk) or not is_number(event.now_s):
            return "bad_events"
        if asked is None or not is_number(chunk.request) or chunk.request != asked.sequence:
            return "chunks_refused_request"
        self._requester.in_flight = None
        if not is_number(chunk.sequence) or chunk.sequence <= self._sequence:
            return "chunks_refused_sequence"
        problem = problem_of(chunk, self._num_actions, now_s=event.now_s)
        if problem is None and self._groups.problem(chunk.dt_s) is not None:
            problem = "timing"
        if problem is not None:
            return f"chunks_refused_{problem}"
        self._sequence = chunk.sequence
        rows = np.array(chunk.rows, dtype=np.float64)
        self.waiting = replace(chunk, rows=self._groups.spread(rows, chunk.dt_s))
        return None
