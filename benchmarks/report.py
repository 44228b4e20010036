"""What every benchmark writes: its figures, the machine, the versions."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualsys.checkpoint import installed_versions

RESULTS = Path(__file__).parent / "results"


def write_report(name: str, figures: dict[str, Any], path: Path | None = None) -> Path:
    """Write `results/NAME.json`, or another file; returns its path."""
    target = path or RESULTS / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    report = {"benchmark": name, **figures, "machine": machine(), "versions": installed_versions()}
    target.write_text(json.dumps(report, indent=2) + "\n")
    return target


def exit_unless(verdict: Mapping[str, bool | None]) -> None:
    """End with status 1, and name what does not hold; what could not be judged, None, is no failure."""
    failed = [name for name, holds in verdict.items() if holds is False]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def machine() -> dict[str, Any]:
    """Processor, cores, kernel and load: what a figure depends on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor()
