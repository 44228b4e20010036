"""`dualsys report`: a training's page made anew, with videos of what came of it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """Writes OUT/training/report.html: configuration, data, versions, curves, figures and videos, in one file.

    `dualsys train` writes it as well, when it is done.
    """

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """Folder that `dualsys train` wrote."""
    videos: Path | None = None
    """Folder whose mp4 files are put into the page; without it those in OUT/training/videos."""


def main(config: ReportConfig) -> int:
    """Write the page. Returns 0."""
    from dualsys.app.training.report import write_report

    sys.stdout.write(f"wrote {write_report(config.out, config.videos)}\n")
    return 0
