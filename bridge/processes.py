"""The processes driver: planner, actor, cameras and tick each in a process of their own, on the wall clock."""

import logging
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dualsys.bridge.launchers import LauncherName
from dualsys.bridge.progress import IsOver, OnProgress, never
from dualsys.bridge.run_folder import RunFolder
from dualsys.bridge.scene import ScenePose
from dualsys.bridge.supervisor import Supervisor
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tick_process import POSES, read_poses

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run on the wall clock leaves."""

    report: dict[str, Any]
    """Figures, as they go into the run's JSON."""
    poses: list[ScenePose]
    """What a video can be drawn from."""


def run_processes(
    config: SystemConfig,
    *,
    run_id: str,
    launcher: LauncherName,
    ray_address: str | None = None,
    on_progress: OnProgress,
    deck: TapeDeck | None = None,
    is_over: IsOver = never,
) -> RunResult:
    """Run a system in processes. Nothing is left afterwards: no process, no shared memory.

    Args:
        config: The run; its folder is set here.
        run_id: Names the run's folder; unique among living runs.
        launcher: Who starts the planner.
        ray_address: Cluster for the Ray launcher; None: a local one.
        on_progress: Called several times a second.
        deck: Takes over what the tick records, where the configuration has room for it.
        is_over: Asked several times a second.

    Raises:
        BridgeError: where shared memory, a process or Ray can't be set up.
    """
    with sigterm_as_exit(), RunFolder(run_id) as folder:
        config = config.model_copy(update={"folder": folder.path})
        try:
            supervisor = Supervisor(config, launcher, on_progress, ray_address=ray_address, deck=deck, is_over=is_over)
            report = supervisor.run()
        except BaseException:
            _keep_output(config)
            raise
        return RunResult(report=report, poses=read_poses(folder.path / POSES))


def _keep_output(config: SystemConfig) -> None:
    """Copy what the processes of a failed run said to the parts of its log, before its folder goes."""
    if config.log_folder is None:
        return
    for output in config.folder.glob("*.log"):
        try:
            shutil.copy(output, config.log_folder)
        except OSError as error:
            _LOGGER.warning("cannot keep %s: %s", output.name, error)


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """End in order on SIGTERM, too: Ctrl-C is an exception already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> None:
        del frame
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
