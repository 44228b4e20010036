"""Remembers commands in the real-time tick: arrays made beforehand, filled in place, encoded later by somebody else."""

from collections.abc import Iterator
from typing import final, get_args

import numpy as np

from dualsys.messages import Command, CommandSource

_SOURCES: tuple[CommandSource, ...] = get_args(CommandSource)
_LIMITS = ("finite", "position", "velocity", "acceleration", "stale", "jerk", "clearance")
_FLOATS = ("stamp_s", "row", "subgoal_age_s", "chunk_age_s", "seam")
_INTEGERS = ("chunk_sequence", "subgoal_sequence", "subgoal_epoch")


@final
class CommandRecorder:
    """The newest `capacity` commands. `record` copies numbers into place: it makes, encodes and writes nothing.

    When it is full the oldest are overwritten, and counted.

    Args:
        capacity: Commands kept; 500 Hz for a minute are 30,000.
        num_actions: `nu`.
    """

    def __init__(self, capacity: int, num_actions: int) -> None:
        self.count = 0
        """Commands recorded since the beginning, overwritten ones included."""
        self._capacity = capacity
        self._targets = np.zeros((capacity, num_actions))
        self._floats = np.zeros((capacity, len(_FLOATS)))
        self._integers = np.zeros((capacity, len(_INTEGERS)), dtype=np.int64)
        self._sources = np.zeros(capacity, dtype=np.uint8)
        self._limited = np.zeros(capacity, dtype=np.uint8)
        # Touched once, so that no page is first mapped within a tick.
        for array in (self._targets, self._floats, self._integers, self._sources, self._limited):
            array.fill(0)

    @property
    def overwritten(self) -> int:
        """Commands that are no longer held."""
        return max(0, self.count - self._capacity)

    def record(self, command: Command) -> None:
        """Remember a command."""
        at = self.count % self._capacity
        self._targets[at] = command.target
        self._floats[at] = (command.stamp_s, command.row, command.subgoal_age_s, command.chunk_age_s, command.seam)
        self._integers[at] = (command.chunk_sequence, command.subgoal_sequence, command.subgoal_epoch)
        self._sources[at] = _SOURCES.index(command.source)
        self._limited[at] = sum(1 << _LIMITS.index(name) for name in command.limited)
        self.count += 1

    def commands(self) -> Iterator[Command]:
        """What is held, oldest first. Names of `limited` come in a fixed order."""
        for index in range(self.overwritten, self.count):
            at = index % self._capacity
            floats = dict(zip(_FLOATS, self._floats[at].tolist(), strict=True))
            integers = dict(zip(_INTEGERS, self._integers[at].tolist(), strict=True))
            flags = int(self._limited[at])
            yield Command(
                target=self._targets[at].copy(),
                source=_SOURCES[self._sources[at]],
                limited=tuple(name for bit, name in enumerate(_LIMITS) if flags >> bit & 1),
                **floats,
                **integers,
            )
