"""Playing a tape again: the same events through a core of the same configuration must give the same commands."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Literal

import numpy as np

from dualsys.chunk_policies import build_policy
from dualsys.decision import DecisionCore
from dualsys.events import ChunkRequest, EmergencyReset, KeptClear, Retry, Started
from dualsys.messages import Command
from dualsys.safety import SafetyGate
from dualsys.tape import CarriedOver, Record, TapeHead

Verdict = Literal["identical", "different", "nothing to compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How a tape and what comes of it agree."""

    passed_over: int
    """Records before the first start."""
    events: int
    commands: int
    """Commands on the tape, each compared."""
    differing: int
    """Of them, not equal to the bit."""
    first_difference: str
    """Where and in what; empty where there is none."""

    @property
    def verdict(self) -> Verdict:
        """What was found; nothing can be compared where no command stands behind a start."""
        if self.commands == 0:
            return "nothing to compare"
        return "different" if self.differing else "identical"

    @property
    def identical(self) -> bool:
        """Whether all were equal, and there was something to compare."""
        return self.verdict == "identical"


def replay(head: TapeHead, records: Iterable[Record]) -> Replay:
    """Play a tape's events through a new core and gate, and hold each command against the tape's.

    Records are drawn one by one, so that a tape of hours needs no memory. A tape may begin in the midst of a run, as a
    flight recorder's does: what it says before the first start with nothing `CarriedOver` depends on what is not on
    it, and is passed over.
    """
    tape = iter(records)
    passed_over = 0
    until_asked: list[Record] = []
    """From the first start to the first request, whose number a tape that begins in the midst of a run goes on from."""
    carried = CarriedOver()
    for record in tape:
        carried.see(record)
        if until_asked or (isinstance(record, Started) and not carried):
            until_asked.append(record)
        else:
            passed_over += 1
        if until_asked and isinstance(record, ChunkRequest):
            break
    player = _Player(head)
    if until_asked and isinstance(until_asked[-1], ChunkRequest):
        player.core.requester.sequence = until_asked[-1].sequence
    for record in chain(until_asked, tape):
        player.play(record)
    return Replay(
        passed_over=passed_over,
        events=player.events,
        commands=player.commands,
        differing=player.differing,
        first_difference=player.first_difference,
    )


class _Player:
    """A core and a gate as those of the tape."""

    def __init__(self, head: TapeHead) -> None:
        self.core = DecisionCore(head.embodiment, head.core, build_policy(head.core.chunk_policy))
        self._gate = SafetyGate(head.embodiment, head.control_dt_s, head.safety)
        self._decided: Command | None = None
        self.events = self.commands = self.differing = 0
        self.first_difference = ""

    def play(self, record: Record) -> None:
        """Take in an event, or compare a command with what was decided."""
        if isinstance(record, Command):
            self._compare(record)
        elif isinstance(record, KeptClear):
            self._gate.nearness.tell(record.share)
        elif not isinstance(record, ChunkRequest | Retry):
            self.events += 1
            if isinstance(record, Started):
                self._gate.reset(record.position)
            elif isinstance(record, EmergencyReset):
                self._gate.resume(record.position)
            # Without latency an instant is decided again: the newest decision is the one that was sent.
            self._decided = self.core.handle(record).command or self._decided

    def _compare(self, command: Command) -> None:
        self.commands += 1
        found = None if self._decided is None else self._gate.limit(self._decided)
        self._decided = None
        self._gate.nearness.tell(None)
        what = "no command at all now" if found is None else difference(command, found)
        self.differing += bool(what)
        if what and not self.first_difference:
            self.first_difference = f"command {self.commands} at {command.stamp_s:.6f} s: {what}"


def difference(one: Command, other: Command) -> str:
    """Fields in which two commands differ, with both values; empty where they are equal to the bit."""
    names = [field.name for field in fields(Command) if not _same(getattr(one, field.name), getattr(other, field.name))]
    return "; ".join(f"{name} {getattr(one, name)} on the tape, {getattr(other, name)} now" for name in names)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype) and one.tobytes() == other.tobytes()
    return bool(one == other) or (one != one and other != other)
