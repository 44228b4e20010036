"""Somebody else's episodes into a dataset of ours, one after the other, as the recorder would write them.

Episodes are staged first and become a dataset together: killed half-way, the same command goes on where it was.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.data import layout
from dualsys.data.begun import BegunRecording
from dualsys.data.episode import CameraTrack, Episode
from dualsys.data.foreign.action_scale import ActionScale, Scaling
from dualsys.data.foreign.pictures import resized_pictures
from dualsys.data.foreign.resampling import ActionsAre, KindOfActions, Resampling
from dualsys.data.foreign.robot import derived_embodiment, read_embodiment
from dualsys.data.foreign.source import ForeignEpisode, Source
from dualsys.data.info import DatasetInfo, Provenance
from dualsys.data.recording_lock import recording_alone
from dualsys.data.writer import DatasetWriter
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError
from dualsys.messages import ImageArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What is to be made of a source."""

    path: Path
    """Of the source, for messages and the provenance."""
    fps: float | None = None
    """Rows a second that the source has; None takes what it says."""
    resample_hz: int | None = None
    """Rows a second that are made of them; None: the same."""
    actions_are: ActionsAre = "as-known"
    """What is made of actions at another rate."""
    action_scaling: Scaling = "none"
    """What of the actions goes to -1 and 1."""
    instruction: str = ""
    """Replaces the source's; empty takes them."""
    embodiment: Path | None = None
    """JSON of an `EmbodimentSpec`; None derives one."""
    image_size: tuple[int, int] | None = None
    """Height and width; None keeps the source's."""
    action_shift_rows: int = 0
    """A state is paired with the action so many rows later."""
    skip: tuple[int, ...] = ()
    """Episodes to leave out, by number."""
    task: str = ""
    expert: str = ""
    """For the provenance; empty: after the source."""
    versions: Mapping[str, str]
    resampling: Resampling | None = None
    scale: ActionScale | None = None
    """Both made when it is known what the source has."""


def convert(source: Source, plan: Conversion, out: Path, progress: Callable[[int, int], None]) -> DatasetInfo:
    """Write a source as a LeRobot v3 dataset with our provenance.

    Args:
        source: What to import.
        plan: How.
        out: A new folder, or one in which the same import was stopped.
        progress: Called with episodes done and in all.

    Raises:
        DatasetError: the source is damaged or says too little, has no episode that is to be skipped, or the folder
            holds something else, or another process imports or records into it.
    """
    source_fps = _source_fps(source, plan)
    fps = _fps(plan, source_fps)
    _require_numbers(source, plan)
    _require_skipped_exist(source, plan)
    if fps != source_fps:
        kind = _kind_of_actions(source, plan)
        plan = replace(plan, resampling=Resampling(source_fps=source_fps, fps=fps, kind=kind))
    chosen = [index for index in range(len(source)) if index not in set(plan.skip)]
    if not chosen:
        raise DatasetError(f"{plan.path} has {len(source)} episodes, and none is left to import")
    if plan.action_scaling != "none":
        gripper = _has_gripper(source, plan)
        scale = ActionScale.of(plan.action_scaling, _rows(source, plan, chosen), gripper=gripper)
        plan = replace(plan, scale=scale)
    spec = _embodiment(source, plan, chosen)
    writer = DatasetWriter(out, spec, fps=fps)
    if writer.info is not None:
        raise DatasetError(f"{out} holds a dataset of {writer.num_episodes} episodes; give a new folder")
    origin = _provenance(source, plan, spec, chosen)
    with recording_alone(writer):
        begun = BegunRecording(writer)
        begun.forget_if_nothing_is_staged()  # by one that was killed before its first episode
        begun.go_on({"embodiment": spec.fingerprint(), "fps": fps, **origin.settings})
        try:
            done = set(writer.staged_seeds())
            for count, index in enumerate(chosen):
                progress(count, len(chosen))
                if index not in done:
                    writer.stage(_episode(source, plan, fps, index))
            progress(len(chosen), len(chosen))
            return writer.finish(chosen, origin)
        finally:
            begun.forget_if_nothing_is_staged()


def _kind_of_actions(source: Source, plan: Conversion) -> KindOfActions:
    if plan.actions_are != "as-known":
        return plan.actions_are
    if source.action_representation is None:
        raise DatasetError(
            f"{plan.path} ({source.format}) does not say whether its actions are positions or changes, which "
            f"--resample-hz {plan.resample_hz} hangs on: --actions-are positions, changes, or changes-and-gripper"
        )
    return "positions" if source.action_representation == "joint" else "changes-and-gripper"


def _has_gripper(source: Source, plan: Conversion) -> bool:
    if plan.actions_are != "as-known":
        return plan.actions_are == "changes-and-gripper"
    return source.action_representation not in ("joint", None)


def _source_fps(source: Source, plan: Conversion) -> float:
    fps = plan.fps or source.fps
    if fps is None:
        raise DatasetError(f"{plan.path} ({source.format}) does not say its rate; give it: --fps 50, or what it was")
    return fps


def _fps(plan: Conversion, source_fps: float) -> int:
    fps = plan.resample_hz or source_fps
    if fps != round(fps):
        raise DatasetError(f"{fps:g} rows a second: a dataset's rate is a whole number; make it one: --resample-hz 10")
    return round(fps)


def _require_numbers(source: Source, plan: Conversion) -> None:
    for of, names in {"state": source.state_names, "action": source.action_names}.items():
        if not names:
            raise DatasetError(
                f"{plan.path} ({source.format}): what is to be the {of} has no components; choose others: --{of}-keys"
            )


def _require_skipped_exist(source: Source, plan: Conversion) -> None:
    if unknown := sorted(set(plan.skip) - set(range(len(source)))):
        raise DatasetError(
            f"--skip {' '.join(map(str, unknown))}: {plan.path} has no such episode; it has {len(source)}, "
            f"numbered from 0 to {len(source) - 1}"
        )


def _embodiment(source: Source, plan: Conversion, chosen: list[int]) -> EmbodimentSpec:
    sizes: dict[str, tuple[int, int]] = {}
    for camera in source.cameras:
        height, width = plan.image_size or source.pictures(chosen[0], camera).shape[1:3]
        if height % 2 or width % 2:
            raise DatasetError(
                f"{plan.path}: camera {camera} has pictures of {height} by {width}; video cannot hold odd sizes: "
                f"--image-size {height - height % 2} {width - width % 2}"
            )
        sizes[camera] = (int(height), int(width))
    if plan.embodiment is not None:
        return read_embodiment(plan.embodiment, source, sizes)
    lowest = np.full(len(source.action_names), np.inf)
    highest = -lowest
    for episode in _rows(source, replace(plan, action_shift_rows=0), chosen):  # those that are left unpaired, too
        lowest = np.minimum(lowest, episode.actions.min(axis=0))
        highest = np.maximum(highest, episode.actions.max(axis=0))
    return derived_embodiment(source, source.robot or plan.path.stem, lowest, highest, sizes)


def _rows(source: Source, plan: Conversion, chosen: list[int]) -> Iterator[ForeignEpisode]:
    """Episodes without pictures, each checked, as they go into the dataset."""
    for index in chosen:
        yield _made(_checked(source, plan, index), plan)


def _checked(source: Source, plan: Conversion, index: int) -> ForeignEpisode:
    """An episode as the source has it."""
    episode = source.episode(index)
    for name, values in {"state": episode.states, "action": episode.actions}.items():
        if not np.all(np.isfinite(values)):
            raise DatasetError(
                f"{plan.path}: {name}s of episode {index} are not finite; leave the episode out: --skip {index}"
            )
    if len(episode.states) <= plan.action_shift_rows:
        raise DatasetError(f"{plan.path}: episode {index} has {len(episode.states)} rows; leave it out: --skip {index}")
    return episode


def _made(episode: ForeignEpisode, plan: Conversion) -> ForeignEpisode:
    """Paired, at the new rate, scaled."""
    count = len(episode.states) - plan.action_shift_rows
    episode = replace(episode, states=episode.states[:count], actions=episode.actions[plan.action_shift_rows :])
    if plan.resampling is not None:
        episode = plan.resampling.episode(episode)
    return episode if plan.scale is None else plan.scale.episode(episode)


def _episode(source: Source, plan: Conversion, fps: int, index: int) -> Episode:
    raw = _checked(source, plan, index)
    episode = _made(raw, plan)
    instruction = (plan.instruction or episode.instruction).strip()
    if not instruction:
        raise DatasetError(
            f"{plan.path} ({source.format}): episode {index} has no instruction; "
            "say what is to be done: --instruction 'pick the cube'"
        )
    return Episode(
        seed=index,
        instruction=instruction,
        states=episode.states,
        actions=episode.actions,
        cameras={camera: _track(_film(source, plan, index, camera, len(raw.states)), fps) for camera in source.cameras},
        success=True if episode.success is None else episode.success,
    )


def _film(source: Source, plan: Conversion, index: int, camera: str, rows: int) -> ImageArray:
    """A picture for each row of the dataset; the source's episode has so many."""
    pictures = source.pictures(index, camera)
    if len(pictures) != rows:
        raise DatasetError(
            f"{plan.path}: episode {index} has {rows} rows, camera {camera} {len(pictures)} pictures; copy it again, "
            f"or leave it out: --skip {index}"
        )
    pictures = pictures[: rows - plan.action_shift_rows]
    if plan.resampling is not None:
        pictures = plan.resampling.pictures(pictures)
    return pictures if plan.image_size is None else resized_pictures(pictures, plan.image_size)


def _track(pictures: ImageArray, fps: int) -> CameraTrack:
    """A picture that is repeated to the bit was held, not taken again: a camera slower than the rows."""
    new = np.ones(len(pictures), bool)
    new[1:] = [np.any(after != before) for before, after in pairwise(pictures)]
    return CameraTrack(
        frames=pictures[new], frame_of_row=np.cumsum(new) - 1, stamps_s=np.flatnonzero(new).astype(np.float64) / fps
    )


def _provenance(source: Source, plan: Conversion, spec: EmbodimentSpec, chosen: list[int]) -> Provenance:
    settings: dict[str, Any] = {
        layout.IMPORTED_FROM: plan.path.resolve().name,
        "format": source.format,
        "seeds_are": "numbers of the source's episodes",
        "action_shift_rows": plan.action_shift_rows,
        "image_size": None if plan.image_size is None else list(plan.image_size),
        "instruction": plan.instruction,
        **({"resampled_from_hz": plan.resampling.source_fps} if plan.resampling else {}),
        **({"action_scale": plan.scale.told()} if plan.scale else {}),
        **source.notes,
    }
    return Provenance(
        embodiment=spec,
        task=plan.task or source.robot or plan.path.resolve().stem,
        expert=plan.expert or f"unknown ({source.format})",
        settings=settings,
        first_seed=chosen[0],
        next_seed=chosen[-1] + 1,
        attempted=len(chosen),
        versions=dict(plan.versions),
    )
