"""`dualsys measure`: how long planner, actor and cameras take on this machine, as a trace for evaluations."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from dualsys.app.measured_log import series_of
from dualsys.app.outputs import require_outputs
from dualsys.app.run import run
from dualsys.app.run_config import RunConfig
from dualsys.errors import ConfigError, DatasetError
from dualsys.latency_trace import LatencyTrace
from dualsys.settings import ActorBackend, Precision
from dualsys.telemetry import read_log


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureConfig:
    """Run a task on the wall clock and note how long everything takes, or read that from a run's log.

    What is written is a trace: `dualsys eval TASK --planner-latency-s trace:FILE` draws from it.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[TASK]")] = ""
    """Such as `humanoid/touch`."""
    from_log: Path | None = None
    """Instead of running: the log of a run in threads or processes (`dualsys run --log`), on a robot too."""
    out: Path = Path("delays.json")
    """File for the trace."""
    seconds: float = 20.0
    """How long."""
    mode: Literal["threads", "processes"] = "processes"
    """As in `dualsys run`. Threads take turns for one interpreter: the figures are larger than a robot's."""
    launcher: Literal["ray", "subprocess"] = "subprocess"
    """Who starts the planner's process."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    planner: str = ""
    """Registered planner, or `package.module:attribute`, to use instead of the checkpoint's."""
    actor: str = ""
    """Registered actor, or `package.module:attribute`, to use instead of the checkpoint's."""
    actor_backend: ActorBackend = "eager"
    """What samples chunks."""
    actor_precision: Precision = "auto"
    """As in `dualsys run`."""
    planner_precision: Precision = "auto"
    """As in `dualsys run`."""
    control_hz: float = 500.0
    """Rate of control ticks."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    camera_hz: float = 10.0
    """Rate at which images are drawn."""
    seed: int = 8000
    """Seed of the first episode; the others follow."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if bool(self.task) == (self.from_log is not None):
            raise ConfigError("dualsys measure needs a TASK to run or --from-log FILE to read, one of the two")


def main(config: MeasureConfig) -> int:
    """Measure, print, write. Returns the exit status."""
    require_outputs({"--out": config.out})
    trace = measured_log(config.from_log) if config.from_log is not None else measured_run(config)
    trace.write(config.out)
    console = Console()
    console.print(summary_table(trace))
    if not trace.machine:
        said = f"on which machine isn't known: {config.from_log} doesn't say, as logs of before, or of others, don't"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    said = f"{config.out}; dualsys eval TASK --planner-latency-s trace:{config.out}"
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    return 0


def measured_run(config: MeasureConfig) -> LatencyTrace:
    """Run the task for real, planner, actor, cameras and tick, and read its log."""
    with tempfile.TemporaryDirectory(prefix="dualsys-measure-") as folder:
        log = Path(folder) / "run.jsonl"
        same = ("task", "mode", "seconds", "checkpoint", "planner", "actor", "actor_backend", "actor_precision")
        rates = ("planner_precision", "control_hz", "planner_hz", "camera_hz", "seed")
        launcher = ("launcher",) if config.mode == "processes" else ()
        options: dict[str, Any] = {name: getattr(config, name) for name in (*same, *rates, *launcher)}
        report = run(RunConfig(log=log, **options))
        if report["not_written"]:
            raise DatasetError(f"nothing was measured: {'; '.join(report['not_written'])}")
        return trace_of(read_log(log), where="the run's log")


def measured_log(log: Path) -> LatencyTrace:
    """Delays of a run that is over. Raises `ConfigError` where its log can't be read or tells none."""
    try:
        lines = read_log(log)
    except OSError as error:
        raise ConfigError(f"--from-log {log} cannot be read: {error.strerror}") from error
    return trace_of(lines, where=str(log))


def trace_of(lines: list[dict[str, Any]], *, where: str) -> LatencyTrace:
    """The trace of a log's lines. Raises `ConfigError` for a run on the virtual clock, or one that tells nothing."""
    header: Mapping[str, Any] = next((line for line in lines if line.get("kind") == "header"), {})
    source = dict(header.get("config", {}))
    if source.get("mode") == "inline":
        raise ConfigError(f"{where} is of a run on the virtual clock, whose delays were given: measure in processes")
    samples = series_of(lines)
    if not {"planner_latency_s", "subgoal_age_s", "actor_latency_s", "chunk_turnaround_s"} & samples.keys():
        raise ConfigError(f"{where} tells of no subgoal and no chunk; `dualsys run --mode processes --log FILE` does")
    told = ("task", "mode", "checkpoint", "planner", "actor", "actor_backend", "control_hz", "planner_hz", "camera_hz")
    return LatencyTrace(
        samples=samples,
        source={name: source[name] for name in told if name in source},
        machine=dict(header.get("machine", {})),
        versions=dict(header.get("versions", {})),
    )


def summary_table(trace: LatencyTrace) -> Table:
    """A line for each series."""
    table = Table(title="delays in milliseconds")
    for name in ("series", "samples", "mean", "p50", "p99", "max"):
        table.add_column(name, justify="left" if name == "series" else "right", no_wrap=True)
    for name, values in trace.samples.items():
        figures = [float(np.mean(values)), *np.quantile(values, [0.5, 0.99]), max(values)]
        table.add_row(name, str(len(values)), *(f"{1e3 * each:.2f}" for each in figures))
    return table
