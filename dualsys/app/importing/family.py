"""What is asked of a published family, and what of a folder serves all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pydantic import BaseModel

from dualsys.actor.normalization import ControllerStatistics
from dualsys.app.importing.normalization import Normalization, PublishedStatistics
from dualsys.app.importing.published_statistics import INSIDE
from dualsys.app.importing.relative import RelativeActions
from dualsys.app.importing.robot import Robot, Widths
from dualsys.app.importing.rules import Halves
from dualsys.app.importing.tensor_files import TensorFiles
from dualsys.errors import CheckpointError

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint's folder, opened."""

    folder: Path
    config: Mapping[str, Any]
    """Its config.json; empty where there is none."""
    files: TensorFiles

    @classmethod
    def open(cls, checkpoint: Path) -> Self:
        """Headers and config.json. Raises `CheckpointError` where either can't be read."""
        files = TensorFiles.open(checkpoint)
        folder = checkpoint.parent if checkpoint.is_file() else checkpoint
        path = folder / "config.json"
        if not path.is_file():
            return cls(folder=folder, config={}, files=files)
        try:
            config: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{path} is not valid JSON: {error}") from error
        if not isinstance(config, dict):
            raise CheckpointError(f"{path} is no configuration: {type(config).__name__} instead of names and values")
        if config.get("kind") == "dualsys-controller":
            raise CheckpointError(f"{folder} is a checkpoint of dualsys already: use it with --checkpoint {folder}")
        return cls(folder=folder, config=config, files=files)

    @property
    def weights(self) -> TensorFiles:
        """Without the statistics that old LeRobot files keep among them."""
        return self.files.without(name for name in self.files.tensors if name.startswith(INSIDE))

    def get(self, name: str, default: Value) -> Value:
        """Of config.json. Raises `CheckpointError` where it is of another kind than the default."""
        value: Any = self.config.get(name)
        if value is None:
            return default
        kinds: Any = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
            raise CheckpointError(f"{self.folder}/config.json: {name} is {value!r}, expected {type(default).__name__}")
        kept: Value = value
        return kept

    def refuse(self, *names: str, fix: str) -> None:
        """Raise `CheckpointError` where config.json turns something on that we don't have."""
        for name in names:
            if self.config.get(name):
                raise CheckpointError(f"{self.folder}/config.json: {name} is {self.config[name]!r}; {fix}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """Both modules as they will stand in a checkpoint, and what there is to say about them."""

    planner_name: str
    planner: BaseModel
    actor_name: str
    actor: BaseModel
    halves: Halves
    tied: tuple[str, ...] = ()
    """Of the peer's tensors, those that are another one and so aren't read."""
    notes: tuple[str, ...] = ()


class Family(Protocol):
    """A published layout."""

    @property
    def layout(self) -> str:
        """As `--layout` names it."""
        ...

    @property
    def rigid(self) -> bool:
        """Whether its widths are one robot's; else they are the most that it takes."""
        ...

    def statistics(self, prefix: str) -> PublishedStatistics:
        """Those beside the weights."""
        ...

    def normalization(self) -> Normalization:
        """How numbers are normalised."""
        ...

    def widths(self, statistics: PublishedStatistics) -> Widths:
        """Of its robot."""
        ...

    def relative(self) -> RelativeActions | None:
        """Which actions are relative to the state; None: all are positions."""
        ...

    def tokenizer(self) -> str:
        """Where its tokenizer is published."""
        ...

    def modules(self, robot: Robot, statistics: ControllerStatistics) -> Modules:
        """Both modules. Raises `CheckpointError` for tensors of another layout, and options that we don't have."""
        ...
