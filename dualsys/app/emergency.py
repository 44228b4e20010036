"""`dualsys stop` and `dualsys reset`: emergency stop of a run in processes on this machine, from another terminal."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dualsys.errors import BridgeError

_LOOK_S = 0.02

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopConfig:
    """Bring a run in processes to rest, and keep it there until `dualsys reset`. No substitute for cutting power.

    Exit status 0 only when the tick has said that it is stopped.
    """

    run: RunName = ""
    """The run's name, as `dualsys run` prints it, or its folder; without it the only one there is."""
    reason: str = ""
    """Why, for the log."""
    answer_within_s: float = 2.0
    """How long to wait for the tick's word, which comes a few times a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetConfig:
    """Let a run that was stopped move again, by `dualsys stop` or by anything else.

    Without a stop it does nothing, and says so. Exit status 0 only when the tick has said that it is not stopped.
    """

    run: RunName = ""
    """The run's name, as `dualsys run` prints it, or its folder; without it the only one there is."""
    answer_within_s: float = 2.0
    """How long to wait for the tick's word, which comes a few times a second."""


def stop(config: StopConfig) -> int:
    """Press the switch. Returns 1 where the tick doesn't say that it has stopped."""
    from dualsys.bridge.stop_switch import StopSwitch

    folder, begun_s = find_run(config.run), time.monotonic()
    StopSwitch.join(folder).stop(config.reason)
    done = "is stopped; `dualsys reset` when somebody has looked"
    return _tell(folder, begun_s, config.answer_within_s, stopped=True, done=done)


def reset(config: ResetConfig) -> int:
    """Release the switch. Returns 1 where the tick is stopped all the same, or doesn't answer."""
    from dualsys.bridge.boxes import SharedBoxes, status_box
    from dualsys.bridge.stop_switch import StopSwitch

    folder, begun_s = find_run(config.run), time.monotonic()
    was_stopped = (SharedBoxes(folder).reader(status_box("tick")).read() or {}).get("stopped", False)
    StopSwitch.join(folder).reset()
    moves = "is reset: it moves again" if was_stopped else "is not stopped, and was not when it was last heard"
    return _tell(folder, begun_s, config.answer_within_s, stopped=False, done=moves)


def find_run(name: str, root: Path | None = None) -> Path:
    """Folder of a living run in processes by its name or folder, or of the only one.

    Args:
        name: `run-123`, `dualsys.run-123` or a path; empty: the only run there is.
        root: Where runs have their folders; None: `/dev/shm`.

    Raises:
        BridgeError: there is none, or more than one; it names those that there are.
    """
    from dualsys.bridge.boxes import STOP
    from dualsys.bridge.run_folder import PREFIX, SHARED_MEMORY, run_folders

    root = root or SHARED_MEMORY
    # A folder that is being made, or is of a run in threads, has no switch.
    alive = [each.path for each in run_folders(root) if each.alive and (each.path / f"{STOP.name}.box").exists()]
    listed = "; ".join(map(str, alive)) or "none"
    if name:
        found = Path(name) if "/" in name else root / f"{PREFIX}{name.removeprefix(PREFIX)}"
        # One that isn't this user's is not listed; who may write there may stop it.
        if found in alive or ("/" in name and (found / f"{STOP.name}.box").exists()):
            return found
        raise BridgeError(f"no run {name!r} is alive; runs in processes on this machine: {listed}")
    if not alive:
        raise BridgeError(f"no run in processes is alive under {root} (of this user: a run of another is given as RUN)")
    if len(alive) > 1:
        raise BridgeError(f"which of {len(alive)} runs? Give its name as RUN: {listed}")
    return alive[0]


def _tell(folder: Path, begun_s: float, within_s: float, *, stopped: bool, done: str) -> int:
    """Say what the tick says to it; the exit status."""
    from dualsys.bridge.boxes import SharedBoxes, status_box

    box, status = SharedBoxes(folder).reader(status_box("tick")), None
    # From when the word was written: a switch may have to wait for another.
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        seen = box.read_stamped()
        if seen is not None and seen[0].written_stamp_s >= begun_s:
            status = seen[1]
            if not status.get("running"):
                begins = "begins stopped" if stopped else "is not stopped by the switch"
                sys.stdout.write(f"{folder} has not begun: it {begins}\n")
                return 0
            if status.get("stopped") is stopped:
                sys.stdout.write(f"{folder} {done}\n")
                return 0
        time.sleep(_LOOK_S)
    sys.stderr.write(f"dualsys: {_complaint(folder, stopped=stopped, answers=status is not None)}\n")
    return 1


def _complaint(folder: Path, *, stopped: bool, answers: bool) -> str:
    if not folder.exists():
        return f"the run of {folder} has ended meanwhile"
    if not answers:
        return f"the tick of {folder} does not answer{': cut the power' if stopped else ''}"
    if stopped:
        return f"the tick of {folder} does not say that it is stopped: cut the power"
    return f"{folder} is still stopped: the log says why, or somebody has pressed again"
