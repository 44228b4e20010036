"""What is done about an attempt that has failed: a deterministic state machine inside the decision core.

    watching ------------------> going back ------------------> waiting ----------> watching
        |     it has failed          |     the end is reached       |   first chunk
        |                            |                              |
        |  (after max_recoveries: only counted)     planner and actor begin anew when it has failed: older
        '-> given up                                subgoals and chunks are refused

While it goes back and waits, commands come from here (source `recover`) and pass the safety gate like all others.
A completed subgoal costs no recovery, and nobody goes back: the planner is asked anew, and the motion goes on.
"""

from collections import deque
from typing import final

import numpy as np

from dualsys.chunking import target_at
from dualsys.embodiment import EmbodimentSpec
from dualsys.events import Retry, RetryReaction, Setback
from dualsys.messages import FloatArray
from dualsys.progress_watch import SAMPLE_S, ProgressWatch
from dualsys.settings import RecoveryConfig, RecoveryReaction

_LONGEST_BACK_S = 60.0
_MOVED_SHARE = 1e-3
"""Of a joint's velocity limit: what moves less since the last point of the way adds none."""


@final
class Recovery:
    """Attempts of one episode after the other. `restart` begins an episode.

    Args:
        embodiment: Limits and groups.
        config: When an attempt has failed, and what is done then.
        counts: Counters to add to, as in `dualsys.counters`.
    """

    def __init__(self, embodiment: EmbodimentSpec, config: RecoveryConfig, counts: dict[str, int]) -> None:
        self._config, self._counts = config, counts
        self._watch = ProgressWatch(embodiment, config)
        span = np.where(np.isfinite(embodiment.upper - embodiment.lower), embodiment.upper - embodiment.lower, 1.0)
        self._speeds = np.where(np.isfinite(embodiment.max_velocity), embodiment.max_velocity, span)
        self._way: deque[FloatArray] = deque(maxlen=round(min(config.back_s, _LONGEST_BACK_S) / SAMPLE_S) + 1)
        self.restart(0.0)

    def restart(self, now_s: float, home: FloatArray | None = None) -> None:
        """Begin an episode at a pose `(nu,)`."""
        self.number = 0
        """Attempts in this episode that were followed by another."""
        self.under_way = False
        """Whether commands come from here: on the way back, and until the first chunk of the next attempt."""
        self._spent = 0
        self._given_up = self._resampled = False
        self._home = home
        self._rows: FloatArray | None = None
        self._share, self._back_s = 0.0, 1.0
        self._noted_s = float("-inf")
        self._way.clear()
        self._watch.restart(now_s)

    def pause(self, now_s: float) -> None:
        """Nothing is played: standing still says nothing."""
        self._watch.pause(now_s)

    def look(self, now_s: float, state: FloatArray | None, target: FloatArray, progress: float) -> Retry | None:
        """Look at a tick in which a chunk was played; what is to begin anew, if anything.

        Args:
            now_s: Time of the tick.
            state: As it was last sensed `(nx,)`; None: not yet.
            target: Target of the tick `(nu,)`.
            progress: As the planner tells it; below 0 where it tells none.
        """
        if not self._config.enabled or state is None:
            return None
        self._note(now_s, target)
        setback = self._watch.look(now_s, state, target, progress)
        return None if setback is None else self._react(now_s, setback, target)

    @property
    def goes_back(self) -> bool:
        """Whether the end of the way back is not reached yet."""
        return self._rows is not None

    def back(self, elapsed_s: float, target: FloatArray) -> FloatArray:
        """Go on on the way back by a time; the next target `(nu,)`, the same one where the end has been reached."""
        if self._rows is None:
            return target
        self._share = min(self._share + elapsed_s / self._back_s, 1.0)
        # From rest to rest, so that the gate needn't brake beyond the end.
        eased = (3.0 - 2.0 * self._share) * self._share**2
        target = target_at(self._rows, eased * (len(self._rows) - 1))
        if self._share == 1.0:
            self._rows = None
        return target

    def resume(self, now_s: float) -> None:
        """The first chunk of the next attempt is there."""
        if self.under_way:
            self.under_way, self._rows = False, None
            self._way.clear()
            self._watch.restart(now_s)

    def _note(self, now_s: float, target: FloatArray) -> None:
        """Remember the way, where it goes on: standing still takes no room in it."""
        if now_s - self._noted_s < SAMPLE_S * (1 - 1e-6):
            return
        if not self._way or bool((np.abs(target - self._way[-1]) > _MOVED_SHARE * self._speeds).any()):
            self._noted_s = now_s
            self._way.append(target)

    def _react(self, now_s: float, setback: Setback, target: FloatArray) -> Retry | None:
        if setback == "completed":
            self._counts["subgoals_completed"] += 1
            return self._retry(now_s, setback, "none")
        self._counts[f"setbacks_{setback}"] += 1
        self._watch.restart(now_s)
        if self._spent >= self._config.max_recoveries:
            fresh, self._given_up = not self._given_up, True
            self._counts["recoveries_given_up"] += fresh
            return Retry(now_s=now_s, number=self.number, reason=setback, reaction="give_up") if fresh else None
        self._counts["recoveries"] += 1
        self._spent += 1
        reaction = self._reaction_to(setback)
        self._resampled = reaction == "resample"
        self.under_way = True
        self._turn_back(target, reaction)
        return self._retry(now_s, setback, reaction)

    def _reaction_to(self, setback: Setback) -> RecoveryReaction:
        if self._config.reaction != "escalate":
            return self._config.reaction
        return "resample" if setback == "no_progress" and not self._resampled else "home"

    def _retry(self, now_s: float, setback: Setback, reaction: RetryReaction) -> Retry:
        self.number += 1
        return Retry(now_s=now_s, number=self.number, reason=setback, reaction=reaction)

    def _turn_back(self, target: FloatArray, reaction: RecoveryReaction) -> None:
        """Lay out the way back: its points, and how long it takes."""
        if reaction == "retrace":
            rows = np.array([target, *reversed(self._way)])
        elif reaction == "home" and self._home is not None:
            rows = np.array([target, self._home])
        else:
            return
        steps_s = np.abs(np.diff(rows, axis=0)) / (self._config.back_speed * self._speeds)
        longest_s = max(float(steps_s.max(initial=0.0)), SAMPLE_S)
        # Half-way it is 1.5 times as fast as on average.
        self._rows, self._share, self._back_s = rows, 0.0, 1.5 * longest_s * (len(rows) - 1)
