"""What LeRobot's folders have in common: config.json's features, and the two processors beside the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dualsys.app.importing.family import Published
from dualsys.app.importing.lerobot_relative import relative_actions
from dualsys.app.importing.lerobot_steps import (
    NORMALIZER,
    STATE,
    STEPS_BEHIND_FILE,
    STEPS_FILE,
    UNNORMALIZER,
    VISUAL,
    LerobotSteps,
    Policy,
)
from dualsys.app.importing.normalization import Mode, Normalization, PublishedStatistics
from dualsys.app.importing.published_statistics import read_lerobot
from dualsys.app.importing.relative import RelativeActions
from dualsys.app.importing.robot import Widths
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError

_MODES: dict[str, Mode] = {
    "MEAN_STD": "mean-std",
    "MIN_MAX": "min-max",
    "QUANTILES": "quantiles",
    "QUANTILE10": "quantiles-10",
    "IDENTITY": "identity",
}
_MOST_WORDS = 8192
"""Tokens of an instruction that a checkpoint may ask for: as many as PaliGemma has places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LerobotFolder:
    """What LeRobot's folders have in common."""

    published: Published
    steps: LerobotSteps

    @classmethod
    def of(cls, published: Published, policy: Policy) -> Self:
        """With its steps. Raises `CheckpointError` where nothing here does what one of them does."""
        return cls(published=published, steps=LerobotSteps.read(published.folder, policy))

    def statistics(self, prefix: str) -> PublishedStatistics:
        """Of its steps, or among its weights."""
        return read_lerobot(self.steps, self.published.files, prefix)

    def widths(self) -> Widths:
        """The robot's, cameras by its own names. Raises `CheckpointError` where config.json doesn't tell them."""
        features = self._features("input_features")
        seen_as = self._seen_as(features)
        if any(len(shape) != 3 for name, shape in features.items() if name.startswith(VISUAL)):
            raise CheckpointError(f"{self.published.folder}/config.json: a picture's shape isn't (3, height, width)")
        cameras = tuple(
            CameraSpec(name=seen_as.get(name, name).removeprefix(VISUAL), height=shape[1], width=shape[2])
            for name, shape in features.items()
            if name.startswith(VISUAL) and not name.removeprefix(VISUAL).startswith("empty_camera")
        )
        state = self._width("input_features", STATE)
        action = self._width("output_features", "action")
        if not cameras:
            raise CheckpointError(f"{self.published.folder}/config.json: input_features tell no camera")
        name = str(self.published.config.get("robot_type") or self.published.folder.resolve().name)
        return Widths(name=name, states=state, actions=action, cameras=cameras)

    def relative(self) -> RelativeActions | None:
        """What its steps take away before the policy and add again behind it. Raises `CheckpointError`."""
        widths = self.widths()
        return relative_actions(self.steps, self.published.config, states=widths.states, actions=widths.actions)

    def notes(self) -> tuple[str, ...]:
        """What to say of its steps."""
        names = {new: old.removeprefix(VISUAL) for new, old in self.steps.seen_as().items()}
        told = ", ".join(f"{new.removeprefix(VISUAL)} is the robot's {old}" for new, old in names.items())
        return (f"cameras that the model calls otherwise: {told}",) if names else ()

    def normalization(self, default: Mode) -> Normalization:
        """Of states before the policy and of actions behind it, by its steps, else by config.json.

        What neither names goes through as it is, as in LeRobot.

        Raises:
            CheckpointError: the two normalise actions differently, or a way that isn't known.
        """
        before, behind = self._modes(NORMALIZER, STEPS_FILE), self._modes(UNNORMALIZER, STEPS_BEHIND_FILE)
        state, learned = (default if before is None else self._mode(before, name) for name in ("STATE", "ACTION"))
        action = default if behind is None else self._mode(behind, "ACTION")
        epsilons = [self._number(step, "eps", 1e-8, low=0.0, high=1.0) for step in (NORMALIZER, UNNORMALIZER)]
        for name, one, other in (("by", learned, action), ("with eps", *epsilons)):
            if one != other:
                raise CheckpointError(
                    f"{self.published.folder}: actions are normalised {name} {one} in {STEPS_FILE} and turned back "
                    f"{name} {other} in {STEPS_BEHIND_FILE}; copy the original folder again"
                )
        return Normalization(state=state, action=action, epsilon=epsilons[0], turned_back_bare=True)

    def tokenizer(self, default: str) -> str:
        """Of the tokenizer's step."""
        return str(self.steps.config("tokenizer_processor").get("tokenizer_name") or default)

    def max_text_tokens(self, default: int) -> int:
        """Of the tokenizer's step, else of config.json."""
        told = self.published.get("tokenizer_max_length", default)
        return int(self._number("tokenizer_processor", "max_length", told, low=1, high=_MOST_WORDS))

    def _seen_as(self, features: Mapping[str, Any]) -> dict[str, str]:
        found = self.steps.seen_as()
        for name in features:
            if name in found.values() and name not in found:
                raise CheckpointError(
                    f"{self.published.folder}/{STEPS_FILE}: rename_map calls {name} otherwise, which the model looks "
                    "through, and nothing else becomes it"
                )
        return found

    def _modes(self, step: str, file: str) -> Mapping[str, Any] | None:
        """By kind of feature; None where nobody tells."""
        modes = self.steps.config(step).get("norm_map")
        if modes is None:
            file, modes = "config.json", self.published.config.get("normalization_mapping")
        if modes is not None and not isinstance(modes, Mapping):
            raise CheckpointError(f"{self.published.folder}/{file}: how to normalise is {modes!r}, no names and modes")
        if modes is not None and modes.get("VISUAL", "IDENTITY") != "IDENTITY":
            raise CheckpointError(f"pictures are normalised by {modes['VISUAL']}; only by IDENTITY can be loaded")
        return modes

    def _mode(self, modes: Mapping[str, Any], name: str) -> Mode:
        told = str(modes.get(name, "IDENTITY"))
        if told not in _MODES:
            raise CheckpointError(f"{name} is normalised by {told}; known are {', '.join(_MODES)}")
        return _MODES[told]

    def _number(self, step: str, name: str, default: float, *, low: float, high: float) -> float:
        told: Any = self.steps.config(step).get(name)
        value = default if told is None else told
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            file = STEPS_BEHIND_FILE if step == UNNORMALIZER else STEPS_FILE
            raise CheckpointError(
                f"{self.published.folder}/{file}: {name} of {step} is {value!r}, expected a number from {low} to {high}"
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
