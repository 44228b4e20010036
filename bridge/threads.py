"""The threads driver: one process on the wall clock; planner, actor and cameras in threads, the tick in the caller's.

For a notebook or a first look: threads share one interpreter lock and one garbage collector, so the tick is less even
than in processes mode. The loops are the same. A thread that fails before the start ends the run; later it is begun
again, at longer and longer intervals, while the tick goes on.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from dualsys.bridge.assembly import make_actor_loop, make_camera_loop, make_planner_loop, make_tick_loop, rehearse
from dualsys.bridge.boxes import LocalBoxes, status_box
from dualsys.bridge.parts import build_environment
from dualsys.bridge.processes import RunResult
from dualsys.bridge.progress import IsOver, OnProgress, Progress, never
from dualsys.bridge.realtime import realtime_thread
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_ring import TapeRing
from dualsys.bridge.tick_log import write_tick_log
from dualsys.bridge.tick_loop import TickLoop
from dualsys.errors import BridgeError
from dualsys.protocols import Actor, Planner
from dualsys.telemetry import RunLog

_LOGGER = logging.getLogger(__name__)

READY_WITHIN_S = 120.0
FIRST_DELAY_S = 0.1
LAST_DELAY_S = 5.0
"""Delay before a thread that failed begins again; it doubles from one to the other."""
_JOIN_WITHIN_S = 10.0
_PROGRESS_PERIOD_S = 0.25
_RECORD_PERIOD_S = 0.1
_READERS = ("planner", "actor", "camera", "tick")


def run_threads(
    config: SystemConfig,
    planner: Planner,
    actor: Actor,
    *,
    on_progress: OnProgress,
    deck: TapeDeck | None = None,
    boxes: LocalBoxes | None = None,
    is_over: IsOver = never,
) -> RunResult:
    """Run a system in threads.

    Args:
        config: The run; its planner and actor parts are not used, its folder only for a tape (`tape_bytes`).
        planner: System 2.
        actor: System 1.
        on_progress: Called several times a second, from a thread of its own.
        deck: Takes over what the tick records, where the configuration has room for it.
        boxes: Where all meet, for a `SourceWriter` in a thread of yours; by default nobody else's.
        is_over: Asked several times a second.

    Raises:
        BridgeError: where a thread fails before the start, or a tape has no folder.
        SpecMismatch: where the parts don't fit.
    """
    planner.subgoal_spec.require_same(actor.subgoal_spec, ours="the planner", theirs="the actor")
    actor.embodiment.require_same(config.embodiment, ours="the actor", theirs="the robot")
    boxes, crew = boxes or LocalBoxes(), Crew()
    logs = [_open_log(config, name) for name in ("planner.1.jsonl", "actor.1.jsonl")]
    environment = build_environment(config.environment)
    written: TapeRing | None = None
    try:
        ring = TapeRing.create(config.tape, capacity=config.tape_bytes) if config.tape_bytes else None
        tick = make_tick_loop(config, boxes, environment, tape=ring)
        rehearse(config, environment)
        tick.prepare()
        max_failures = config.planner_life.max_failures
        planner_loop = make_planner_loop(config, boxes, planner, log=logs[0], max_failures=max_failures)
        actor_loop = make_actor_loop(config, boxes, actor, logs[1])
        crew.start("camera", lambda stop: _draw(config, boxes, stop))
        crew.start("planner", planner_loop.run)
        crew.start("actor", actor_loop.run)
        crew.start("progress", lambda stop: _tell(boxes, on_progress, stop))
        if deck is not None and ring is not None:
            written = TapeRing.open(config.tape)
            crew.start("tape", partial(_record, deck, written, boxes))
        _wait_for_planner(boxes, tick, crew, is_over)
        crew.carry_on()
        crew.start("end", lambda stop: _end(is_over, stop))
        with realtime_thread(config.realtime, 1.0 / config.control_hz) as scheduler:
            tick.note("realtime", scheduler=scheduler)
            tick.run(crew.stop)
        crew.check()
    finally:
        crew.end()
        if deck is not None and written is not None:
            deck.drain(written)  # what was decided between the word to stop and the tick's end, too
        environment.close()
        for log in logs:
            if log is not None:
                log.close()
    if config.log_folder is not None and tick.commands is not None:
        write_tick_log(config.log_folder, tick.commands, tick.events)
    report = _report(boxes, tick, crew) | {"realtime": {"scheduler": scheduler}}
    if deck is not None:
        report["tape"] = deck.report()
    return RunResult(report=report, poses=tick.poses)


class Crew:
    """Threads that end together. One that fails ends them all, or, after `carry_on`, begins again after a while."""

    def __init__(self, *, first_delay_s: float = FIRST_DELAY_S) -> None:
        self.stop = threading.Event()
        self.restarts: Counter[str] = Counter()
        """How often each has begun again."""
        self._first_delay_s = first_delay_s
        self._carries_on = False
        self._threads: list[threading.Thread] = []
        self._failures: list[str] = []

    def start(self, name: str, body: Callable[[threading.Event], None]) -> None:
        """Run a body in a thread."""

        def run() -> None:
            delay_s = self._first_delay_s
            while not self.stop.is_set():
                try:
                    body(self.stop)
                except Exception as error:
                    _LOGGER.exception("the %s thread failed", name)
                    if not self._carries_on:
                        self._failures.append(f"{name}: {type(error).__name__}: {error}")
                        self.stop.set()
                        return
                self.stop.wait(delay_s)
                if not self.stop.is_set():
                    self.restarts[name] += 1
                    delay_s = min(2 * delay_s, LAST_DELAY_S)

        thread = threading.Thread(target=run, name=f"dualsys-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def carry_on(self) -> None:
        """From now on the run is not over when one fails."""
        self._carries_on = True

    def check(self) -> None:
        """Raise `BridgeError` when one has failed that had to be there."""
        if self._failures:
            raise BridgeError(f"a thread failed: {'; '.join(self._failures)}")

    def end(self) -> None:
        """Stop and join all; one that does not end in time is named in the log."""
        self.stop.set()
        for thread in self._threads:
            thread.join(_JOIN_WITHIN_S)
            if thread.is_alive():
                _LOGGER.warning("thread %s did not end within %.0f s", thread.name, _JOIN_WITHIN_S)


def _wait_for_planner(boxes: LocalBoxes, tick: TickLoop, crew: Crew, is_over: IsOver) -> None:
    """Hold still until the planner has planned, or failed, once."""
    planner = boxes.reader(status_box("planner"))
    deadline_s = monotonic() + READY_WITHIN_S
    while not any((planner.read() or {}).get(key) for key in ("plans", "failures", "refused")):
        crew.check()
        if is_over():
            raise KeyboardInterrupt  # there are no figures yet
        if monotonic() > deadline_s:
            raise BridgeError(f"the planner gave no plan within {READY_WITHIN_S:.0f} s")
        tick.idle()


def _draw(config: SystemConfig, boxes: LocalBoxes, stop: threading.Event) -> None:
    # A renderer belongs to the thread that made it.
    environment = build_environment(config.environment)
    try:
        make_camera_loop(config, boxes, environment).run(stop)
    finally:
        environment.close()


def _tell(boxes: LocalBoxes, on_progress: OnProgress, stop: threading.Event) -> None:
    readers = {name: boxes.reader(status_box(name)) for name in _READERS}
    began_s = monotonic()
    while not stop.wait(_PROGRESS_PERIOD_S):
        statuses = {name: box.read() or {} for name, box in readers.items()}
        stage = "running" if statuses["tick"].get("running") else "starting"
        on_progress(Progress(stage=stage, seconds=monotonic() - began_s, statuses=statuses))


def _end(is_over: IsOver, stop: threading.Event) -> None:
    while not stop.wait(_PROGRESS_PERIOD_S):
        if is_over():
            stop.set()


def _open_log(config: SystemConfig, name: str) -> RunLog | None:
    return None if config.log_folder is None else RunLog(config.log_folder / name)


def _report(boxes: LocalBoxes, tick: TickLoop, crew: Crew) -> dict[str, Any]:
    report = tick.report()
    statuses = {name: boxes.reader(status_box(name)).read() or {} for name in ("planner", "actor", "camera")}
    report["planner"] |= {"pid": statuses["planner"].get("pid"), "restarts": crew.restarts["planner"]}
    report["actor"]["restarts"] = crew.restarts["actor"]
    report["supervisor"] = {"restarts": dict(crew.restarts)}
    report["processes"] = statuses
    return report


def _record(deck: TapeDeck, ring: TapeRing, boxes: LocalBoxes, stop: threading.Event) -> None:
    readers = {name: boxes.reader(status_box(name)) for name in ("planner", "actor")}
    while not stop.wait(_RECORD_PERIOD_S):
        deck.drain(ring)
        deck.look({name: box.read() or {} for name, box in readers.items()})
