"""Which of its robots a GR00T checkpoint is imported for, and that robot's statistics.

    N1.5         experiment_cfg/metadata.json    {TAG: {statistics: {state: {PART: {min ...}}, action ...}, modalities}}
    N1.6, N1.7   statistics.json                 {TAG: {state: {PART: {min ...}}, action ...}}
                 embodiment_id.json              {TAG: number}

State and action are their parts, one behind the other, in the order that processor_config.json tells, else the file's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.app.importing.family import Published
from dualsys.app.importing.groot_processor import GrootProcessor, read_json
from dualsys.app.importing.groot_relative import KINDS, relative_actions
from dualsys.app.importing.layouts.groot import Version
from dualsys.app.importing.normalization import Mode, Part, PublishedStatistics, Quantity
from dualsys.app.importing.relative import RelativeActions
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError, unknown_name
from dualsys.messages import FloatArray

_PLACES = ("experiment_cfg/metadata.json", "statistics.json", "experiment_cfg/statistics.json")
_QUANTITIES: tuple[Quantity, ...] = ("state", "action")
_NUMBERS = "embodiment_id.json"
_UNNAMED = "new_embodiment"
"""NVIDIA's tag of a robot that it doesn't know."""
_N1_5_CATEGORIES = {"new_embodiment": 31, "oxe_droid": 17, "agibot_genie1": 26, "gr1": 24}
"""NVIDIA's `EMBODIMENT_TAG_MAPPING`; later versions number otherwise, and say how in a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrootRobot:
    """One of a checkpoint's robots."""

    tag: str
    category: int
    """Number of its projectors."""
    statistics: PublishedStatistics
    """Of positions, actions too."""
    relative: RelativeActions | None
    processor: GrootProcessor
    parts: Mapping[Quantity, tuple[Part, ...]]
    """Of quantities whose parts aren't all normalised alike."""
    cameras: tuple[CameraSpec, ...]
    notes: tuple[str, ...]


def find_groot_robot(published: Published, tag: str, version: Version) -> GrootRobot:
    """The robot that a tag names, or the only one there is.

    Raises:
        CheckpointError: several robots and no tag, an unknown one, or one whose numbers are neither positions nor ways
            of joints from where they are.
    """
    folder = published.folder
    place = next((folder / name for name in _PLACES if (folder / name).is_file()), None)
    robots = {} if place is None else read_json(place)
    if not tag and len(robots) > 1:
        raise CheckpointError(f"the checkpoint knows several robots: say which with --tag: {', '.join(sorted(robots))}")
    if tag and robots and tag not in robots:
        raise CheckpointError(unknown_name("robot", tag, robots))
    tag = tag or next(iter(robots), "")
    told = robots.get(tag, {})
    sections = told.get("statistics", told)
    where = str(place) if place is not None else f"{folder} (no {_PLACES[0]}, no {_PLACES[1]})"
    processor = GrootProcessor.read(published, tag, version)
    processor.require_positions()
    return GrootRobot(
        tag=tag,
        category=_category(folder, tag, version),
        statistics=PublishedStatistics(numbers=_joined(sections, processor), where=f"{where}: {tag}" if tag else where),
        relative=relative_actions(sections, processor),
        processor=processor,
        parts=_parts(sections, processor),
        cameras=_cameras(told) or processor.cameras,
        notes=_notes(sections, processor),
    )


def _joined(sections: Mapping[str, Any], processor: GrootProcessor) -> dict[str, FloatArray]:
    numbers: dict[str, FloatArray] = {}
    for quantity in _QUANTITIES:
        parts = sections.get(quantity) or {}
        order = processor.order(quantity) or list(parts)
        for kind in KINDS:
            found = [parts[part][kind] for part in order if kind in parts.get(part, {})]
            if found and len(found) == len(order):
                numbers[f"{quantity}.{kind}"] = np.concatenate(
                    [np.asarray(value, float).reshape(-1) for value in found]
                )
    return numbers


def _parts(sections: Mapping[str, Any], processor: GrootProcessor) -> dict[Quantity, tuple[Part, ...]]:
    found: dict[Quantity, tuple[Part, ...]] = {}
    for quantity in _QUANTITIES:
        parts, standardised = sections.get(quantity) or {}, processor.standardised(quantity)
        relative = processor.relative_parts if quantity == "action" else {}
        ways: dict[str, Mode] = dict.fromkeys(relative, "min-max")
        deviations: dict[str, Mode] = dict.fromkeys(standardised, "mean-std")
        modes = {**dict.fromkeys(parts, processor.mode), **ways, **deviations}
        order = [name for name in processor.order(quantity) or parts if name in parts]
        if standardised or relative:
            found[quantity] = tuple(
                Part(name=name, width=np.size(parts[name].get("mean", ())), mode=modes[name]) for name in order
            )
    return found


def _category(folder: Path, tag: str, version: Version) -> int:
    """Number of a robot's projectors. Raises `CheckpointError` where nothing tells it: another's would move wrongly."""
    path = folder / _NUMBERS
    if path.is_file():
        known = read_json(path)
    elif version == "n1_5":
        known = dict(_N1_5_CATEGORIES)
    else:
        raise CheckpointError(
            f"{folder} has no {_NUMBERS}, which tells the number of each robot's projectors; copy it from where the "
            "checkpoint is published"
        )
    tag = tag or (_UNNAMED if _UNNAMED in known or len(known) != 1 else next(iter(known)))
    if tag not in known:
        raise CheckpointError(f"which projectors are those of {tag!r} isn't told: {unknown_name('robot', tag, known)}")
    return int(known[tag])


def _cameras(told: Mapping[str, Any]) -> tuple[CameraSpec, ...]:
    videos = (told.get("modalities") or {}).get("video") or {}
    return tuple(
        CameraSpec(name=name, height=int(video["resolution"][1]), width=int(video["resolution"][0]))
        for name, video in videos.items()
    )


def _notes(sections: Mapping[str, Any], processor: GrootProcessor) -> tuple[str, ...]:
    orders = {name: processor.order(name) or list(sections.get(name) or ()) for name in _QUANTITIES}
    parts = [f"{quantity}: {', '.join(order)}" for quantity, order in orders.items() if order]
    return (f"order of the parts: {'; '.join(parts)}",) if parts else ()
