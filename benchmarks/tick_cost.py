"""What do deciding, limiting and remembering a command cost in a tick?

    python -m benchmarks.tick_cost

A 500 Hz tick has 2000 us. The thread's own processor time is measured, so that a busy machine changes little. Beside
each part stands what one would do without it: `numpy.clip` for the gate, one line of JSON for the recorder.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.chunk_policies import SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.events import ChunkArrived, Observed, Started, Tick
from dualsys.messages import ActionChunk, Command
from dualsys.recorder import CommandRecorder
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig
from dualsys.telemetry import RunLog
from dualsys.testing import fake_embodiment


@dataclass(frozen=True, slots=True, kw_only=True)
class TickCostConfig:
    """Cost of the parts of a tick, in microseconds a call."""

    joints: int = 29
    """Commanded joints."""
    control_hz: float = 500.0
    """Rate of ticks."""
    calls: int = 2000
    """Calls in each round."""
    rounds: int = 15
    """Rounds; the median of their means is the figure, and the least stands beside it."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/tick_cost.json`."""


def main(config: TickCostConfig) -> None:
    """Measure, print, write."""
    with TemporaryDirectory() as folder, RunLog(Path(folder) / "log") as log:
        parts = _parts(config, log)
        figures = {name: _measure(call, config) for name, call in parts.items()}
    table = Table(title=f"{config.joints} joints, {config.control_hz:g} Hz: microseconds a call")
    for column in ("part", "median", "least"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, figure in figures.items():
        table.add_row(name, f"{figure['median_us']:.1f}", f"{figure['least_us']:.1f}")
    Console().print(table)
    settings = {"joints": config.joints, "control_hz": config.control_hz, "calls": config.calls}
    print(write_report("tick_cost", {"config": settings, "parts": figures}, config.json))


def _parts(config: TickCostConfig, log: RunLog) -> dict[str, Callable[[int], object]]:
    """Each part as a function of the tick's number."""
    arm, dt_s = fake_embodiment(config.joints), 1.0 / config.control_hz
    phases = np.arange(config.joints)
    smooth = [0.5 * np.sin(phases + 0.5 * dt_s * index) for index in range(config.calls)]
    rng = np.random.default_rng(0)
    wild = [rng.uniform(-2, 2, config.joints) for _ in range(config.calls)]
    following, limiting = (SafetyGate(arm, dt_s, SafetyConfig()) for _ in range(2))
    along, eased = (
        SafetyGate(arm, dt_s, config) for config in (SafetyConfig(follow="path"), SafetyConfig(max_jerk=1e3))
    )
    for gate in (following, along, eased):
        gate.reset(smooth[0])
    lower, upper = arm.lower, arm.upper
    recorder = CommandRecorder(config.calls, config.joints)
    command = Command(target=smooth[0], stamp_s=0.1, source="actor", chunk_sequence=3, row=1.5, limited=("velocity",))
    return {
        "decision core: state and tick": _decide(config, dt_s),
        "gate: target within limits": lambda i: following.apply(smooth[i]),
        "gate: wild target": lambda i: limiting.apply(wild[i]),
        "gate: wild target, straight path": lambda i: along.apply(wild[i]),
        "gate: wild target, jerk limit": lambda i: eased.apply(wild[i]),
        "numpy.clip instead of the gate": lambda i: np.clip(wild[i], lower, upper),
        "recorder: remember a command": lambda i: recorder.record(command),
        "a line of JSON instead": lambda i: log.command(command),
    }


def _decide(config: TickCostConfig, dt_s: float) -> Callable[[int], object]:
    core = DecisionCore(fake_embodiment(config.joints), CoreConfig(first_subgoal_wait_s=0.0), SkipByDelay())
    state, rows = np.zeros(config.joints), np.zeros((32, config.joints))
    core.handle(Started(now_s=0.0, position=state))
    ticks = iter(range(10**9))

    def decide(_: int) -> object:
        now_s = next(ticks) * dt_s
        core.handle(Observed(stamp_s=now_s, state=state))
        decision = core.handle(Tick(now_s=now_s))
        if decision.request is not None:
            number = decision.request.sequence
            chunk = ActionChunk(rows=rows, dt_s=0.02, start_stamp_s=now_s, request=number, sequence=number)
            core.handle(ChunkArrived(chunk=chunk, now_s=now_s))
        return decision

    return decide


def _measure(call: Callable[[int], object], config: TickCostConfig) -> dict[str, float]:
    means = []
    for _ in range(config.rounds):
        begin_s = time.thread_time()
        for index in range(config.calls):
            call(index)
        means.append(1e6 * (time.thread_time() - begin_s) / config.calls)
    return {"median_us": float(np.median(means)), "least_us": min(means)}


if __name__ == "__main__":
    main(tyro.cli(TickCostConfig, description=__doc__))
