"""The supervisor of a run in processes: starts them, waits until they are ready, watches, ends them in order.

It only looks after the others: nothing that moves depends on it from one moment to the next. Once all are ready, no
other process's end ends the run: each is started again, at longer and longer intervals, and at last given up, while
the tick goes on with what it has (see `dualsys.staleness`). Only the tick's own end, or its hanging, is the run's.
The planner has rules of its own (`planner_keeper`).
"""

import json
import logging
from collections.abc import Callable
from functools import partial
from time import monotonic, sleep
from typing import Any, Final, final

from dualsys.bridge.boxes import PROCESSES, SharedBoxes, status_box, subgoal_box
from dualsys.bridge.child import Child
from dualsys.bridge.hang_watch import HangWatch
from dualsys.bridge.launchers import LauncherName, make_hosts
from dualsys.bridge.output_file import ends_of_output
from dualsys.bridge.planner_keeper import PlannerKeeper
from dualsys.bridge.progress import IsOver, OnProgress, Progress, never
from dualsys.bridge.reporter import Reporter, Status
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_ring import TapeRing
from dualsys.bridge.tick_log import overtime_s
from dualsys.bridge.tick_process import REPORT
from dualsys.bridge.unbroken import unbroken
from dualsys.clock import MonotonicClock
from dualsys.errors import BridgeError
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)

_POLL_S = 0.05
_STOP_TICK_WITHIN_S = 10.0
_STOP_WITHIN_S = 10.0
_CHILDREN: Final = ("actor", "camera")
"""Whose hangs and restarts are the supervisor's own business."""


@final
class Supervisor:
    """Runs a system of processes once.

    Args:
        config: The run; its folder exists, and its file and boxes are written by `start`.
        launcher: Who runs the planner.
        on_progress: Called several times a second with what the processes say.
        ray_address: Cluster for the Ray launcher; None: a local one.
        deck: Takes over what the tick records, where its configuration has room for it.
        is_over: Asked several times a second.
        tick_module: Entry of the tick's process; benchmarks bring their own.
    """

    def __init__(
        self,
        config: SystemConfig,
        launcher: LauncherName,
        on_progress: OnProgress,
        *,
        ray_address: str | None = None,
        deck: TapeDeck | None = None,
        is_over: IsOver = never,
        tick_module: str = "dualsys.bridge.tick_process",
    ) -> None:
        modules = {"tick": tick_module} | {name: f"dualsys.bridge.{name}_process" for name in _CHILDREN}
        self._config = config
        self._hosts = make_hosts(launcher, config, lambda: self._status("launcher"), ray_address=ray_address)
        self._on_progress = on_progress
        self._deck = deck
        self._is_over = is_over
        self._tape: TapeRing | None = None
        self._boxes = SharedBoxes(config.folder)
        self._children = {
            name: Child(
                modules[name],
                [str(config.folder / "config.json")],
                log=config.folder / f"{name}.log",
                restart=None if name == "tick" else config.child_restart,
            )
            for name in ("tick", *_CHILDREN)
        }
        self._began_s = monotonic()
        self._go = False
        self._clock = MonotonicClock()
        self._epochs: dict[str, int] = {}
        self._log: RunLog | None = None
        self._hangs = dict.fromkeys(_CHILDREN, 0)

    def run(self) -> dict[str, Any]:
        """Start everything, let it run for its time, stop everything; the run's figures.

        Raises:
            BridgeError: where a process can't be set up, or the tick ends without a report.
        """
        try:
            self._start()
            self._wait_until_ready()
            self._go = True
            self._publish()
            self._watch()
            return self._report()
        finally:
            self._stop()

    def _start(self) -> None:
        self._boxes.create(self._config)
        (self._config.folder / "config.json").write_text(self._config.model_dump_json())
        self._statuses = {name: self._boxes.reader(status_box(name)) for name in PROCESSES}
        self._watches = {
            name: HangWatch(self._statuses[name], self._config.hangs_after_s) for name in ("tick", *_CHILDREN)
        }
        self._reporter = Reporter(self._boxes.writer(status_box("supervisor")), self._clock)
        if self._config.log_folder is not None:
            self._log = RunLog(self._config.log_folder / "supervisor.jsonl", buffered_lines=1)
        self._keeper = PlannerKeeper(
            self._config,
            self._hosts,
            subgoals=self._boxes.reader(subgoal_box(self._config)),
            status=lambda: self._status("planner"),
            clock=self._clock,
            note=self._note,
        )
        self._publish()
        for child in self._children.values():
            child.start()
        self._keeper.look()

    def _wait_until_ready(self) -> None:
        """Wait for the tick, the actor, the cameras, and a first sign from the planner."""
        while waiting := [name for name in ("tick", "actor", "camera", "planner") if not self._is_ready(name)]:
            self._look_after_all()
            self._require_set_up()
            if monotonic() - self._began_s > self._config.ready_within_s:
                names = ", ".join(waiting)
                said = ends_of_output(self._config.folder)
                raise BridgeError(f"not ready within {self._config.ready_within_s:g} s: {names}\n{said}")
            if self._is_over():
                raise KeyboardInterrupt  # there are no figures yet
            self._progress("starting", waiting)
            sleep(_POLL_S)

    def _is_ready(self, name: str) -> bool:
        status = self._status(name)
        if name == "planner":
            # A first plan is the warm-up; a planner that only fails is reported, not waited for.
            return bool(status.get("plans") or status.get("failures") or status.get("refused"))
        return bool(status.get("ready"))

    def _publish(self) -> None:
        self._published = self._news()
        self._reporter.publish(self._published)

    def _news(self) -> dict[str, Any]:
        """What is told to all: whether to go, the planner's life, and what had to be done for the others."""
        return {"go": self._go, "orders": self._hosts.orders(), "planner": self._keeper.summary(), **self._care()}

    def _care(self) -> dict[str, Any]:
        """What had to be done for the others."""
        patients, planner = {name: self._children[name] for name in _CHILDREN}, self._keeper.summary()
        given_up = [name for name, patient in patients.items() if patient.given_up]
        return {
            "restarts": {name: child.restarts for name, child in patients.items()} | {"planner": planner["restarts"]},
            "hangs": self._hangs | {"planner": planner["hangs"]},
            "given_up": given_up + (["planner"] if planner["state"] == "failed" else []),
        }

    def _watch(self) -> None:
        """Look after all until the tick ends by itself."""
        tick = self._children["tick"]
        began_s, seconds = monotonic(), self._config.seconds
        while tick.exit_status is None:
            self._look_after_all()
            self._look_for_hangs()
            self._record()
            if self._deck is not None:
                self._deck.look({name: self._status(name) for name in ("planner", "actor")})
            self._progress("running", [])
            if self._is_over():
                tick.stop(within_s=_STOP_TICK_WITHIN_S)
            elif (over_s := monotonic() - began_s - seconds) > overtime_s(seconds, self._status("tick")):
                self._note("fault", part="tick", detail=f"{over_s:.0f} s over its time")
                raise BridgeError(f"the tick is {over_s:.0f} s over its time; it said:\n{tick.tail()}")
            sleep(_POLL_S)

    def _look_after_all(self) -> None:
        """Start again who has died."""
        for name, what in [(name, child.watch()) for name, child in self._children.items()]:
            if what is not None:
                self._note("fault", part=name, detail=what)
        self._keeper.look()
        self._look_for_restarts()
        if self._news() != self._published:
            self._publish()

    def _require_set_up(self) -> None:
        """Raise `BridgeError` where a start has shown that there is nothing to wait for."""
        for name, child in self._children.items():
            if child.given_up or (child.failed_for_good and child.exit_status != 0):
                raise BridgeError(f"the {name} process ended with status {child.exit_status}; it said:\n{child.tail()}")
        problem = self._keeper.set_up_problem
        if not problem and self._keeper.state == "failed":
            problem = self._keeper.summary()["reason"]
        if problem:
            raise BridgeError(f"the planner could not be started: {problem}\n{ends_of_output(self._config.folder)}")

    def _look_for_hangs(self) -> None:
        """Kill who gives no sign of life: another is started, as after any end; a tick's end is the run's."""
        for name, watch in self._watches.items():
            # When its ticks are over it writes files, and gives no sign.
            said = "" if name == "tick" and self._status(name).get("ended", False) else watch.look()
            if said:
                self._hangs[name] = self._hangs.get(name, 0) + 1
                self._note("fault", part=name, detail=said)

    def _look_for_restarts(self) -> None:
        """Note who has come back, whoever started it."""
        for name in ("planner", *_CHILDREN):
            epoch, before = self._statuses[name].epoch, self._epochs.get(name, 0)
            if epoch > before:
                self._epochs[name] = epoch
                self._note("start" if before == 0 else "restart", part=name, start=epoch)

    def _record(self) -> None:
        """Take over what the tick has recorded meanwhile."""
        if self._deck is None or self._deck.gave_up_reading:
            return
        if self._tape is None and self._config.tape.exists():
            try:
                self._tape = TapeRing.open(self._config.tape)
            except BridgeError as error:
                self._deck.give_up_reading(error)
        if self._tape is not None:
            self._deck.drain(self._tape)

    def _note(self, kind: str, **fields: Any) -> None:
        """Tell of something, in the log too."""
        if kind == "fault" and self._deck is not None:
            self._deck.fault(fields["part"])
        words = ", ".join(f"{name} {value}" for name, value in fields.items())
        _LOGGER.log(logging.WARNING if kind in ("fault", "restart") else logging.INFO, "%s: %s", kind, words)
        if self._log is not None:
            self._log.event(kind, stamp_s=self._clock.now_s(), **fields)

    def _status(self, name: str) -> Status:
        """Newest status; an empty one where there is none, or where a dying process left a broken one."""
        try:
            return self._statuses[name].read() or {}
        except BridgeError as error:
            _LOGGER.warning("status of %s: %s", name, error)
            return {}

    def _progress(self, stage: str, waiting: list[str]) -> None:
        statuses = {name: self._status(name) for name in self._statuses}
        self._on_progress(
            Progress(stage=stage, seconds=monotonic() - self._began_s, waiting=tuple(waiting), statuses=statuses)
        )

    def _report(self) -> dict[str, Any]:
        """The tick's figures, and those of the others beside them."""
        tick, path = self._children["tick"], self._config.folder / REPORT
        self._record()
        if self._deck is not None and tick.exit_status != 0:
            self._deck.fault("tick")
        if tick.exit_status != 0 or not path.exists():
            how = "hung and was killed" if "tick" in self._hangs else f"ended with status {tick.exit_status}"
            raise BridgeError(f"the tick {how} and left no report; it said:\n{tick.tail()}")
        report: dict[str, Any] = json.loads(path.read_text())
        statuses = {name: self._status(name) for name in ("planner", "actor", "camera", "launcher")}
        report["planner"] |= {
            "pid": statuses["planner"].get("pid"),
            "restarts": max(self._statuses["planner"].epoch - 1, 0),
            "life": self._keeper.report(),
        }
        report["actor"] |= {"pid": statuses["actor"].get("pid"), "restarts": self._children["actor"].restarts}
        report["processes"] = statuses
        report["supervisor"] = self._care()
        if self._deck is not None:
            report["tape"] = self._deck.report()
        return report

    @unbroken()
    def _stop(self) -> None:
        """The tick first: nothing moves once it has ended; then those that feed it."""
        others = [self._children[name] for name in _CHILDREN]
        steps: list[Callable[[], object]] = [
            partial(self._children["tick"].stop, within_s=_STOP_TICK_WITHIN_S),
            self._record,
        ]
        steps += [self._hosts.ask_to_stop, *(child.ask_to_stop for child in others)]
        steps += [*(partial(child.stop, within_s=_STOP_WITHIN_S) for child in others), self._hosts.stop]
        for step in steps if self._log is None else [*steps, self._log.close]:
            try:
                step()
            except Exception:  # the others are to end all the same, and the run's own error to be seen
                _LOGGER.exception("a step of the run's end failed")
