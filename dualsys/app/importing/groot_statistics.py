"""Which of its robots a GR00T checkpoint is imported for, and that robot's statistics.

    N1.5         experiment_cfg/metadata.json    {TAG: {statistics: {state: {PART: {min ...}}, action ...}, modalities}}
    N1.6, N1.7   statistics.json                 {TAG: {state: {PART: {min ...}}, action ...}}
                 embodiment_id.json              {TAG: number}
                 processor_config.json           {processor_kwargs: {modality_configs: {TAG: ...}}}

State and action are their parts, one behind the other, in the file's order.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.app.importing.normalization import PublishedStatistics
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError, unknown_name
from dualsys.messages import FloatArray

_PLACES = ("experiment_cfg/metadata.json", "statistics.json", "experiment_cfg/statistics.json")
_KINDS = ("min", "max", "mean", "std", "q01", "q99")
_N1_5_CATEGORIES = {"new_embodiment": 31, "oxe_droid": 17, "agibot_genie1": 26, "gr1": 24}
"""NVIDIA's `EMBODIMENT_TAG_MAPPING`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrootRobot:
    """One of a checkpoint's robots."""

    tag: str
    category: int
    """Number of its projectors."""
    statistics: PublishedStatistics
    cameras: tuple[CameraSpec, ...]
    notes: tuple[str, ...]


def find_groot_robot(folder: Path, tag: str) -> GrootRobot:
    """The robot that a tag names, or the only one there is.

    Raises:
        CheckpointError: several robots and no tag, an unknown one, or one whose numbers aren't plain positions.
    """
    place = next((folder / name for name in _PLACES if (folder / name).is_file()), None)
    robots = {} if place is None else _read(place)
    if not tag and len(robots) > 1:
        raise CheckpointError(f"the checkpoint knows several robots: say which with --tag: {', '.join(sorted(robots))}")
    if tag and robots and tag not in robots:
        raise CheckpointError(unknown_name("robot", tag, robots))
    tag = tag or next(iter(robots), "")
    told = robots.get(tag, {})
    sections = told.get("statistics", told)
    where = str(place) if place is not None else f"{folder} (no {_PLACES[0]}, no {_PLACES[1]})"
    processor = _processor(folder, tag)
    _require_positions(processor, tag)
    return GrootRobot(
        tag=tag,
        category=_category(folder, tag),
        statistics=PublishedStatistics(numbers=_joined(sections, processor), where=f"{where}: {tag}"),
        cameras=_cameras(told),
        notes=_notes(sections),
    )


def _joined(sections: Mapping[str, Any], processor: Mapping[str, Any]) -> dict[str, FloatArray]:
    numbers: dict[str, FloatArray] = {}
    for quantity in ("state", "action"):
        parts = sections.get(quantity) or {}
        order = (processor.get(quantity) or {}).get("modality_keys") or list(parts)
        for kind in _KINDS:
            found = [parts[part][kind] for part in order if kind in parts.get(part, {})]
            if found and len(found) == len(order):
                numbers[f"{quantity}.{kind}"] = np.concatenate(
                    [np.asarray(value, float).reshape(-1) for value in found]
                )
    return numbers


def _category(folder: Path, tag: str) -> int:
    path = folder / "embodiment_id.json"
    known = _read(path) if path.is_file() else _N1_5_CATEGORIES
    if not tag:
        return int(known.get("new_embodiment", 0))
    if tag not in known:
        raise CheckpointError(f"which projectors are those of {tag!r} isn't told: {unknown_name('robot', tag, known)}")
    return int(known[tag])


def _processor(folder: Path, tag: str) -> Mapping[str, Any]:
    path = folder / "processor_config.json"
    if not path.is_file():
        return {}
    told: Any = _read(path).get("processor_kwargs", {}).get("modality_configs", {})
    found: Any = told.get(tag, {})
    return found if isinstance(found, Mapping) else {}


def _require_positions(processor: Mapping[str, Any], tag: str) -> None:
    for action in (processor.get("action") or {}).get("action_configs") or ():
        if str(action.get("rep", "ABSOLUTE")).upper() not in ("ABSOLUTE", "0"):
            raise CheckpointError(
                f"robot {tag!r} is trained on {action['rep']} actions; only absolute ones can be imported"
            )
    if (processor.get("state") or {}).get("sin_cos_embedding_keys"):
        raise CheckpointError(f"robot {tag!r} is told angles as sine and cosine; only plain states can be imported")


def _cameras(told: Mapping[str, Any]) -> tuple[CameraSpec, ...]:
    videos = (told.get("modalities") or {}).get("video") or {}
    return tuple(
        CameraSpec(name=name, height=int(video["resolution"][1]), width=int(video["resolution"][0]))
        for name, video in videos.items()
    )


def _notes(sections: Mapping[str, Any]) -> tuple[str, ...]:
    parts = [f"{quantity}: {', '.join(sections[quantity])}" for quantity in ("state", "action") if quantity in sections]
    return (f"order of the parts: {'; '.join(parts)}",) if parts else ()


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} can't be understood: {error}") from error
