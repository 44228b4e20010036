"""Where publishers keep statistics: LeRobot's processors and old weights, openpi's assets, datasets."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dualsys.app.importing.lerobot_steps import NORMALIZER, STEPS_FILE, UNNORMALIZER, LerobotSteps
from dualsys.app.importing.normalization import PublishedStatistics
from dualsys.app.importing.tensor_files import TensorFiles
from dualsys.data.layout import STATS_PATH
from dualsys.errors import CheckpointError
from dualsys.messages import FloatArray

INSIDE = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")
"""Prefixes of statistics that LeRobot before 0.4 kept among the weights."""
_STATE, _ACTION = ("observation.state", "state"), ("action", "actions")
_NAMES_OF_BOTH = (*_ACTION, *_STATE, "observation_state", "buffer_observation_state", "buffer_action")
"""Last words of features that may be a state or an action of another policy's."""
_KINDS = ("mean", "std", "min", "max", "q01", "q10", "q90", "q99")
_UNUSED = ("count", "q50")


def read_lerobot(steps: LerobotSteps, files: TensorFiles, prefix: str) -> PublishedStatistics:
    """Of the steps beside a policy: states' of what normalises, actions' of what turns them back; or among its weights.

    Args:
        steps: The policy's.
        files: Its tensors.
        prefix: What stands before the names that count, such as `so100.buffer.`; empty: nothing.

    Raises:
        CheckpointError: both tell of actions, and different things.
    """
    if not steps.are_there:
        return _inside(steps.folder, files, prefix)
    before, behind = (_of_step(steps, name, prefix) for name in (NORMALIZER, UNNORMALIZER))
    where = ", ".join(dict.fromkeys((before.where, behind.where)))
    learned, turned = ({n: v for n, v in each.numbers.items() if n.startswith("action.")} for each in (before, behind))
    differ = [n for n in sorted(learned.keys() & turned.keys()) if not np.array_equal(learned[n], turned[n], True)]
    if differ:
        raise CheckpointError(
            f"{steps.folder}: {before.where} and {behind.where} have different {', '.join(differ)}, so actions were "
            "learned by other numbers than they would be turned back by; copy the original folder again, or give those "
            "that count: --statistics FILE or DATASET"
        )
    states = {name: value for name, value in before.numbers.items() if name.startswith("state.")}
    unmatched = tuple(sorted({*before.unmatched, *behind.unmatched}))
    return PublishedStatistics(numbers={**states, **turned}, unmatched=unmatched, where=where)


def read_openpi(folder: Path, prefix: str) -> PublishedStatistics:
    """Of `assets/NAME/norm_stats.json`. Raises `CheckpointError` where there are several."""
    places = sorted({*folder.glob("norm_stats.json"), *folder.glob("assets/**/norm_stats.json")})
    if len(places) > 1:
        raise CheckpointError(
            f"{folder} has statistics of several data: {', '.join(str(path.relative_to(folder)) for path in places)}; "
            "choose with --statistics FILE"
        )
    if not places:
        return PublishedStatistics(numbers={}, where=f"{folder} (no assets/NAME/norm_stats.json)")
    return read_statistics(places[0], prefix)


def read_statistics(path: Path, prefix: str = "") -> PublishedStatistics:
    """Of a JSON file (openpi's, LeRobot's, ours) or of a dataset's folder. Raises `CheckpointError`."""
    file = path / STATS_PATH if path.is_dir() else path
    try:
        raw: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} holds no statistics: {error}") from error
    raw = raw.get("norm_stats", raw) if isinstance(raw, dict) else raw
    if not isinstance(raw, dict):
        raise CheckpointError(f"{file} holds no statistics: it should map names to numbers")
    found: dict[str, FloatArray] = {}
    for name, kinds in raw.items():
        for kind, value in kinds.items() if isinstance(kinds, dict) else ():
            if kind in _KINDS:
                found[f"{name}.{kind}"] = _numbers(value, f"{file}: {name}.{kind}")
    return _sorted_out(found, str(file), prefix, others_are_fine=True)


def _sorted_out(
    found: Mapping[str, FloatArray], where: str, prefix: str, *, others_are_fine: bool = False
) -> PublishedStatistics:
    numbers: dict[str, FloatArray] = {}
    unmatched = []
    where = f"{where} (names that begin with {prefix!r})" if prefix else where
    for name, value in found.items():
        if not name.startswith(prefix):
            continue
        feature, _, kind = name.removeprefix(prefix).rpartition(".")
        plain = feature.removeprefix("buffer_").replace("observation_state", "observation.state")
        if kind in _UNUSED or _is_of_images(plain):
            continue
        quantity = "state" if plain in _STATE else "action" if plain in _ACTION else None
        if quantity is None and feature.rpartition(".")[2] not in _NAMES_OF_BOTH:
            continue  # of a dataset's other columns, such as timestamp
        if quantity is None or kind not in _KINDS:
            unmatched.append(name)
        else:
            numbers[f"{quantity}.{kind}"] = np.asarray(value, dtype=np.float64).reshape(-1)
    return PublishedStatistics(
        numbers=numbers, unmatched=() if others_are_fine else tuple(sorted(unmatched)), where=where
    )


def _is_of_images(feature: str) -> bool:
    """Pictures are scaled to [-1, 1] whatever their statistics, in all of these policies."""
    return "image" in feature


def _of_step(steps: LerobotSteps, name: str, prefix: str) -> PublishedStatistics:
    file = steps.state_file(name)
    if file is None:
        return PublishedStatistics(numbers={}, where=f"{steps.folder} ({name} has no state_file)")
    return _sorted_out(_load(file), file.name, prefix)


def _inside(folder: Path, files: TensorFiles, prefix: str) -> PublishedStatistics:
    """Among the weights, as LeRobot before 0.4 kept them."""
    found: dict[str, FloatArray] = {}
    read = []
    for name in files.tensors:
        if inside := next((each for each in INSIDE if name.startswith(each)), None):
            read.append(f"weights' {inside}*")
            value = files.read(name).double().numpy()
            if not np.array_equal(found.setdefault(name.removeprefix(inside), value), value, True):
                raise CheckpointError(f"{folder}: {', '.join(INSIDE)} have different {name.removeprefix(inside)}")
    where = ", ".join(dict.fromkeys(read)) or f"{folder} (no {STEPS_FILE} with a {NORMALIZER})"
    return _sorted_out(found, where, prefix)


def _load(path: Path) -> dict[str, FloatArray]:
    try:
        return {name: np.asarray(value, dtype=np.float64) for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"statistics {path} cannot be read: {error}; copy the whole folder again") from error


def _numbers(value: Any, where: str) -> FloatArray:
    try:
        numbers: FloatArray = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{where} is not a list of numbers") from error
    return numbers
