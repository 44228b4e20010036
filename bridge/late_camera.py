"""Cameras whose frames come late, on the virtual clock."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import final

from dualsys.bridge.delay_line import DelayLine
from dualsys.bridge.episode_delays import EpisodeDelays, never_lost
from dualsys.clock import Grid, Ticker
from dualsys.messages import ImageArray, Observation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Frames:
    """What all cameras saw at one moment."""

    stamp_s: float
    images: dict[str, ImageArray]
    stamps_s: dict[str, float]


@final
class LateCamera:
    """Takes frames on a grid; the models see the newest that has come, with the stamp of when it was taken.

        tick     0     1     2     3     4     5
        taken    a           b           c           a rate of half the ticks'
        seen     -     -     a     a     b     b     a delay of two ticks: 2, 3, 2, 3 ticks old; before, nothing is seen

    The state is the present one. Without a rate and a delay, and for a robot without cameras, what is seen is as it is.

    Args:
        counts: Counters to add to, under the names in `dualsys.counters.TIMING_COUNTS`.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def begin(self, now_s: float, delays: EpisodeDelays) -> None:
        """A new episode; no frame of the one before is seen."""
        self._line = DelayLine(delays.of("camera_delay_s"), never_lost())
        self._is_late = delays.timing.has_late_cameras
        hz = delays.timing.camera_hz
        self._ticker = None if hz is None else Ticker(Grid(origin_s=now_s, period_s=1.0 / hz))
        self._seen: _Frames | None = None

    def look(self, observation: Observation) -> Observation | None:
        """What the models see at an observation's moment, once a tick. None: no frame has come yet."""
        if not self._is_late or not observation.images:
            return observation
        now_s = observation.stamp_s
        if self._ticker is None or self._ticker.due(now_s):
            self._take(observation)
        for late in self._line.arrived(now_s):
            if self._seen is None or late.value.stamp_s >= self._seen.stamp_s:
                self._seen = late.value
            else:
                self._counts["frames_overtaken"] += 1
        if self._seen is None:
            return None
        return replace(observation, images=self._seen.images, image_stamps_s=self._seen.stamps_s)

    def _take(self, observation: Observation) -> None:
        """Keep all images; they can't be drawn later."""
        now_s = observation.stamp_s
        ready_s = self._line.arrival(now_s)
        assert ready_s is not None
        images = dict(observation.images)
        stamps_s = {name: observation.image_stamps_s.get(name, now_s) for name in images}
        self._line.put(_Frames(stamp_s=now_s, images=images, stamps_s=stamps_s), ready_s=ready_s)
