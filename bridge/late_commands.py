"""Commands that reach the robot late, on the virtual clock."""

from collections import Counter
from typing import final

from dualsys.bridge.delay_line import DelayLine
from dualsys.bridge.episode_delays import EpisodeDelays, never_lost
from dualsys.messages import Command, FloatArray


@final
class LateCommands:
    """The robot moves by the newest command that has reached it, and before the first it stays where it was.

        tick       0     1     2     3
        decided    a     b     c     d
        moved by   -     -     a     b      a delay of two ticks; without one, each as it is decided

    Args:
        counts: Counters to add to, under the names in `dualsys.counters.TIMING_COUNTS`.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def begin(self, now_s: float, position: FloatArray, delays: EpisodeDelays) -> None:
        """A new episode, at a position `(nu,)`."""
        self._is_late = delays.timing.actuation_delay_s != 0.0
        self._start = Command(target=position, stamp_s=now_s, source="start")
        self._line = DelayLine(delays.of("actuation_delay_s"), never_lost())
        self._newest: Command | None = None

    def moved_by(self, command: Command) -> Command:
        """Send a command, and get the one that the robot moves by now, with the stamp of its decision."""
        if not self._is_late:
            return command
        now_s = command.stamp_s
        ready_s = self._line.arrival(now_s)
        assert ready_s is not None
        self._line.put(command, ready_s=ready_s)
        for late in self._line.arrived(now_s):
            if self._newest is None or late.value.stamp_s >= self._newest.stamp_s:
                self._newest = late.value
            else:
                self._counts["commands_overtaken"] += 1
        return self._newest or self._start
