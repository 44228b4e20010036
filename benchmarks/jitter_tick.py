"""The process that `loop_jitter` measures: the real tick and an empty loop in turns, in the same scheduling class.

    python -m benchmarks.jitter_tick CONFIG.json        with `jitter.json` beside it: seconds of a block, pairs of them

The empty loop sleeps until each deadline and notes how late it woke. So that the actor has as much to do as beside the
tick, it asks for a chunk whenever the one before has come, which takes longer than the rest but changes no wake-up.
"""

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from dualsys.bridge.assembly import rehearse, tick_boxes
from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.parts import build_environment
from dualsys.bridge.process_life import run_process
from dualsys.bridge.realtime import enter_realtime, leave_realtime
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.robot_publisher import TickBoxes
from dualsys.bridge.simulated_robot import SimulatedRobot
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tick_loop import TickLoop
from dualsys.bridge.tick_measures import TickMeasures
from dualsys.bridge.tick_process import REPORT, require_light_process
from dualsys.chunk_policies import build_policy
from dualsys.clock import Grid, MonotonicClock
from dualsys.decision import DecisionCore
from dualsys.safety import SafetyGate

PLAN = "jitter.json"
LOOPS = ("tick", "empty")
_TICKS_PER_S = 100
"""Units of /proc/stat a second, on all Linux."""


def tick(config: SystemConfig, stop: threading.Event) -> None:
    """Set up as the tick's process does, then run the blocks."""
    plan = json.loads((config.folder / PLAN).read_text())
    config = config.model_copy(update={"seconds": plan["block_s"]})
    environment, clock = build_environment(config.environment), MonotonicClock()
    try:
        boxes = SharedBoxes(config.folder)
        ends = tick_boxes(config, boxes)
        core = DecisionCore(config.embodiment, config.core, build_policy(config.core.chunk_policy))
        loop = TickLoop(
            SimulatedRobot(environment, control_hz=config.control_hz),
            core,
            SafetyGate(config.embodiment, 1.0 / config.control_hz, config.safety),
            ends,
            clock,
            config,
            Reporter(boxes.writer(status_box("tick")), clock),
        )
        realtime = enter_realtime(config.realtime, 1.0 / config.control_hz)
        rehearse(config, environment)
        loop.prepare()
        supervisor = boxes.reader(status_box("supervisor"))
        while not stop.is_set() and not (supervisor.read() or {}).get("go", False):
            loop.idle()
        require_light_process()
        blocks, pooled = [], {name: TickMeasures() for name in LOOPS}
        for _ in range(plan["pairs"]):
            for name in LOOPS:
                before = steal_s()
                measures = _tick_block(loop, stop) if name == "tick" else _empty_block(config, core, ends, clock, stop)
                blocks.append({"loop": name, **figures_of(measures), "steal_s": steal_s() - before})
                pool(pooled[name], measures)
        leave_realtime()
        figures = {name: figures_of(measures) for name, measures in pooled.items()}
        report = {**loop.report(), "realtime": realtime, "blocks": blocks, "loops": figures}
        (config.folder / REPORT).write_text(json.dumps(report))
    finally:
        environment.close()


def _tick_block(loop: TickLoop, stop: threading.Event) -> TickMeasures:
    loop.measures = TickMeasures()
    loop.run(stop)
    return loop.measures


def _empty_block(
    config: SystemConfig, core: DecisionCore, ends: TickBoxes, clock: MonotonicClock, stop: threading.Event
) -> TickMeasures:
    measures = TickMeasures()
    grid = Grid(origin_s=clock.now_s(), period_s=1.0 / config.control_hz)
    index, last, answered = 0, grid.index_at(grid.origin_s + config.seconds) - 1, -1
    while not stop.is_set() and index <= last:
        deadline_s = grid.point_s(index)
        clock.sleep_until_s(deadline_s)
        now_s = clock.now_s()
        behind = max(min(grid.index_at(now_s), last) - index, 0)
        measures.woke(now_s, now_s - deadline_s, behind=behind)
        index += 1 + behind
        chunk = ends.chunk.peek()
        if chunk is not None and chunk.sequence != answered:
            answered = chunk.sequence
            request = core.requester.ask(now_s, use_subgoal=True)
            ends.request.write(request, sequence=request.sequence, observation_stamp_s=now_s)
        measures.work_us.add((clock.now_s() - now_s) * 1e6)
    return measures


def pool(into: TickMeasures, measures: TickMeasures) -> None:
    """Add a block's counts to those of all blocks of its loop."""
    into.late += measures.late
    into.skipped += measures.skipped
    into.lateness_us.merge(measures.lateness_us)
    into.work_us.merge(measures.work_us)


def figures_of(measures: TickMeasures) -> dict[str, Any]:
    """What stands in the report of a loop or a block."""
    return {
        "count": measures.lateness_us.count,
        "misses": measures.misses,
        "skipped": measures.skipped,
        "lateness_us": measures.lateness_us.summary(),
        "work_us": measures.work_us.summary(),
    }


def steal_s(stat: Path = Path("/proc/stat")) -> float:
    """Time that the host has kept from all CPUs of this machine together since it began, in seconds."""
    fields = stat.read_text().splitlines()[0].split()
    return float(fields[8]) / _TICKS_PER_S


if __name__ == "__main__":
    sys.exit(run_process(tick, death_signal=signal.SIGTERM))
