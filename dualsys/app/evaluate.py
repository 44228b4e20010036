"""`dualsys eval`: success of a suite or a task on the virtual clock, with the latencies as arguments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dualsys.app.evaluation.averages import protocol_report
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.deviations import deviations
from dualsys.app.evaluation.films import film_all
from dualsys.app.evaluation.frozen_rows import require_rows
from dualsys.app.evaluation.identity import Identity
from dualsys.app.evaluation.journal import journal_of, num_kept
from dualsys.app.evaluation.overdue import require_in_time
from dualsys.app.evaluation.page import write_evaluation_page
from dualsys.app.evaluation.picture import draw
from dualsys.app.evaluation.playing import play_evaluations
from dualsys.app.evaluation.protocol_panel import protocol_panel
from dualsys.app.evaluation.report import task_report
from dualsys.app.evaluation.sweep import Sweep, point_file
from dualsys.app.evaluation.sweep_report import draw_sweep, sweep_report, sweep_tables
from dualsys.app.evaluation.table import show
from dualsys.app.evaluation.tasks import ChosenTasks, choose_tasks
from dualsys.app.outputs import require_outputs
from dualsys.app.who_drives import who_drives
from dualsys.app.wide_console import wide_console
from dualsys.checkpoint import Checkpoint
from dualsys.files import write_json
from dualsys.sim_envs.perturbations import described, perturbations_of
from dualsys.stored_kinds import require_kinds


def main(config: EvalConfig) -> int:
    """Evaluate, print, write. Returns the exit status."""
    chosen = choose_tasks(config)  # refused before the work, not after it, and before a file is made
    if config.used_checkpoint:
        require_kinds(Checkpoint.open(config.used_checkpoint), planner=config.planner, actor=config.actor)
    sweep = Sweep.of(config) if config.sweep else None
    require_outputs({"--json": config.json, "--page": config.page}, folders={"--video-dir": config.video_dir})
    for task, robot in chosen.left_out.items():
        who = who_drives(config.plain())
        Console().print(f"left out: {task} is done with {robot}, which {who} doesn't drive")
    if config.protocol:
        Console().print(protocol_panel(config, chosen.names, deviations(config, chosen.names)))
    journal = None if config.json is None else journal_of(config.json)
    try:
        if sweep is None:
            _evaluate(config, chosen, journal)
        else:
            _sweep(config, sweep, chosen, journal)
    except KeyboardInterrupt as interrupt:
        if journal is not None and (count := num_kept(journal)):
            total = len(chosen.names) * config.episodes * (1 if sweep is None else len(sweep.points))
            interrupt.add_note(f"{count} of {total} episodes are kept; the same command with --resume goes on")
        raise
    if journal is not None:
        journal.unlink(missing_ok=True)
    return 0


def _evaluate(config: EvalConfig, chosen: ChosenTasks, journal: Path | None) -> None:
    (report,) = evaluate_all([config], chosen=[chosen], journal=journal, resume=config.resume)
    show(report)
    films = film_all([config], [report])
    if config.page is not None:
        write_evaluation_page(report, config.page, films.shown)
    films.require_whole()  # what is in the journal stays there where one isn't
    if config.json is not None:  # last, and whole or not at all: where it is, all is done
        draw(report, config.json.with_suffix(".png"))
        write_json(config.json, report, sort_keys=True)


def _sweep(config: EvalConfig, sweep: Sweep, chosen: ChosenTasks, journal: Path | None) -> None:
    """The same for every point of a sweep, and what they are together."""
    configs = [point.config for point in sweep.points]
    reports = evaluate_all(configs, chosen=[chosen] * len(configs), journal=journal, resume=config.resume)
    report = sweep_report(config, sweep, reports)
    wide_console().print(*sweep_tables(report), sep="\n")
    labels = [f"{sweep.option} {point.label}" for point in sweep.points]
    films = film_all(configs, reports, labels)
    if config.page is not None:
        write_evaluation_page(report, config.page, films.shown)
    films.require_whole()
    if config.json is not None:
        for point, each in zip(sweep.points, reports, strict=True):
            write_json(point_file(config.json, point), each, sort_keys=True)
        draw_sweep(report, config.json.with_suffix(".png"))
        write_json(config.json, report, sort_keys=True)


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Run all episodes; returns the report as it goes into the JSON file. See `evaluate_all`."""
    (report,) = evaluate_all([config])
    return report


def evaluate_all(
    configs: Sequence[EvalConfig],
    *,
    chosen: Sequence[ChosenTasks] | None = None,
    journal: Path | None = None,
    resume: bool = False,
) -> list[dict[str, Any]]:
    """Run the episodes of several evaluations with the same workers; returns a report of each.

    A report is the same to the bit however its episodes were played, but for what stands under `timings`.

    Args:
        configs: The evaluations; who plays them is as the first one says.
        chosen: Tasks of each, where they are known.
        journal: File that keeps episodes until the reports are written; whoever writes them removes it.
        resume: Go on with the episodes that it holds.

    Raises:
        ConfigError: an unknown suite, task, planner, actor or policy; a delay outlasts the episodes; chunks are shorter
            than what a frozen world executes; the journal is of another evaluation; or a trace, a protocol or keys were
            replaced under it.
        CheckpointError: the checkpoint is missing, damaged, for another robot, or another one after the episodes.
        BridgeError: workers died too often, or Ray can't be had.
    """
    chosen = [choose_tasks(config) for config in configs] if chosen is None else chosen
    require_in_time(configs, [tasks.names for tasks in chosen])
    require_rows(configs, [tasks.names for tasks in chosen])
    identities = Identity.of_all(configs)
    played = play_evaluations(configs, identities, [tasks.names for tasks in chosen], journal=journal, resume=resume)
    reports = []
    for index, (config, identity, about) in enumerate(zip(configs, identities, chosen, strict=True)):
        tasks = [task_report(task, results) for task, results in played.results(index).items()]
        reports.append(
            {
                "tasks": tasks,
                "protocol": protocol_report(config, tasks),
                "config": config.plain(),
                **({"left_out": dict(about.left_out)} if about.left_out else {}),
                "perturbations": described(perturbations_of(config.perturb)),
                "traces": identity.traces,
                "controller_weights": identity.weights,
                **({"policy": identity.policy, "policy_keys": identity.policy_keys} if config.policy else {}),
                "device": identity.device,
                "versions": identity.versions,
                "timings": {**config.not_deciding(), **played.timings(index)},
            }
        )
    return reports
