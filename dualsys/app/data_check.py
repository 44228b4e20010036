"""`dualsys data check`: whether datasets are fit for training, a line a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dualsys.data.folder import read_folder
from dualsys.data.info import DatasetInfo
from dualsys.data.quality import Finding, check_data, check_files, origin, worst
from dualsys.errors import ConfigError, DatasetError
from dualsys.files import write_json

_STYLES = {"pass": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
_PLACES_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheckConfig:
    """Looks for what would spoil training in LeRobot v3 datasets: ours, or written by LeRobot.

    Exit status: 0 fine (warnings are), 1 a check fails, 2 wrong use. Frames are decoded once, as training does.
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DATASET ...")]
    """Dataset folders, each checked on its own."""
    json: Path | None = None
    """Write all findings, with every place, to this file."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` where no folder is named."""
        if not self.folders:
            raise ConfigError("name at least one dataset folder: dualsys data check FOLDER")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReport:
    """What the checks say about one folder."""

    folder: Path
    origin: dict[str, Any]
    findings: tuple[Finding, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON takes it."""
        verdict = worst([finding.verdict for finding in self.findings])
        findings = [finding.plain() for finding in self.findings]
        return {"folder": str(self.folder), "verdict": verdict, "provenance": self.origin, "findings": findings}


def main(config: DataCheckConfig) -> int:
    """Check, print a table a folder, and say with the exit status whether a check fails."""
    console = Console()
    reports = []
    for folder in config.folders:
        report = check_folder(folder)
        reports.append(report)
        print_report(console, report)
    if config.json is not None:
        write_json(config.json, [report.plain() for report in reports])
    verdicts = [finding.verdict for report in reports for finding in report.findings]
    return 1 if worst(verdicts) == "fail" else 0


def check_folder(folder: Path) -> FolderReport:
    """Run every check. A file that is damaged is a finding too.

    Raises:
        CannotWrite: there is no room for the decoded frames.
        DatasetError: the folder is no dataset at all, or of another format.
    """
    DatasetInfo.read(folder)
    try:
        data = read_folder(folder, None)
    except DatasetError as error:
        finding = Finding(
            check="files", verdict="fail", summary=str(error), mend="nothing else was checked: mend the files first"
        )
        return FolderReport(folder=folder, origin={}, findings=(finding,))
    return FolderReport(folder=folder, origin=origin(data), findings=(check_files(data), *check_data(data)))


def print_report(console: Console, report: FolderReport) -> None:
    """A table with a line a check, then how to mend what is wrong."""
    table = Table(title=escape(str(report.folder)), title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("found", overflow="fold")
    if any(finding.where for finding in report.findings):
        table.add_column("where", overflow="fold", min_width=24)
    for finding in report.findings:
        style = _STYLES[finding.verdict]
        row = [finding.check, f"[{style}]{finding.verdict}[/{style}]", escape(finding.summary)]
        table.add_row(*row, *([escape(_some(finding.where))] if len(table.columns) > len(row) else []))
    console.print(table)
    for finding in report.findings:
        if finding.mend:
            console.print(f"{finding.check}: {finding.mend}", markup=False, highlight=False)
    console.print()


def _some(places: Sequence[Any]) -> str:
    shown = "; ".join(map(str, places[:_PLACES_SHOWN]))
    more = len(places) - _PLACES_SHOWN
    return f"{shown}; and {more} more (--json FILE has all)" if more > 0 else shown
