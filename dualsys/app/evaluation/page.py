"""An evaluation as one HTML file: success, curves, every episode, videos, and all that the result hangs on."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dualsys.app.evaluation.films import caption_of, film_name
from dualsys.app.evaluation.paired import paired
from dualsys.app.evaluation.picture import success_figure
from dualsys.app.evaluation.returns import counts_returns, in_words, mean_return
from dualsys.app.evaluation.sweep_report import sweep_figure
from dualsys.app.evaluation.timing_words import timing_in_words
from dualsys.app.pages.page import drawing, flat, write_page
from dualsys.app.pages.videos import embedded
from dualsys.app.who_drives import who_drives
from dualsys.errors import ConfigError

Report = dict[str, Any]
_COUNTERS = ("chunks", "recoveries", "timing")
_OTHERS = ("device", "policy", "policy_keys", "traces")
_FIX = "`dualsys eval TASK --json FILE.json` writes one"


def read_result(path: Path) -> Report:
    """What `dualsys eval --json` wrote. Raises `ConfigError` for any other file."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; {_FIX}") from error
    except ValueError as error:
        said = f"{path} is no file that dualsys eval --json wrote, or a part of one ({error}); {_FIX}"
        raise ConfigError(said) from error
    if not isinstance(report, dict) or not {"tasks", "config", "versions"} <= report.keys():
        raise ConfigError(f"{path} is no file that dualsys eval --json wrote: it lacks tasks, config or versions")
    return report


def write_evaluation_page(
    report: Report, target: Path, videos: Mapping[Path, str] = MappingProxyType({}), before: Report | None = None
) -> Path:
    """Write the page; returns its path.

    Args:
        report: Of an evaluation, or of a sweep.
        target: The file.
        videos: Films of its episodes, and what each shows.
        before: Another evaluation of the same tasks and seeds, which it is compared with.

    Raises:
        ConfigError: the two are not of the same episodes.
        CannotWrite: there is no room for the page.
    """
    report = json.loads(json.dumps(report, sort_keys=True))  # as a file has it: the same page from either
    swept, by_return = "sweep" in report, counts_returns(report)
    shown, left_out = embedded(videos)
    return write_page(
        target,
        "evaluation.html.jinja",
        title=_title(report),
        lead=_lead(report),
        swept=report.get("sweep"),
        tasks=report["tasks"],
        not_played=report.get("left_out") or {},
        who=who_drives(report["config"]),
        figure=drawing(sweep_figure(report) if swept else success_figure(report)),
        compared=[] if before is None else list(_compared(before, report)),
        before="" if before is None else _lead(before),
        counters=[] if swept else list(_counters(report)),
        protocol=report.get("protocol"),
        by_return=by_return,
        in_words=in_words,
        returns={task["task"]: mean_return(task) for task in report["tasks"]} if by_return and not swept else {},
        perturbations=[(each["kind"], _in_line(each)) for each in report.get("perturbations") or []],
        videos=shown,
        left_out=left_out,
        configuration=list(flat(report["config"])),
        weights=report.get("controller_weights") or "",
        others=list(flat({key: report[key] for key in _OTHERS if report.get(key)})),
        versions=list(flat(report["versions"])),
        played=list(flat(report.get("timings") or {})),
    )


def _title(report: Report) -> str:
    return str(report["config"].get("suite_or_task") or ", ".join(task["task"] for task in report["tasks"]))


def _lead(report: Report) -> str:
    """Which controller, how late, how often."""
    config = report["config"]
    # Results of before there were other delays than the models' don't say.
    timing = [timing_in_words(config)] if {"world", "link", "policy"} <= config.keys() else []
    swept = [f"{report['sweep']['option']} as below"] if "sweep" in report else []
    return "; ".join([who_drives(config), *timing, *swept, f"seeds from {config.get('seed')}"])


def captions_of(report: Report) -> dict[str, str]:
    """What was to be done in each episode, by the name of its film."""
    return {
        film_name(task["task"], episode): caption_of(episode)
        for task in report["tasks"]
        for episode in task.get("per_episode", ())
    }


def _in_line(perturbation: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in flat(perturbation) if key != "kind")


def _counters(report: Report) -> Iterator[tuple[str, list[tuple[str, list[int]]]]]:
    """Kind, and for each counter that has moved its value in every task."""
    for kind in _COUNTERS:
        names = list(dict.fromkeys(name for task in report["tasks"] for name in task.get(kind, {})))
        rows = [(name, [task.get(kind, {}).get(name, 0) for task in report["tasks"]]) for name in names]
        yield kind, [(name, values) for name, values in rows if any(values)]


def _compared(before: Report, after: Report) -> Iterator[Mapping[str, Any]]:
    """Difference of each task that both have played on the same seeds."""
    swept = [which for which, report in (("first", before), ("second", after)) if "sweep" in report]
    if swept:
        raise ConfigError(
            f"nothing to compare: the {' and the '.join(swept)} is a sweep, whose points are evaluations; compare one "
            "of those, whose files lie beside it (NAME.VALUE.json)"
        )
    earlier = {task["task"]: task for task in before["tasks"]}
    both = [task for task in after["tasks"] if task["task"] in earlier]
    if not both:
        raise ConfigError(
            f"nothing to compare: the first is of {', '.join(earlier)}, the second of "
            f"{', '.join(task['task'] for task in after['tasks'])}; name two evaluations of one task"
        )
    by_return = counts_returns(before) and counts_returns(after)
    for task in both:
        try:
            first = earlier[task["task"]]
            returns = [mean_return(first), mean_return(task), mean_return(task, first)] if by_return else []
            yield {"task": task["task"], "first": first, "other": task, "returns": returns, **paired(first, task)}
        except ValueError as error:
            raise ConfigError(f"{task['task']}: {error}. Evaluate both with the same --seed and --episodes") from error
