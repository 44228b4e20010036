"""The supervisor of a run in processes: starts them, waits until they are ready, watches, ends them in order.

It only looks after the others: nothing that moves depends on it from one moment to the next.
"""

import json
import logging
import os
import signal
from contextlib import suppress
from time import monotonic, sleep
from typing import Any, final

from dualsys.bridge.boxes import PROCESSES, SharedBoxes, status_box
from dualsys.bridge.child import Child
from dualsys.bridge.launchers import Launcher
from dualsys.bridge.progress import OnProgress, Progress
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tick_process import REPORT
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError

_LOGGER = logging.getLogger(__name__)

_POLL_S = 0.05
_STOP_TICK_WITHIN_S = 10.0
_STOP_WITHIN_S = 10.0
_TICK_OVERTIME_S = 60.0


@final
class Supervisor:
    """Runs a system of processes once.

    Args:
        config: The run; its folder exists, and its file and boxes are written by `start`.
        launcher: Who looks after the planner.
        on_progress: Called several times a second with what the processes say.
    """

    def __init__(self, config: SystemConfig, launcher: Launcher, on_progress: OnProgress) -> None:
        self._config = config
        self._launcher = launcher
        self._on_progress = on_progress
        self._boxes = SharedBoxes(config.folder)
        self._children = {
            name: Child(
                f"dualsys.bridge.{name}_process",
                [str(config.folder / "config.json")],
                log=config.folder / f"{name}.log",
                restart=name != "tick",
            )
            for name in ("tick", "actor", "camera")
        }
        self._began_s = monotonic()

    def run(self) -> dict[str, Any]:
        """Start everything, let it run for its time, stop everything; the run's figures.

        Raises:
            BridgeError: where a process can't be set up, or the tick ends without a report.
        """
        try:
            self._start()
            self._wait_until_ready()
            self._say_go()
            self._watch()
            return self._report()
        finally:
            self._stop()

    def _start(self) -> None:
        (self._config.folder / "config.json").write_text(self._config.model_dump_json())
        self._boxes.create(self._config)
        self._statuses = {name: self._boxes.reader(status_box(name)) for name in PROCESSES}
        self._reporter = Reporter(self._boxes.writer(status_box("supervisor")), MonotonicClock())
        self._reporter.publish({"go": False})
        for child in self._children.values():
            child.start()
        self._launcher.start()

    def _wait_until_ready(self) -> None:
        """Wait for the tick, the actor, the cameras, and a first sign from the planner."""
        while waiting := [name for name in ("tick", "actor", "camera", "planner") if not self._is_ready(name)]:
            self._look_after_all()
            if monotonic() - self._began_s > self._config.ready_within_s:
                names = ", ".join(waiting)
                raise BridgeError(f"not ready within {self._config.ready_within_s:g} s: {names}\n{self._logs()}")
            self._progress("starting", waiting)
            sleep(_POLL_S)

    def _is_ready(self, name: str) -> bool:
        status = self._statuses[name].read() or {}
        if name == "planner":
            # A first plan is the warm-up; a planner that only fails is reported, not waited for.
            return bool(status.get("plans") or status.get("failures") or status.get("refused"))
        return bool(status.get("ready"))

    def _say_go(self) -> None:
        self._reporter.publish({"go": True})

    def _watch(self) -> None:
        """Look after all until the tick ends by itself."""
        tick = self._children["tick"]
        limit_s = monotonic() + self._config.seconds + _TICK_OVERTIME_S
        while tick.exit_status is None:
            self._look_after_all()
            self._look_for_hang()
            self._progress("running", [])
            if monotonic() > limit_s:
                raise BridgeError(f"the tick is {_TICK_OVERTIME_S:.0f} s over its time; it said:\n{tick.tail()}")
            sleep(_POLL_S)

    def _look_after_all(self) -> None:
        for name, child in self._children.items():
            child.watch()
            if child.failed_for_good and child.exit_status != 0:
                raise BridgeError(f"the {name} process ended with status {child.exit_status}; it said:\n{child.tail()}")
        self._launcher.watch()
        if self._launcher.failure is not None:
            raise BridgeError(f"the planner could not be started; its launcher said:\n{self._launcher.failure}")

    def _look_for_hang(self) -> None:
        box = self._statuses["planner"]
        age_s, pid = box.heartbeat_age_s(), box.living_writer()
        if pid is None or age_s <= self._config.planner_hangs_after_s:
            return
        _LOGGER.warning("the planner (process %d) gave no sign of life for %.0f s: killed", pid, age_s)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _logs(self) -> str:
        """The end of what each process wrote."""
        logs = sorted(self._config.folder.glob("*.log"))
        return "\n".join(
            f"{log.name}: {log.read_text(errors='replace')[-1000:].strip() or '(nothing)'}" for log in logs
        )

    def _progress(self, stage: str, waiting: list[str]) -> None:
        statuses = {name: box.read() or {} for name, box in self._statuses.items()}
        self._on_progress(
            Progress(stage=stage, seconds=monotonic() - self._began_s, waiting=tuple(waiting), statuses=statuses)
        )

    def _report(self) -> dict[str, Any]:
        """The tick's figures, and those of the others beside them."""
        tick, path = self._children["tick"], self._config.folder / REPORT
        if tick.exit_status != 0 or not path.exists():
            raise BridgeError(f"the tick ended with status {tick.exit_status} and no report; it said:\n{tick.tail()}")
        report: dict[str, Any] = json.loads(path.read_text())
        statuses = {name: self._statuses[name].read() or {} for name in ("planner", "actor", "camera", "launcher")}
        report["planner"] |= {
            "pid": statuses["planner"].get("pid"),
            "restarts": max(self._statuses["planner"].epoch - 1, 0),
        }
        report["actor"] |= {"pid": statuses["actor"].get("pid"), "restarts": self._children["actor"].restarts}
        report["processes"] = statuses
        return report

    def _stop(self) -> None:
        """The tick first: it lets the robot rest; then those that feed it."""
        self._children["tick"].stop(within_s=_STOP_TICK_WITHIN_S)
        self._launcher.ask_to_stop()
        for name in ("actor", "camera"):
            self._children[name].ask_to_stop()
        for name in ("actor", "camera"):
            self._children[name].stop(within_s=_STOP_WITHIN_S)
        self._launcher.stop()
