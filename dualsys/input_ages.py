"""How old the decision core's inputs are, and what is to be done about it."""

from typing import final

from dualsys.chunking import is_duration, is_number, is_vector
from dualsys.events import Observed, SubgoalArrived
from dualsys.messages import ActionChunk, FloatArray
from dualsys.settings import CoreConfig, StaleAction
from dualsys.staleness import FUTURE_S, Freshness, action_for, freshness, pace_for, strongest


@final
class InputAges:
    """The newest state and subgoal; the chunk is the playhead's, and is handed in.

    Args:
        config: What is done at which age.
        num_states: `nx`.
        counts: Counters to add to, under the names in `dualsys.counters`.
    """

    def __init__(self, config: CoreConfig, num_states: int, counts: dict[str, int]) -> None:
        self.state_stamp_s: float | None = None
        """When the newest state was sensed; None: there was none yet."""
        self.state: FloatArray | None = None
        """The newest state `(nx,)`."""
        self.subgoal: SubgoalArrived | None = None
        """The newest subgoal; None: there was none yet."""
        self._awaited_until_s = float("-inf")
        self._config = config
        self._num_states = num_states
        self._counts = counts

    def observe(self, event: Observed, now_s: float) -> None:
        """Take in a state, or refuse and count it; `now_s` is the newest tick's time."""
        usable = is_number(event.stamp_s) and is_vector(event.state, self._num_states)
        known_s = self.state_stamp_s
        # A stamp from the future is a broken clock's: what comes after it must not be refused for being older.
        older = known_s is not None and event.stamp_s < known_s <= now_s + FUTURE_S if usable else False
        if not usable or older:
            self._counts["observations_refused"] += 1
            return
        self._counts["observations"] += 1
        self.state_stamp_s, self.state = float(event.stamp_s), event.state

    def known_state(self, now_s: float) -> FloatArray | None:
        """The newest state `(nx,)`; None where it has expired or there was none."""
        return None if self.state_freshness(now_s) == "expired" else self.state

    def take_subgoal(self, event: SubgoalArrived, *, since_s: float) -> None:
        """Take in a subgoal made from an observation at `since_s` or later, or refuse and count it."""
        usable = all(map(is_number, (event.sequence, event.epoch, event.observation_stamp_s)))
        usable = usable and is_duration(event.time_to_live_s)
        known = self.subgoal
        newer = usable and (known is None or (event.epoch, event.sequence) > (known.epoch, known.sequence))
        if not newer or event.observation_stamp_s < since_s:
            self._counts["subgoals_refused"] += 1
            return
        self._counts["subgoals"] += 1
        if known is not None and event.epoch != known.epoch:
            self._counts["planner_restarts"] += 1
        self.subgoal = event

    def forget_subgoal(self, until_s: float) -> None:
        """The subgoal is done with; up to `until_s` the next is awaited, and its absence is no old age."""
        self.subgoal, self._awaited_until_s = None, until_s

    def state_freshness(self, now_s: float) -> Freshness:
        """Word for the state's age; what never came has expired."""
        return "expired" if self.state_stamp_s is None else freshness(now_s - self.state_stamp_s, self._config.state)

    def subgoal_freshness(self, now_s: float) -> Freshness:
        """Word for the subgoal's age; what never came has expired, what is awaited is as good as new."""
        if self.subgoal is None:
            return "fresh" if now_s < self._awaited_until_s else "expired"
        age_s = now_s - self.subgoal.observation_stamp_s
        return freshness(age_s, self._config.subgoal, time_to_live_s=self.subgoal.time_to_live_s)

    def chunk_freshness(self, now_s: float, chunk: ActionChunk | None) -> Freshness:
        """Word for the age of the chunk that is played; what never came has expired."""
        return "expired" if chunk is None else freshness(now_s - chunk.start_stamp_s, self._config.chunk)

    def state_action(self, now_s: float) -> StaleAction:
        """What is to be done about the state's age."""
        return action_for(self.state_freshness(now_s), self._config.state)

    def subgoal_action(self, now_s: float) -> StaleAction:
        """What is to be done about the subgoal's age."""
        return action_for(self.subgoal_freshness(now_s), self._config.subgoal)

    def action(self, now_s: float, chunk: ActionChunk | None) -> StaleAction:
        """What is to be done about all ages together: that which stops the motion most."""
        chunk_action = action_for(self.chunk_freshness(now_s, chunk), self._config.chunk)
        return strongest(self.state_action(now_s), self.subgoal_action(now_s), chunk_action)

    def pace(self, now_s: float, chunk: ActionChunk | None) -> float:
        """How fast the motion's time runs: 1, and less as inputs that say so get old."""
        config, pace = self._config, 1.0
        if self.state_stamp_s is not None:
            pace = min(pace, pace_for(now_s - self.state_stamp_s, config.state))
        if chunk is not None:
            pace = min(pace, pace_for(now_s - chunk.start_stamp_s, config.chunk))
        if self.subgoal is not None:
            age_s, lives_s = now_s - self.subgoal.observation_stamp_s, self.subgoal.time_to_live_s
            pace = min(pace, pace_for(age_s, config.subgoal, time_to_live_s=lives_s))
        return pace
