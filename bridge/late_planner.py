"""The planner on the virtual clock: observations go to it, subgoals come back, both late, some never."""

from collections import Counter
from dataclasses import replace
from typing import Any, final

from dualsys.bridge.delay_line import DelayLine, LateResult
from dualsys.bridge.episode_delays import EpisodeDelays
from dualsys.clock import Grid, Ticker
from dualsys.embodiment import SubgoalSpec
from dualsys.messages import LatentSubgoal, Observation
from dualsys.protocols import Planner
from dualsys.provenance import sign_subgoal
from dualsys.reflection import reflect


@final
class LatePlanner:
    """A planner, and the link to it and back.

        grid point    observation --- link ---> planner, if it is free --- latency ---> subgoal --- link ---> robot

    Without a delay all of it happens at the grid point. What arrives while the planner is busy is skipped and counted;
    what something newer has overtaken is dropped and counted.

    Args:
        planner: System 2.
        spec: What subgoals are signed for.
        counts: Counters to add to, under the names in `dualsys.counters.TIMING_COUNTS`.
    """

    def __init__(self, planner: Planner, spec: SubgoalSpec, counts: Counter[str]) -> None:
        self._planner, self._spec, self._counts = planner, spec, counts
        self._sequence = 0

    def begin(self, now_s: float, delays: EpisodeDelays) -> None:
        """A new episode."""
        self._period_s = 1.0 / delays.timing.planner_hz
        self._latency = delays.of("planner_latency_s")
        self._up = DelayLine(delays.of("link.observation_s"), delays.losses_of("link.observation_drop"))
        self._down = DelayLine(delays.of("link.subgoal_s"), delays.losses_of("link.subgoal_drop"))
        self._restart(now_s)

    def reset(self, now_s: float, *, seed: int) -> None:
        """A new attempt: the planner forgets, what is planned or under way is dropped, the grid begins anew."""
        self._planner.reset(seed=seed)
        self._restart(now_s)

    def _restart(self, now_s: float) -> None:
        self._planning: LateResult | None = None
        self._up.clear()
        self._down.clear()
        self._newest_seen_s = self._newest_subgoal = float("-inf")
        self._ticker = Ticker(Grid(origin_s=now_s, period_s=self._period_s))

    def send(self, observation: Observation | None, now_s: float) -> None:
        """Send what is seen, if it is time; None: nothing is seen yet. Images that aren't looked at now are kept."""
        before = self._ticker.skipped
        if not self._ticker.due(now_s):
            return
        self._counts["planner_starts_skipped"] += self._ticker.skipped - before
        if observation is None:
            self._counts["planner_starts_blind"] += 1
            return
        ready_s = self._up.arrival(now_s)
        if ready_s is None:
            self._counts["observations_lost"] += 1
            return
        late = ready_s > now_s
        self._up.put(replace(observation, images=dict(observation.images)) if late else observation, ready_s=ready_s)
        self._work(now_s)

    def arrived(self, now_s: float) -> list[LateResult]:
        """Subgoals that have come to the robot, and what else the planner answered; none older than one before."""
        self._work(now_s)
        return [late for late in self._down.arrived(now_s) if not self._is_overtaken(late.value)]

    def _work(self, now_s: float) -> None:
        """All that happens at the planner's up to now, in the order of time."""
        for late in self._up.arrived(now_s):
            self._finish(late.ready_s)
            self._look_at(late.value, late.ready_s)
        self._finish(now_s)

    def _look_at(self, observation: Observation, now_s: float) -> None:
        if observation.stamp_s < self._newest_seen_s:
            self._counts["observations_overtaken"] += 1
            return
        self._newest_seen_s = observation.stamp_s
        if self._planning is not None:
            self._counts["planner_starts_skipped"] += 1
            return
        self._counts["planner_starts"] += 1
        ready_s = now_s + next(self._latency)
        value: Any = self._planner.plan(observation)
        if isinstance(value, LatentSubgoal):
            value = sign_subgoal(value, self._spec, sequence=self._sequence, epoch=0, emitted_stamp_s=ready_s)
            self._sequence += 1
        self._planning = LateResult(ready_s=ready_s, value=value)
        reflect(self._planner)

    def _finish(self, now_s: float) -> None:
        planned = self._planning
        if planned is None or not planned.is_ready(now_s):
            return
        self._planning = None
        ready_s = self._down.arrival(planned.ready_s)
        if ready_s is None:
            self._counts["subgoals_lost"] += 1
        else:
            self._down.put(planned.value, ready_s=ready_s)

    def _is_overtaken(self, value: Any) -> bool:
        if not isinstance(value, LatentSubgoal):
            return False
        if value.sequence < self._newest_subgoal:
            self._counts["subgoals_overtaken"] += 1
            return True
        self._newest_subgoal = value.sequence
        return False
