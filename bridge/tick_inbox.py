"""What the tick reads in each period: the newest subgoal, chunk and offers, handed to the decision core as events."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

from dualsys.bridge.robot_publisher import TickBoxes
from dualsys.bridge.tick_measures import TickMeasures
from dualsys.decision import DecisionCore
from dualsys.errors import BridgeError
from dualsys.events import ChunkArrived, Fault, SourceName, SubgoalArrived


@final
class TickInbox:
    """Looks into the boxes that others write. A look costs microseconds where there is nothing new.

    Args:
        boxes: The tick's ends of the mailboxes.
        core: Gets what is new.
        note: Told of faults, with the fields of a log line.
    """

    def __init__(self, boxes: TickBoxes, core: DecisionCore, note: Callable[..., Any]) -> None:
        self._boxes, self._core, self._note = boxes, core, note
        self.subgoal_stamp_s = float("nan")
        """When the observation was made that the newest subgoal of this episode came from."""
        self._started_s = 0.0
        self._seen_subgoal = (0, -1)
        self._seen_chunk = -1
        self._seen_offers: dict[SourceName, tuple[int, int]] = {}

    def start(self, now_s: float) -> None:
        """An episode begins: subgoals from before are not its own."""
        self._started_s = now_s
        self.subgoal_stamp_s = float("nan")

    def look(self, now_s: float, measures: TickMeasures) -> None:
        """Hand over what is new."""
        self._look_for_subgoal(now_s, measures)
        self._look_for_chunk(now_s, measures)
        for source in self._boxes.offers:
            self._look_for_offer(source, now_s)

    def _look_for_subgoal(self, now_s: float, measures: TickMeasures) -> None:
        stamps = self._boxes.subgoal.peek()
        if stamps is None or (stamps.epoch, stamps.sequence) == self._seen_subgoal:
            return
        self._seen_subgoal = (stamps.epoch, stamps.sequence)
        if stamps.observation_stamp_s < self._started_s:
            return
        self.subgoal_stamp_s = stamps.observation_stamp_s
        measures.subgoals.add(now_s)
        self._core.handle(
            SubgoalArrived(
                sequence=stamps.sequence,
                epoch=stamps.epoch,
                observation_stamp_s=stamps.observation_stamp_s,
                time_to_live_s=stamps.time_to_live_s,
            )
        )

    def _look_for_chunk(self, now_s: float, measures: TickMeasures) -> None:
        stamps = self._boxes.chunk.peek()
        if stamps is None or stamps.sequence == self._seen_chunk:
            return
        self._seen_chunk = stamps.sequence
        try:
            chunk = self._boxes.chunk.read()
        except BridgeError as error:
            self._fault(now_s, "actor", error)
            return
        if chunk is not None:
            if chunk.horizon > 0:  # else the actor says that it has none to give
                measures.chunks.add(now_s)
            self._core.handle(ChunkArrived(chunk=chunk, now_s=now_s))

    def _look_for_offer(self, source: SourceName, now_s: float) -> None:
        box = self._boxes.offers[source]
        stamps = box.peek()
        if stamps is None or (stamps.epoch, stamps.sequence) == self._seen_offers.get(source):
            return
        self._seen_offers[source] = (stamps.epoch, stamps.sequence)
        try:
            offered = box.read()
        except BridgeError as error:
            self._fault(now_s, source, error)
            return
        if offered is not None:
            self._core.handle(replace(offered, now_s=now_s))

    def _fault(self, now_s: float, part: str, error: BridgeError) -> None:
        self._core.handle(Fault(now_s=now_s, kind=part, detail=str(error)))
        self._note("fault", now_s, part=part, detail=str(error))
