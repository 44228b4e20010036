"""Every error dualsys raises on purpose: one root, few leaves.

A message says what was asked, what exists, and how to mend it. Errors belong to set-up and to borders: files, wires,
command lines, and what is handed to `Controller.step`. The decision core, the gate and the tick on the wall clock raise
nothing.
"""

import difflib
from collections.abc import Iterable, Sequence


class DualsysError(Exception):
    """Root of all errors raised on purpose by dualsys."""


class ConfigError(DualsysError):
    """A configuration file, a flag or a name is wrong."""


class SpecMismatch(DualsysError):
    """Two parts whose contracts differ were put together (planner and actor, checkpoint and robot, ...)."""


class InvalidObservation(DualsysError):
    """An observation doesn't fit the embodiment: missing camera, wrong shape, not finite."""


class CheckpointError(DualsysError):
    """A checkpoint folder is incomplete, truncated, of another format, or for another embodiment."""


class DatasetError(DualsysError):
    """A dataset folder is incomplete, of another format, or of another robot."""


class CannotWrite(DualsysError):
    """A file or a folder cannot be written: a full disk, a folder that is read-only."""


class BridgeError(DualsysError):
    """A mailbox, a process or the planner's host could not be set up."""


class PolicyError(DualsysError):
    """A policy's server can't be reached, has ended, or answers with what is no chunk of this robot's."""


class TapeError(DualsysError):
    """A recorded run that can't be read, or is of another version."""


class RenderingError(DualsysError):
    """MuJoCo cannot render on this machine."""


class NotConforming(DualsysError, AssertionError):
    """A planner, an actor, an environment or a robot breaks its protocol; raised by `dualsys.testing`."""


class ExtraMissing(DualsysError):
    """An optional dependency is not installed."""


def unknown_name(kind: str, asked: str, known: Iterable[str]) -> str:
    """Message for a name that doesn't exist: what was asked, the closest match, what exists."""
    names = sorted(known)
    close = difflib.get_close_matches(asked, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {asked!r}.{hint} Available: {', '.join(names) or 'none'}."


def some_of(names: Sequence[str], most: int) -> str:
    """The first of several names, for a message."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
