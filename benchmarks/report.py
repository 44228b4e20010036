"""What every benchmark writes: its figures, the machine, the versions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualsys.app.this_machine import this_machine
from dualsys.checkpoint import installed_versions

RESULTS = Path(__file__).parent / "results"


def write_report(name: str, figures: dict[str, Any], path: Path | None = None) -> Path:
    """Write `results/NAME.json`, or another file; returns its path."""
    target = path or RESULTS / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    report = {"benchmark": name, **figures, "machine": this_machine(), "versions": installed_versions()}
    target.write_text(json.dumps(report, indent=2) + "\n")
    return target


def exit_unless(verdict: Mapping[str, bool | None]) -> None:
    """End with status 1, and name what does not hold; what could not be judged, None, is no failure."""
    failed = [name for name, holds in verdict.items() if holds is False]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")
