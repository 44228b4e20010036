"""The tick's part of the run log: its commands and what happened between them, written when it is over."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path
from typing import Any

from dualsys.messages import Command
from dualsys.recorder import CommandRecorder
from dualsys.telemetry import RunLog

COMMANDS = "commands.jsonl"
_OVERTIME_S = 60.0
_ENDS = ("episode_end", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """Something that happened: an episode begins or ends, a fault."""

    stamp_s: float
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)


def overtime_s(seconds: float, tick: Mapping[str, Any]) -> float:
    """How long a tick of so many seconds may take beyond them: one that has ended writes its log, as long as it ran."""
    return _OVERTIME_S + (seconds if tick.get("ended") else 0.0)


def write_tick_log(folder: Path, commands: CommandRecorder, events: list[LogEvent]) -> None:
    """Write commands and events by time; of one moment a command comes after the beginnings and before the ends."""
    moments: Iterator[LogEvent | Command] = merge(events, commands.commands(), key=_place)
    with RunLog(folder / COMMANDS) as log:
        for moment in moments:
            if isinstance(moment, Command):
                log.command(moment)
            else:
                log.event(moment.kind, stamp_s=moment.stamp_s, **moment.fields)


def _place(moment: LogEvent | Command) -> tuple[float, int]:
    if isinstance(moment, Command):
        return moment.stamp_s, 1
    return moment.stamp_s, 2 if moment.kind in _ENDS else 0
