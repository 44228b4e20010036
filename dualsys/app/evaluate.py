"""`dualsys eval`: success of a suite or a task on the virtual clock, with the latencies as arguments."""

from typing import Any

from rich.console import Console

from dualsys.app.evaluation.averages import protocol_report
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.deviations import deviations
from dualsys.app.evaluation.episodes import episodes
from dualsys.app.evaluation.films import film
from dualsys.app.evaluation.picture import draw
from dualsys.app.evaluation.protocol_panel import protocol_panel
from dualsys.app.evaluation.report import task_report
from dualsys.app.evaluation.sweep import Sweep, run_sweep
from dualsys.app.evaluation.sweep_report import draw_sweep, sweep_report, sweep_tables
from dualsys.app.evaluation.table import show
from dualsys.app.evaluation.tasks import tasks_for
from dualsys.app.outputs import require_outputs
from dualsys.app.versions import result_versions
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError
from dualsys.files import write_json
from dualsys.stored_kinds import require_kinds


def main(config: EvalConfig) -> int:
    """Evaluate, print, write. Returns the exit status."""
    tasks = tasks_for(config)  # refused before the work, not after it, and before a file is made
    require_kinds(Checkpoint.open(config.checkpoint), planner=config.planner, actor=config.actor)
    require_outputs({"--json": config.json}, folders={"--video-dir": config.video_dir})
    if config.protocol:
        Console().print(protocol_panel(config, tasks, deviations(config, tasks)))
    if config.sweep:
        return _sweep(config)
    report = evaluate(config)
    show(report)
    if config.video_dir is not None:
        film(config, report)
    if config.json is not None:  # last, and whole or not at all: where it is, all is done
        draw(report, config.json.with_suffix(".png"))
        write_json(config.json, report)
    return 0


def _sweep(config: EvalConfig) -> int:
    """The same for every point of a sweep, and what they are together."""
    sweep = Sweep.of(config)
    reports = run_sweep(sweep, evaluate, config.json)
    report = sweep_report(sweep, reports, config.json)
    Console().print(*sweep_tables(report), sep="\n")
    if config.video_dir is not None:
        for point, each in zip(sweep.points, reports, strict=True):
            film(point.config, each)
    if config.json is not None:
        draw_sweep(report, config.json.with_suffix(".png"))
        write_json(config.json, report | {"config": config.plain()})
    return 0


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Run all episodes; returns the report as it goes into the JSON file.

    Raises:
        ConfigError: an unknown suite, task, planner, actor or policy.
        CheckpointError: the checkpoint is missing, damaged, for another robot, or another one after the episodes.
    """
    tasks = tasks_for(config)
    plain = config.plain()
    weights = Checkpoint.open(config.checkpoint).weights_digest()
    reports = [task_report(task, list(episodes(config, task))) for task in tasks]
    if (now := Checkpoint.open(config.checkpoint).weights_digest()) != weights:
        raise CheckpointError(
            f"{config.checkpoint} was {weights} before the episodes and is {now} after them, so nobody knows which of "
            "the two was evaluated: a training writes there. Evaluate a copy of the folder"
        )
    return {
        "tasks": reports,
        "protocol": protocol_report(config, reports),
        "config": plain,
        "controller_weights": weights,
        "versions": result_versions(),
    }
