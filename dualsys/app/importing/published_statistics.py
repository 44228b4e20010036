"""Where publishers keep statistics: LeRobot's processors and old weights, openpi's assets, datasets."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dualsys.app.importing.normalization import PublishedStatistics
from dualsys.app.importing.tensor_files import TensorFiles
from dualsys.data.layout import STATS_PATH
from dualsys.errors import CheckpointError
from dualsys.messages import FloatArray

INSIDE = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")
"""Prefixes of statistics that LeRobot before 0.4 kept among the weights."""
STEPS_FILE = "policy_preprocessor.json"
"""Of what LeRobot runs before a policy."""
STEPS_BEHIND_FILE = "policy_postprocessor.json"
"""Of what it runs behind it."""
_STEPS = ((STEPS_FILE, "normalizer_processor"), (STEPS_BEHIND_FILE, "unnormalizer_processor"))
_STATE, _ACTION = ("observation.state", "state"), ("action", "actions")
_KINDS = ("mean", "std", "min", "max", "q01", "q10", "q90", "q99")
_UNUSED = ("count", "q50")


def read_lerobot(folder: Path, files: TensorFiles, prefix: str) -> PublishedStatistics:
    """Of the processors beside a policy, or among its weights.

    Args:
        folder: The policy's.
        files: Its tensors.
        prefix: What stands before the names that count, such as `so100.buffer.`; empty: nothing.
    """
    found: dict[str, FloatArray] = {}
    read = []
    for file, kind in _STEPS:
        if (state_file := _state_file(folder / file, kind)) is not None:
            read.append(state_file.name)
            for name, value in _load(state_file).items():
                # State's are read from what normalises, action's from what turns them back; both hold all.
                found.setdefault(name, value)
    for name in files.tensors:
        if inside := next((each for each in INSIDE if name.startswith(each)), None):
            read.append(f"weights' {inside}*")
            found.setdefault(name.removeprefix(inside), files.read(name).double().numpy())
    where = ", ".join(dict.fromkeys(read)) or f"{folder} (no normalizer_processor with a state file)"
    return _sorted_out(found, where, prefix)


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
    for name, value in found.items():
        feature, _, kind = name.removeprefix(prefix).rpartition(".")
        plain = feature.removeprefix("buffer_").replace("observation_state", "observation.state")
        if kind in _UNUSED or _is_of_images(plain):
            continue
        quantity = "state" if plain in _STATE else "action" if plain in _ACTION else None
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


def _state_file(path: Path, kind: str) -> Path | None:
    if not path.is_file():
        return None
    for step in _steps(path):
        if step.get("registry_name") == kind and step.get("state_file"):
            name = str(step["state_file"])
            if Path(name).name != name:
                raise CheckpointError(f"{path} names a file outside of its folder: {name}")
            return path.parent / name
    return None


def processor_steps(folder: Path, file: str = STEPS_FILE) -> dict[str, dict[str, Any]]:
    """Configuration of each step that LeRobot runs before a policy, by name; empty where there is no file of them."""
    path = folder / file
    if not path.is_file():
        return {}
    return {str(step.get("registry_name")): dict(step.get("config") or {}) for step in _steps(path)}


def _steps(path: Path) -> Iterable[dict[str, Any]]:
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        return [dict(step) for step in raw["steps"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no processor of LeRobot's; copy it again") from error


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
