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
    """

    def __init__(self, config: CoreConfig) -> None:
        self.state_stamp_s: float | None = None
        """When the newest state was sensed; None: there was none yet."""
        self.state: FloatArray | None = None
        """The newest state `(nx,)`."""
        self.subgoal: SubgoalArrived | None = None
        """The newest subgoal; None: there was none yet."""
        self._config = config

    def take_state(self, event: Observed, num_states: int, now_s: float) -> bool:
        """Take a state in; False for one of another shape, not finite, or older than the newest."""
        usable = is_number(event.stamp_s) and is_vector(event.state, num_states)
        known_s = self.state_stamp_s
        # A stamp from the future is a broken clock's: what comes after it must not be refused for being older.
        if not usable or (known_s is not None and event.stamp_s < known_s <= now_s + FUTURE_S):
            return False
        self.state_stamp_s, self.state = float(event.stamp_s), event.state
        return True

    def take_subgoal(self, event: SubgoalArrived, *, not_before_s: float) -> bool:
        """Take a subgoal in; False for one that isn't newer, was seen before a time, or has unusable stamps."""
        usable = all(map(is_number, (event.sequence, event.epoch, event.observation_stamp_s)))
        known = self.subgoal
        newer = known is None or (usable and (event.epoch, event.sequence) > (known.epoch, known.sequence))
        if not usable or not is_duration(event.time_to_live_s) or not newer or event.observation_stamp_s < not_before_s:
            return False
        self.subgoal = event
        return True

    def state_freshness(self, now_s: float) -> Freshness:
        """Word for the state's age; what never came has expired."""
        return "expired" if self.state_stamp_s is None else freshness(now_s - self.state_stamp_s, self._config.state)

    def subgoal_freshness(self, now_s: float) -> Freshness:
        """Word for the subgoal's age; what never came has expired."""
        if self.subgoal is None:
            return "expired"
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
