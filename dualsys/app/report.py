"""`dualsys report`: a page of a training or of an evaluation, made anew, with videos of what came of it."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dualsys.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """Writes a page of one HTML file: configuration, versions, curves, figures and videos.

    Of a training, OUT/training/report.html, which `dualsys train` writes as well when it is done; of what `dualsys eval
    --json` wrote, a page of the same name; of two evaluations on the same seeds, the second beside the first.
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="OUT_OR_JSON ...")]
    """Folder that `dualsys train` wrote, or one or two files that `dualsys eval` wrote."""
    videos: Path | None = None
    """Folder whose mp4 files are put into the page; without it, of a training, those in OUT/training/videos."""
    page: Path | None = None
    """File of an evaluation's page; without it beside the result."""

    def __post_init__(self) -> None:
        """Refuse what no page can be of."""
        if not self.sources:
            raise ConfigError("name a training's folder, or one or two files that dualsys eval --json wrote")
        of_training = self.sources[0].suffix != ".json"
        if len(self.sources) > (1 if of_training else 2) or any(path.suffix != ".json" for path in self.sources[1:]):
            raise ConfigError(
                f"a page is of one training, or of one or two evaluations (.json), not of {len(self.sources)}: "
                f"{' '.join(map(str, self.sources))}"
            )
        if of_training and self.page is not None:
            raise ConfigError("--page is of an evaluation; a training's page is OUT/training/report.html")


def main(config: ReportConfig) -> int:
    """Write the page. Returns 0. Raises `ConfigError` for videos that aren't there."""
    if config.videos is not None and not config.videos.is_dir():
        folder = config.videos
        raise ConfigError(f"--videos {folder} is no folder; `dualsys eval --video-dir {folder}` makes one")
    written = _evaluation(config) if config.sources[0].suffix == ".json" else _training(config)
    sys.stdout.write(f"wrote {written}\n")
    return 0


def _training(config: ReportConfig) -> Path:
    from dualsys.app.training.report import write_report

    return write_report(config.sources[0], config.videos)


def _evaluation(config: ReportConfig) -> Path:
    from dualsys.app.evaluation.page import captions_of, read_result, write_evaluation_page

    *before, report = (read_result(path) for path in config.sources)
    target = config.page or config.sources[-1].with_suffix(".html")
    captions = captions_of(report)
    files = [] if config.videos is None else sorted(config.videos.rglob("*.mp4"))
    videos = {file: captions.get(file.stem, "") for file in files}
    return write_evaluation_page(report, target, videos, before=before[0] if before else None)
