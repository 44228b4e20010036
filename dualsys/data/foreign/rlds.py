"""RLDS datasets as TensorFlow Datasets prepares them, Open X-Embodiment among them: read without TensorFlow.

    dataset_info.json                     name, splits
    features.json                         columns (`rlds_features`)
    NAME-SPLIT.tfrecord-00000-of-00008    an episode a record

Columns are named without `steps/`: `observation/image`, `action/world_vector`. Datasets that are known
(`rlds_standards`) say themselves what is what; of others the state is `observation/state` and the action `action`,
unless one says otherwise. Source: google-research/rlds and tensorflow/datasets.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dualsys.data.foreign.gripper import opening
from dualsys.data.foreign.pictures import decoded_pictures
from dualsys.data.foreign.rlds_features import STEPS, Column, numbers_of, read_columns
from dualsys.data.foreign.rlds_standards import standard_of
from dualsys.data.foreign.source import ForeignEpisode, component_names, joined, require_keys
from dualsys.data.foreign.tf_example import Values, read_example
from dualsys.data.foreign.tfrecord import TFRecordFile
from dualsys.errors import DatasetError
from dualsys.files import read_json
from dualsys.messages import ImageArray

_SHARD = re.compile(r"(?P<name>.+)-(?P<split>[^-]+)\.tfrecord-(?P<number>\d+)-of-(?P<count>\d+)")
_SLICE = re.compile(r"(?P<key>.+)\[(?P<start>\d+):(?P<stop>\d+)\]")
_WORDS = ("language_instruction", "observation/natural_language_instruction", "natural_language_instruction")
"""Where an instruction may be, the likeliest first."""
_CODES = "observation/instruction"
"""Language-Table's: numbers of characters, padded with zeros."""


class _Part(NamedTuple):
    """A column, or some of its components."""

    name: str
    column: str
    components: slice


@final
class RldsSource:
    """A version's folder; every split of it, in the order of names."""

    format = "rlds"

    def __init__(self, path: Path, state_keys: tuple[str, ...] = (), action_keys: tuple[str, ...] = ()) -> None:
        """Read what the folder says, and where records lie. Raises `DatasetError` where it doesn't hold together."""
        columns = read_columns(path)
        self._columns = {name.removeprefix(STEPS): c for name, c in columns.items() if name.startswith(STEPS)}
        self.robot = str(_info(path).get("name") or path.resolve().parent.name)
        self._standard = standard_of(self.robot)
        # Changes of a hand's place and a gripper, of those that are known; of others nobody knows.
        self.action_representation: Literal["end-effector"] | None = "end-effector" if self._standard else None
        self._records = _records(path)
        self._read: dict[int, dict[str, Values]] = {}
        known = self._standard
        self._state = self._parts(state_keys or (known.state if known else ("observation/state",)), path, "state")
        self._action = self._parts(action_keys or (known.action if known else ("action",)), path, "action")
        self.state_names = self._names(self._state)
        self.action_names = self._names(self._action)
        self.fps: int | None = None if known is None else known.fps
        # As they are called there; what stands before the last part is mostly `observation`.
        self._pictures = {
            name.removeprefix("observation/").replace("/", "_"): name
            for name, column in sorted(self._columns.items())
            if column.is_picture
        }
        self.cameras = tuple(self._pictures)
        self._gripper = None if known is None or action_keys else known.gripper
        self._first = 1 if known is not None and known.skip_first_row else 0
        self.notes: Mapping[str, Any] = {
            "state_keys": [part.name for part in self._state],
            "action_keys": [part.name for part in self._action],
            **({"gripper": f"{self._gripper}, made 1 open and 0 closed"} if self._gripper else {}),
            **({"first_row": "left out"} if self._first else {}),
        }

    def __len__(self) -> int:
        return len(self._records)

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode. Raises `DatasetError`."""
        example, where = self._example(index)
        actions = self._joined(example, self._action, where)
        if self._gripper is not None:
            actions[:, -1] = opening(actions[:, -1], self._gripper)
        states = self._joined(example, self._state, where)
        if len(states) != len(actions):
            raise DatasetError(
                f"{where} has {len(states)} states and {len(actions)} actions; leave it out: --skip {index}"
            )
        return ForeignEpisode(
            states=states[self._first :],
            actions=actions[self._first :],
            instruction=self._instruction(example),
            success=_success(example),
        )

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Images of an episode. Raises `DatasetError`."""
        example, where = self._example(index)
        key = self._pictures[camera]
        blobs = example.get(STEPS + key)
        if not isinstance(blobs, list):
            raise DatasetError(f"{where} has no pictures {key}; leave it out: --skip {index}")
        return decoded_pictures(blobs, f"{where}, {key}")[self._first :]

    def _example(self, index: int) -> tuple[dict[str, Values], str]:
        file, number = self._records[index]
        where = f"{file.path}: record {number}"
        # Episodes come in order, and one is asked for once for its rows and once for each camera.
        if index not in self._read:
            self._read = {index: read_example(file.record(number), where)}
        return self._read[index], where

    def _parts(self, keys: Sequence[str], path: Path, of: str) -> tuple[_Part, ...]:
        """Columns as they are asked for. Raises `DatasetError` for what isn't there."""
        parts = []
        for key in keys:
            found = _SLICE.fullmatch(key)
            components = slice(int(found["start"]), int(found["stop"])) if found else slice(None)
            parts.append(_Part(key, found["key"] if found else key, components))
        vectors = [name for name, column in self._columns.items() if column.is_vector]
        require_keys([part.column for part in parts], vectors, f"{path}/features.json", of=of)
        for part in parts:
            (size,) = self._columns[part.column].shape or (1,)
            if part.components != slice(None) and not 0 <= part.components.start < part.components.stop <= size:
                raise DatasetError(
                    f"{path}: {part.name} is none of the {size} components of {part.column}; mend --{of}-keys"
                )
        return tuple(parts)

    def _names(self, parts: tuple[_Part, ...]) -> tuple[str, ...]:
        """Components keep their numbers where some are chosen. Raises `DatasetError` where one is chosen twice."""
        names: list[str] = []
        for part in parts:
            shape = self._columns[part.column].shape
            whole = component_names({part.column.removeprefix("observation/"): shape})
            names += whole[part.components] if shape else whole
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DatasetError(f"{', '.join(twice)} would be there twice: ask for each component once")
        return tuple(names)

    def _joined(self, example: Mapping[str, Values], parts: tuple[_Part, ...], where: str) -> NDArray[np.float32]:
        return joined({part.name: self._numbers(example, part, where) for part in parts}, where)

    def _numbers(self, example: Mapping[str, Values], part: _Part, where: str) -> NDArray[Any]:
        column: Column = self._columns[part.column]
        values = example.get(STEPS + part.column)
        if values is None:
            raise DatasetError(f"{where} has no {part.column}, which features.json promises; copy the file again")
        numbers = numbers_of(column, values, f"{where}, {part.column}")
        return numbers[:, part.components] if column.shape else numbers

    def _instruction(self, example: Mapping[str, Values]) -> str:
        for key in _WORDS:
            said = example.get(STEPS + key)
            if isinstance(said, list) and said and said[0].strip():
                return said[0].decode("utf-8", errors="replace").strip()
        codes = example.get(STEPS + _CODES)
        if isinstance(codes, np.ndarray) and _CODES in self._columns and codes.dtype == np.int64:
            width = int(np.prod(self._columns[_CODES].shape, dtype=np.int64))
            return "".join(chr(code) for code in codes[:width].tolist() if 0 < code < 0x110000).strip()
        return ""


def _success(example: Mapping[str, Values]) -> bool | None:
    """An episode that was rewarded succeeded; one that wasn't may be of a dataset that knows no rewards."""
    rewards = example.get(STEPS + "reward")
    return True if isinstance(rewards, np.ndarray) and np.any(rewards > 0) else None


def _info(path: Path) -> Mapping[str, Any]:
    raw = read_json(path / "dataset_info.json") if (path / "dataset_info.json").is_file() else {}
    return raw if isinstance(raw, dict) else {}


def _records(path: Path) -> list[tuple[TFRecordFile, int]]:
    """File and number of each episode. Raises `DatasetError` where files are missing."""
    shards: dict[tuple[str, int], dict[int, Path]] = {}
    for file in sorted(path.iterdir()):
        if found := _SHARD.fullmatch(file.name):
            shards.setdefault((found["split"], int(found["count"])), {})[int(found["number"])] = file
    if not shards:
        raise DatasetError(f"{path} has no files *.tfrecord-00000-of-...; name the folder of one version of a dataset")
    records: list[tuple[TFRecordFile, int]] = []
    for (split, count), files in sorted(shards.items()):
        if lacking := sorted(set(range(count)) - set(files)):
            raise DatasetError(
                f"{path}: split {split} has {len(files)} of {count} files, number {lacking[0]} is missing; copy it"
            )
        for number in range(count):
            shard = TFRecordFile(files[number])
            records += [(shard, row) for row in range(len(shard))]
    return records
