"""When what goes wrong in a soak, drawn from a seed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np

from dualsys.messages import FloatArray, Observation
from dualsys.testing.faults import (
    ClockJump,
    Delayed,
    Dropped,
    Duplicated,
    Failure,
    Reordered,
    SpoiledState,
    StreamFault,
)

_PART_FAILURES: tuple[Failure, ...] = ("nan", "infinite", "shape", "stamp", "nothing")
_LONGEST_CALLS = 60
OTHER_FAULTS = ("push", "stop")


@final
class RandomFailures(Sequence[Failure]):
    """A word for each call of a planner or an actor: spells of one failure, of up to 60 calls, among calls that work.

    Args:
        seed: The same words for the same seed.
        share: Of all calls, that fail.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._rng = np.random.default_rng(seed)
        self._share = share
        self._until = -1
        self._word: Failure = "none"
        self.spells = 0
        """Spells of failure so far."""

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, call: int) -> Failure:  # type: ignore[override]
        """The word for a call; calls are asked for in order."""
        if call > self._until:
            fails = self._word == "none"
            length = int(self._rng.integers(1, _LONGEST_CALLS + 1))
            self._word = _PART_FAILURES[self._rng.integers(len(_PART_FAILURES))] if fails else "none"
            self.spells += fails
            self._until = call + (length if fails else max(1, round(length * (1 / self._share - 1)))) - 1
        return self._word


@final
class _StuckState:
    """The state stays what it was, its stamps go on: an encoder that nobody reads any more."""

    def __init__(self) -> None:
        self._state: FloatArray | None = None

    def __call__(self, observation: Observation, *, active: bool) -> Observation:
        if not active or self._state is None:
            self._state = observation.state
        return replace(observation, state=self._state)


@final
class SensorFaults:
    """What the robot's own senses, its clock and its surroundings do wrong: a fault every so often, some for a while.

    Args:
        seed: The same faults for the same seed.
        every_s: Mean time between two (exponential).
    """

    def __init__(self, seed: int, every_s: float) -> None:
        self._rng = np.random.default_rng(seed)
        self._every_s = every_s
        self._next_s = float(self._rng.exponential(every_s))
        self._kind, self._until_s = "", 0.0
        self._streams: dict[str, StreamFault] = {
            "not-a-number": SpoiledState("nan"),
            "stuck": _StuckState(),
            "dropped": Dropped(),
            "delayed": Delayed(10),
            "reordered": Reordered(),
            "duplicated": Duplicated(),
            "clock-ahead": ClockJump(5.0),
            "clock-behind": ClockJump(-5.0),
        }
        self._kinds = (*self._streams, *OTHER_FAULTS)
        self.counts = dict.fromkeys(self._kinds, 0)

    def look(self, now_s: float) -> str:
        """What begins at this moment: a key of `counts`, or nothing."""
        if now_s < self._next_s:
            return ""
        kind = self._kinds[self._rng.integers(len(self._kinds))]
        self._next_s = now_s + float(self._rng.exponential(self._every_s))
        self.counts[kind] += 1
        if kind in self._streams:
            self._kind, self._until_s = kind, now_s + float(self._rng.uniform(0.02, 3.0))
        return kind

    def push(self) -> FloatArray:
        """How hard `(2,)`, in m/s."""
        return self._rng.uniform(-1.0, 1.0, 2)

    def stop_s(self) -> float:
        """How long somebody leaves the emergency stop pressed."""
        return float(self._rng.uniform(0.5, 10.0))

    def spoil(self, observation: Observation) -> Observation:
        """An observation as it arrives."""
        active = self._kind if observation.stamp_s < self._until_s else ""
        arriving = {name: fault(observation, active=name == active) for name, fault in self._streams.items()}
        return arriving.get(active, observation)
