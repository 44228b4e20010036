"""The tick's process: `python -m dualsys.bridge.tick_process CONFIG.json`.

Numpy, MuJoCo and the core; never ray or torch.
"""

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.bridge.assembly import make_tick_loop, rehearse
from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.parts import build_environment
from dualsys.bridge.process_life import run_process
from dualsys.bridge.realtime import enter_realtime, had_less, leave_realtime
from dualsys.bridge.scene import ScenePose
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tape_ring import TapeRing
from dualsys.bridge.tick_log import write_tick_log
from dualsys.bridge.tick_loop import TickLoop
from dualsys.errors import BridgeError

_LOGGER = logging.getLogger(__name__)

REPORT = "tick.json"
POSES = "poses.npz"
_FORBIDDEN = ("ray", "torch")


def require_light_process() -> None:
    """Refuse to tick where a heavy framework was imported: it brings threads and page faults of its own."""
    loaded = _heavy_imports()
    if loaded:
        raise BridgeError(
            f"the tick's process has imported {' and '.join(loaded)}; the environment must not (see sys.modules)"
        )


def _heavy_imports() -> list[str]:
    return [name for name in _FORBIDDEN if name in sys.modules]


def _late_imports() -> dict[str, str]:
    loaded = " and ".join(_heavy_imports())
    if not loaded:
        return {}
    _LOGGER.warning("the environment has imported %s while it ticked", loaded)
    return {"imports": f"{loaded}, while it ticked"}


def tick(config: SystemConfig, stop: threading.Event) -> None:
    """Set up, wait for the word to go, tick, write the report."""
    environment = build_environment(config.environment)
    try:
        boxes = SharedBoxes(config.folder)
        tape = TapeRing.create(config.tape, capacity=config.tape_bytes) if config.tape_bytes else None
        loop = make_tick_loop(config, boxes, environment, tape=tape)
        realtime = enter_realtime(config.realtime, 1.0 / config.control_hz)
        _tell(loop, realtime)
        rehearse(config, environment)
        loop.prepare()
        supervisor = boxes.reader(status_box("supervisor"))
        while not stop.is_set() and not (supervisor.read() or {}).get("go", False):
            loop.idle()
        require_light_process()
        loop.run(stop)
        leave_realtime()
        # What came in late is told, not held against the run: its figures would be lost.
        _write(config, loop, realtime | _late_imports())
    finally:
        environment.close()


def _tell(loop: TickLoop, realtime: dict[str, Any]) -> None:
    """What was had, in this process's output and in the run's log."""
    _LOGGER.info("real time: %s", realtime)
    for lacking in had_less(realtime):
        _LOGGER.warning("asked for and not had, %s", lacking)
    loop.note("realtime", **realtime)


def _write(config: SystemConfig, loop: TickLoop, realtime: dict[str, Any]) -> None:
    write_poses(config.folder / POSES, loop.poses)
    if config.log_folder is not None and loop.commands is not None:
        write_tick_log(config.log_folder, loop.commands, loop.events)
    report = {**loop.report(), "realtime": realtime}
    partial = config.folder / f".{REPORT}"
    partial.write_text(json.dumps(report))
    partial.rename(config.folder / REPORT)


def write_poses(path: Path, poses: list[ScenePose]) -> None:
    """Store poses to draw a video from."""
    np.savez(
        path,
        stamp_s=np.array([pose.stamp_s for pose in poses]),
        episode=np.array([pose.episode for pose in poses], dtype=np.int64),
        seed=np.array([pose.seed for pose in poses], dtype=np.int64),
        physics=np.array([pose.physics for pose in poses]),
    )


def read_poses(path: Path) -> list[ScenePose]:
    """Poses of a file. An empty list where there is none."""
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as stored:
        return [
            ScenePose(stamp_s=float(stamp_s), episode=int(episode), seed=int(seed), physics=physics)
            for stamp_s, episode, seed, physics in zip(
                stored["stamp_s"], stored["episode"], stored["seed"], stored["physics"], strict=True
            )
        ]


if __name__ == "__main__":
    sys.exit(run_process(tick, death_signal=signal.SIGTERM))
