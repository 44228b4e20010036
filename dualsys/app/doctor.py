"""`dualsys doctor`: what this machine can do, line by line, and how to mend what it cannot."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from dualsys.app import machine_checks as checks
from dualsys.app import realtime_checks


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorConfig:
    """Checks Python, versions, threads, rendering, shared memory, scheduling, kernel, Ray, assets, shipped checkpoints.

    Exit status 1 where something that dualsys needs does not work; a warning does not count.
    """

    json: bool = False
    """Print the findings as JSON instead of a table."""
    clean_up: bool = False
    """First remove what killed runs have left in shared memory; living ones keep theirs."""


CHECKS: dict[str, Callable[[], checks.Finding]] = {
    "python": checks.python,
    "packages": checks.packages,
    "torch": checks.torch_threads,
    "rendering": checks.rendering,
    "video": checks.video,
    "shared memory": checks.shared_memory,
    "runs": checks.killed_runs,
    "scheduling": realtime_checks.scheduling,
    "kernel": realtime_checks.kernel,
    "ray": checks.ray,
    "humanoid assets": checks.humanoid_assets,
    "checkpoint": checks.checkpoint,
}


def examine() -> dict[str, checks.Finding]:
    """Run every check, in order. No check raises: what goes wrong is its finding."""
    return {name: check() for name, check in CHECKS.items()}


def main(config: DoctorConfig) -> int:
    """Print what was found. Returns 1 where any check failed."""
    if config.clean_up:
        _clean_up()
    findings = examine()
    if config.json:
        rows = {name: asdict(finding) for name, finding in findings.items()}
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        _print_table(findings)
    return 1 if any(finding.status == "fail" for finding in findings.values()) else 0


def _clean_up() -> None:
    from dualsys.bridge.run_folder import remove_stale_folders

    for folder in remove_stale_folders(checks.SHARED_MEMORY):
        sys.stderr.write(f"removed {folder}\n")


def _print_table(findings: dict[str, checks.Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "found"):
        table.add_column(heading, overflow="fold")
    for name, finding in findings.items():
        found = finding.detail if not finding.fix else f"{finding.detail}\n-> {finding.fix}"
        table.add_row(f"[{colours[finding.status]}]{finding.status}[/]", name, found)
    Console().print(table)
