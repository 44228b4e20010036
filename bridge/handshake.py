"""What a planner's host says of itself before it may plan, and whether the supervisor lets it.

    planner.<pid>.hello.json     host -> supervisor: version, wire and mailbox layout, subgoal spec, digest
    planner.<pid>.welcome        supervisor -> host: plan (an empty file; a host that is refused is killed)

Plain JSON in the run's folder, not a mailbox: hosts of another layout must still be understood. A host that waits as a
standby has shaken hands before, so that its turn costs no time. While it waits it touches its hello, so that one that
is stopped or hangs is found before it is needed.
"""

import json
import logging
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

from dualsys import __version__
from dualsys.bridge.box_file import LAYOUT_VERSION
from dualsys.bridge.frames import WIRE_VERSION
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import BridgeError
from dualsys.files import replacing

_LOGGER = logging.getLogger(__name__)

_MAX_HELLO_BYTES = 64 * 2**10
_POLL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a host is. Unknown keys of a later version are left unread."""

    version: str
    """Of dualsys."""
    wire: int
    """Layout of the frames."""
    mailbox: int
    """Layout of the boxes."""
    subgoal: dict[str, Any]
    """The planner's spec, as plain values: one of another version need not fit this one's class."""
    digest: str
    """Which weights; empty for a planner without any."""

    @classmethod
    def of(cls, spec: SubgoalSpec, digest: str) -> Self:
        """What this process is."""
        return cls(
            version=__version__,
            wire=WIRE_VERSION,
            mailbox=LAYOUT_VERSION,
            subgoal=spec.model_dump(mode="json"),
            digest=digest,
        )

    def plain(self) -> dict[str, Any]:
        """As plain values, which any version understands."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def of_plain(cls, value: Any) -> Self:
        """Hello of plain values. Raises `BridgeError` for what is none."""
        try:
            return cls(**{name: value[name] for name in cls.__slots__})
        except (KeyError, TypeError) as error:
            raise BridgeError(f"the planner's host says what cannot be read ({error}): {str(value)[:200]}") from error

    @classmethod
    def parse(cls, text: str) -> Self:
        """Hello of a file. Raises `BridgeError` for what is none."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BridgeError(f"the planner's host says what cannot be read ({error}): {text[:200]!r}") from error
        return cls.of_plain(value)

    def problem(self, spec: SubgoalSpec, digest: str | None) -> str | None:
        """Why it must not plan here, naming both sides; None where it may.

        Args:
            spec: What the actor takes.
            digest: Weights of the first host of the run; None before there was one.
        """
        ours = Hello.of(spec, digest if digest is not None else self.digest)
        for name, word in (("wire", "wire version"), ("mailbox", "mailbox layout")):
            theirs, mine = getattr(self, name), getattr(ours, name)
            if theirs != mine:
                return (
                    f"it speaks {word} {theirs} (dualsys {self.version}), this run {word} {mine} (dualsys "
                    f"{ours.version}): install one version on both sides"
                )
        if self.subgoal != ours.subgoal:
            return f"SpecMismatch: it gives subgoals of {self.subgoal}, the actor takes {ours.subgoal}"
        if self.digest != ours.digest:
            return (
                f"its weights are {self.digest or 'none'}, those that the run began with {ours.digest or 'none'}: the "
                "actor was loaded for the latter; start the run anew"
            )
        if self.version != ours.version:
            _LOGGER.warning("the planner's host runs dualsys %s, this run %s", self.version, ours.version)
        return None


def say_hello(folder: Path, hello: Hello, stop: threading.Event) -> None:
    """Tell the supervisor what this process is, and wait for its welcome.

    Raises:
        BridgeError: told to stop before it came.
    """
    with replacing(_hello_file(folder, os.getpid())) as partial:
        partial.write_text(json.dumps(hello.plain()))
    welcome = _welcome_file(folder, os.getpid())
    while not welcome.exists():
        if stop.wait(_POLL_S):
            raise BridgeError("stopped before the supervisor had let it plan")
    _LOGGER.info("let in by the supervisor: %s", hello)


@final
class Turn:
    """How a host waits that has been let in while another has its place: each look at the place is a sign of its life.

    Without one a standby that was stopped or hangs would be found when it is needed.

    Args:
        folder: The run's.
        stop: Ends the waiting.
    """

    def __init__(self, folder: Path, stop: threading.Event) -> None:
        self._hello = _hello_file(folder, os.getpid())
        self._stop = stop

    def wait(self, timeout: float | None = None, /) -> bool:
        """Wait, as an event does; whether to wait no more."""
        with suppress(FileNotFoundError):  # the supervisor has buried this host, or ends the run
            os.utime(self._hello)
        return self._stop.wait(timeout)


def last_sign(folder: Path, pid: int) -> int:
    """Differs after each sign of life of a host that waits; its value means nothing. 0: it has said nothing."""
    try:
        return os.stat(_hello_file(folder, pid)).st_mtime_ns
    except FileNotFoundError:
        return 0


def read_hello(folder: Path, pid: int) -> Hello | None:
    """What a host has said; None before it has. Raises `BridgeError` for what can't be read."""
    file = _hello_file(folder, pid)
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_HELLO_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BridgeError(f"the hello of the planner's host, {file}, cannot be read: {error}") from error
    return Hello.parse(data.decode(errors="replace"))


def welcome(folder: Path, pid: int) -> None:
    """Let a host plan."""
    _welcome_file(folder, pid).touch()


def forget(folder: Path, pid: int) -> None:
    """Remove what a host that has ended has said: another may get its number."""
    _hello_file(folder, pid).unlink(missing_ok=True)
    _welcome_file(folder, pid).unlink(missing_ok=True)


def _hello_file(folder: Path, pid: int) -> Path:
    return folder / f"planner.{pid}.hello.json"


def _welcome_file(folder: Path, pid: int) -> Path:
    return folder / f"planner.{pid}.welcome"
