"""`dualsys check`: does every task build, reset, step, draw, keep its protocol, and yield to its expert?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from dualsys import sim_envs
from dualsys.app.checking.examination import TaskFinding
from dualsys.app.checking.examiners import examine_all
from dualsys.app.evaluation.tasks import tasks_of
from dualsys.app.outputs import require_outputs
from dualsys.app.versions import result_versions
from dualsys.errors import ConfigError, DualsysError
from dualsys.files import write_json

EVERYTHING = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig:
    """Tries tasks one by one: builds, resets, steps, draws, holds them to their protocol, lets experts solve them.

    A task that fails, hangs or takes its process with it costs nothing but itself. Exit status 1 where any failed.
    """

    suite_or_task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SUITE_OR_TASK")] = EVERYTHING
    """A task, a suite, a pattern (`metaworld/push-*`), or `all` that is installed."""
    expert_episodes: int = 3
    """Episodes that an expert tries, from seed 0; one that it solves is enough. 0: experts are left alone."""
    workers: int = 1
    """Processes."""
    timeout_s: float = 300.0
    """Wall time after which a task is given up."""
    json: Path | None = None
    """File for the findings."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.workers < 1 or self.expert_episodes < 0 or not self.timeout_s > 0:
            raise ConfigError("--workers must be at least 1, --expert-episodes at least 0, --timeout-s above 0")


def main(config: CheckConfig) -> int:
    """Try, print, write. Returns 1 where a task failed, or what was named is not installed."""
    tasks, findings = _tasks(config.suite_or_task)
    require_outputs({"--json": config.json})
    found = examine_all(
        tasks, workers=config.workers, expert_episodes=config.expert_episodes, timeout_s=config.timeout_s
    )
    findings += sorted(track(found, total=len(tasks), description="tasks"), key=lambda finding: finding.task)
    console = Console()
    console.print(findings_table(findings))
    for each in findings:
        if each.why:
            console.print(Text(f"{each.task}: {each.why}"), soft_wrap=True)  # in a column it would be a word a line
    counts = Counter(finding.status for finding in findings)
    console.print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if config.json is not None:
        write_json(config.json, {"findings": [asdict(each) for each in findings], "versions": result_versions()})
    allowed = {"ok", "not installed"} if config.suite_or_task == EVERYTHING else {"ok"}
    return 0 if set(counts) <= allowed else 1


def findings_table(findings: Sequence[TaskFinding]) -> Table:
    """A line for each task; why one failed stands elsewhere."""
    colours = {"ok": "green", "failed": "red", "not installed": "yellow"}
    table = Table(box=None, pad_edge=False)
    for heading in ("", "task"):
        table.add_column(heading, no_wrap=True)
    for heading in ("build s", "step ms", "frame ms", "expert"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in findings:
        figures = (f"{each.build_s:.2f}", f"{each.step_ms:.2f}", f"{each.frame_ms:.1f}") if each.build_s else ("",) * 3
        table.add_row(f"[{colours[each.status]}]{each.status}[/]", each.task, *figures, each.expert)
    return table


def _tasks(asked: str) -> tuple[list[str], list[TaskFinding]]:
    """Tasks to try; and, where all are asked for, suites that don't even say which they have."""
    if asked != EVERYTHING:
        return tasks_of(asked), []
    tasks: list[str] = []
    broken: list[TaskFinding] = []
    for suite in sim_envs.suites():
        try:
            tasks += tasks_of(suite)
        except DualsysError as error:
            broken.append(TaskFinding(task=f"{suite}/...", status="failed", why=str(error)))
    return tasks, broken
