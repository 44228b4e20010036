"""A training as one HTML file that needs nothing else: no network, no other file."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from markupsafe import Markup

from dualsys.app.training.curves import draw_curves
from dualsys.app.training.progress import TrainingFolder
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError, ConfigError
from dualsys.files import replacing

MAX_VIDEO_BYTES = 48 * 2**20
"""Of all videos in a page together; it holds them as text, a third longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedVideo:
    """An mp4 inside the page."""

    name: str
    data: str
    """Base64."""


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
    shown, left_out = _embed(videos or folder.folder / "videos")
    columns, validations = _validations(records)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dualsys.app.training", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html.jinja").render(
        name=manifest.name,
        lead=f"{manifest.training.get('steps', 0)} steps, robot {manifest.embodiment.name}",
        curves=_curves(records),
        columns=columns,
        validations=validations,
        videos=shown,
        left_out=left_out,
        starts=folder.starts(),
        data=[list(_flat(source)) for source in manifest.training.get("data", [])],
        configuration=list(_flat(manifest.training.get("config", {}))),
        versions=list(manifest.versions.items()),
    )
    target = folder.folder / "report.html"
    with replacing(target) as partial:
        partial.write_text(page, encoding="utf-8")
    return target


def _curves(records: Sequence[dict[str, Any]]) -> Markup:
    drawing = io.StringIO()
    # Names inside the drawing come from a salt: the same curve is the same page.
    with mpl.rc_context({"svg.hashsalt": "dualsys", "svg.fonttype": "none"}):
        draw_curves(records).savefig(drawing, format="svg", metadata={"Date": None})
    # Drawn by us from numbers, so it may stand in the page as it is; without the head that a file of its own has.
    text = drawing.getvalue()
    return Markup(text[text.index("<svg") :])


def _validations(records: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of the steps after which was validated."""
    chosen = [record for record in records if any(key.startswith("validation_") for key in record)]
    columns = list(dict.fromkeys(key for record in chosen for key in record))
    return columns, [[_number(record.get(column)) for column in columns] for record in chosen]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _embed(folder: Path) -> tuple[list[EmbeddedVideo], list[str]]:
    """Videos of a folder in the order of their names, and the names of those that would be too much."""
    shown, left_out, room_bytes = [], [], MAX_VIDEO_BYTES
    for file in sorted(folder.glob("*.mp4")):
        size_bytes = file.stat().st_size
        if size_bytes > room_bytes:
            left_out.append(f"{file.name} ({size_bytes / 1e6:.1f} MB)")
            continue
        room_bytes -= size_bytes
        shown.append(EmbeddedVideo(name=file.stem, data=base64.b64encode(file.read_bytes()).decode()))
    return shown, left_out


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested options as `actor.width`, and their values in one line each."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield prefix + key, ", ".join(map(str, value)) or "none"
        else:
            yield prefix + key, "none" if value is None else str(value)
