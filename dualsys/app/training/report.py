"""A training as one HTML file that needs nothing else: no network, no other file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualsys.app.pages.page import drawing, flat, write_page
from dualsys.app.pages.videos import embedded
from dualsys.app.training.curves import draw_curves
from dualsys.app.training.progress import TrainingFolder
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError, ConfigError


def write_report(out: Path, videos: Path | None = None) -> Path:
    """Write `OUT/training/report.html` from what a training left in `OUT`; returns its path.

    Args:
        out: Folder of the checkpoint.
        videos: Folder whose mp4 files are shown; None: `OUT/training/videos`, where there is one.

    Raises:
        CheckpointError: there is no checkpoint.
        CannotWrite: there is no room for the page.
        ConfigError: `videos` is no folder.
    """
    if videos is not None and not videos.is_dir():
        raise ConfigError(f"--videos {videos} is no folder; `dualsys eval --video-dir {videos}` makes one")
    manifest = Checkpoint.open(out).manifest
    folder = TrainingFolder(out)
    if not folder.folder.is_dir():
        raise CheckpointError(f"{out} has no training/: a page is of a training, in the folder that it wrote")
    records = folder.records()
    shown, left_out = embedded(dict.fromkeys(sorted((videos or folder.folder / "videos").glob("*.mp4")), ""))
    columns, validations = _validations(records)
    return write_page(
        folder.folder / "report.html",
        "training.html.jinja",
        name=manifest.name,
        lead=f"{manifest.training.get('steps', 0)} steps, robot {manifest.embodiment.name}",
        curves=drawing(draw_curves(records)),
        columns=columns,
        validations=validations,
        videos=shown,
        left_out=left_out,
        starts=folder.starts(),
        data=[list(flat(source)) for source in manifest.training.get("data", [])],
        configuration=list(flat(manifest.training.get("config", {}))),
        versions=list(manifest.versions.items()),
    )


def _validations(records: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of the steps after which was validated."""
    chosen = [record for record in records if any(key.startswith("validation_") for key in record)]
    columns = list(dict.fromkeys(key for record in chosen for key in record))
    return columns, [[_number(record.get(column)) for column in columns] for record in chosen]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
