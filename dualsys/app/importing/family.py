"""What is asked of a published family, and what of a folder serves all of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from pydantic import BaseModel

from dualsys.actor.normalization import ControllerStatistics
from dualsys.app.importing.lerobot_relative import relative_actions
from dualsys.app.importing.normalization import Mode, Normalization, PublishedStatistics
from dualsys.app.importing.published_statistics import INSIDE, STEPS_FILE, processor_steps
from dualsys.app.importing.relative import RelativeActions
from dualsys.app.importing.robot import Robot, Widths
from dualsys.app.importing.rules import Halves
from dualsys.app.importing.tensor_files import TensorFiles
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError

_VISUAL = "observation.images."
_MODES: dict[str, Mode] = {
    "MEAN_STD": "mean-std",
    "MIN_MAX": "min-max",
    "QUANTILES": "quantiles",
    "QUANTILE10": "quantiles-10",
    "IDENTITY": "identity",
}
_MOST_WORDS = 8192
"""Tokens of an instruction that a checkpoint may ask for: as many as PaliGemma has places."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LerobotFolder:
    """What LeRobot's folders have in common."""

    published: Published
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, published: Published) -> Self:
        """With the steps that run before the policy."""
        return cls(published=published, steps=processor_steps(published.folder))

    def widths(self) -> Widths:
        """Raises `CheckpointError` where config.json doesn't tell the robot's."""
        features = self._features("input_features")
        if any(len(shape) != 3 for name, shape in features.items() if name.startswith(_VISUAL)):
            raise CheckpointError(f"{self.published.folder}/config.json: a picture's shape isn't (3, height, width)")
        cameras = tuple(
            CameraSpec(name=name.removeprefix(_VISUAL), height=shape[1], width=shape[2])
            for name, shape in features.items()
            if name.startswith(_VISUAL) and not name.removeprefix(_VISUAL).startswith("empty_camera")
        )
        state = self._width("input_features", "observation.state")
        action = self._width("output_features", "action")
        if not cameras:
            raise CheckpointError(f"{self.published.folder}/config.json: input_features tell no camera")
        name = str(self.published.config.get("robot_type") or self.published.folder.resolve().name)
        return Widths(name=name, states=state, actions=action, cameras=cameras)

    def relative(self) -> RelativeActions | None:
        """What its steps take away before the policy and add again behind it. Raises `CheckpointError`."""
        widths = self.widths()
        return relative_actions(
            self.published.folder, self.published.config, states=widths.states, actions=widths.actions
        )

    def normalization(self, default: Mode) -> Normalization:
        """Of the normaliser's step, else of config.json; what neither names goes through as it is, as in LeRobot."""
        told = self.steps.get("normalizer_processor", {}).get("norm_map")
        file, modes = STEPS_FILE, told
        if told is None:
            file, modes = "config.json", self.published.config.get("normalization_mapping")
        if modes is not None and not isinstance(modes, Mapping):
            raise CheckpointError(f"{self.published.folder}/{file}: how to normalise is {modes!r}, no names and modes")
        if modes is not None and modes.get("VISUAL", "IDENTITY") != "IDENTITY":
            raise CheckpointError(f"pictures are normalised by {modes['VISUAL']}; only by IDENTITY can be loaded")
        state, action = (default if modes is None else _mode(modes, name) for name in ("STATE", "ACTION"))
        epsilon = self._number("normalizer_processor", "eps", 1e-8, low=0.0, high=1.0)
        return Normalization(state=state, action=action, epsilon=epsilon)

    def tokenizer(self, default: str) -> str:
        """Of the tokenizer's step."""
        return str(self.steps.get("tokenizer_processor", {}).get("tokenizer_name") or default)

    def max_text_tokens(self, default: int) -> int:
        """Of the tokenizer's step, else of config.json."""
        told = self.published.get("tokenizer_max_length", default)
        return int(self._number("tokenizer_processor", "max_length", told, low=1, high=_MOST_WORDS))

    def _number(self, step: str, name: str, default: float, *, low: float, high: float) -> float:
        told: Any = self.steps.get(step, {}).get(name)
        value = default if told is None else told
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise CheckpointError(
                f"{self.published.folder}/{STEPS_FILE}: {name} of {step} is {value!r}, expected a number from {low} to "
                f"{high}"
            )
        return value

    def _width(self, section: str, name: str) -> int:
        shape = self._features(section).get(name)
        if shape is None or len(shape) != 1:
            raise CheckpointError(f"{self.published.folder}/config.json: {section} doesn't tell the width of {name}")
        return shape[0]

    def _features(self, section: str) -> dict[str, tuple[int, ...]]:
        told: Any = self.published.config.get(section) or {}
        try:
            return {str(name): tuple(map(int, feature["shape"])) for name, feature in told.items()}
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise CheckpointError(f"{self.published.folder}/config.json: {section} can't be understood") from error


def _mode(modes: Mapping[str, Any], name: str) -> Mode:
    told = str(modes.get(name, "IDENTITY"))
    if told not in _MODES:
        raise CheckpointError(f"{name} is normalised by {told}; known are {', '.join(_MODES)}")
    return _MODES[told]
