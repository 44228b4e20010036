"""A tape: all that went into the decision core and all commands that came of it, in order.

    head, Started, Observed, Tick, ChunkRequest, Command, Observed, SubgoalArrived, ChunkArrived, Tick, Command, ...

The core is deterministic, so its events are the whole run: `dualsys.replay` plays them again and compares every command
to the bit. What the safety gate is told from outside, how near things are, stands before the commands that it changed
(`KeptClear`). What is kept beside is for people (which weights, which versions, when).
"""

from typing import Any, Protocol, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import TapeError
from dualsys.events import (
    ChunkRequest,
    EmergencyReset,
    EmergencyStop,
    Event,
    KeptClear,
    Offered,
    Retry,
    SourceName,
)
from dualsys.messages import Command
from dualsys.settings import CoreConfig, SafetyConfig

Record = Event | ChunkRequest | Retry | KeptClear | Command

TAPE_VERSION = 1


class TapeHead(BaseModel):
    """What a replay builds the core and the gate from, and what a person wants to know of the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = TAPE_VERSION
    embodiment: EmbodimentSpec
    core: CoreConfig
    safety: SafetyConfig
    control_dt_s: float
    """Time of a tick, which the gate was built for."""
    config: dict[str, Any] = {}
    """How the run was asked for."""
    versions: dict[str, Any] = {}

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Read a head. Raises `TapeError` for one of another version, or that isn't whole."""
        try:
            head = cls.model_validate_json(text)
        except ValidationError as error:
            raise TapeError(f"{where}: its head cannot be read: {error}") from error
        if head.version != TAPE_VERSION:
            raise TapeError(f"{where} is a tape of version {head.version}, this dualsys reads {TAPE_VERSION}")
        return head


class CarriedOver:
    """Whether what outlasts the start of an episode is there: an emergency stop that is pressed, a source with the say.

    From such a start nothing can be replayed without what was before it.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._claiming: set[str] = set()
        self._driven = False

    def __bool__(self) -> bool:
        return self._stopped or self._driven or bool(self._claiming)

    def see(self, record: Record) -> None:
        """Take a record in."""
        match record:
            case EmergencyStop():
                self._stopped = True
            case EmergencyReset():
                self._stopped = False
            case Command():
                self._stopped = record.source == "stop"
                self._driven = _tells_of_a_source(record, before=self._driven)
            case Offered() if record.claims:
                self._claiming.add(record.source)
            case Offered():
                self._driven = False
                self._claiming.discard(record.source)
            case _:
                pass


def _tells_of_a_source(command: Command, *, before: bool) -> bool:
    """Whether a source other than the policy has the say, which it may have claimed before the tape's beginning."""
    if command.source in ("hold", "damp", "stop"):
        # What is held for its age without having a chunk is a source that has fallen silent.
        return before or ("stale" in command.limited and command.chunk_sequence < 0)
    return command.source in get_args(SourceName)


class Tape(Protocol):
    """Where records go. `add` is called within a tick: it must not wait, raise or take long."""

    def add(self, record: Record) -> None:
        """Keep a record."""
        ...
