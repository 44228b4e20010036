"""How a GR00T checkpoint of N1.6 or N1.7 makes its numbers ready: `processor_config.json`.

    {processor_class, processor_kwargs: {modality_configs: {TAG: {state, action, video ...}}, use_percentiles ...}}

What the file leaves out is what the arguments of NVIDIA's `Gr00tN1d6Processor` and `Gr00tN1d7Processor` are by default.
Where there is no such file, which NVIDIA's code can't do without, config.json tells, and else the version's own
configuration: N1.7 is trained on quantiles, N1.6 on smallest and largest values. N1.5 has neither file nor option.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dualsys.app.importing.family import Published
from dualsys.app.importing.groot_sight import GrootSight
from dualsys.app.importing.layouts.groot import Version
from dualsys.app.importing.normalization import Mode, Quantity
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError

FILE = "processor_config.json"
_TRAINED_ON_PERCENTILES: dict[Version, bool] = {"n1_5": False, "n1_6": False, "n1_7": True}
"""`use_percentiles` of `Gr00tN1d7Config`; the others have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrootProcessor:
    """What it says of one robot, and of all."""

    tag: str
    version: Version
    robot: Mapping[str, Any]
    """Its `modality_configs`: by quantity, the order of its parts and how each is meant."""
    percentiles: bool
    """Whether q01 and q99 become -1 and 1; else the smallest and the largest value do."""
    clip_outliers: bool
    """Whether states are kept within [-1, 1]; rows always are, on their way back."""
    relative: bool
    """Whether actions that are called relative are; else NVIDIA's code takes them for absolute."""
    sines: bool
    """Whether states that are listed as angles are told as sine and cosine; else they are plain."""
    sight: GrootSight | None
    """How pictures and words are made ready; only of N1.7."""

    @classmethod
    def read(cls, published: Published, tag: str, version: Version) -> Self:
        """Of a robot. Raises `CheckpointError` where the file can't be understood."""
        path = published.folder / FILE
        is_told = path.is_file()
        if is_told:
            told = _section(read_json(path), "processor_kwargs", path)
        else:
            told = {"use_percentiles": published.get("use_percentiles", _TRAINED_ON_PERCENTILES[version])}
        robot = _section(_section(told, "modality_configs", path), tag, path)
        for section in (told, _section(robot, "state", path)):
            _refuse(section, path)
        return cls(
            tag=tag,
            version=version,
            robot=robot,
            percentiles=_flag(told, "use_percentiles", path),
            clip_outliers=_flag(told, "clip_outliers", path, default=True),
            relative=_flag(told, "use_relative_action", path),
            sines=_flag(told, "apply_sincos_state_encoding", path),
            sight=GrootSight.read(told if is_told else None, published.config, path) if version == "n1_7" else None,
        )

    @property
    def cameras(self) -> tuple[CameraSpec, ...]:
        """In the model's order, if they are told; their sizes aren't. Raises `CheckpointError` for several moments."""
        video = self.robot.get("video") or {}
        moments = video.get("delta_indices") or [0]
        if list(moments) != [0]:
            raise CheckpointError(
                f"robot {self.tag!r} looks at pictures of {len(moments)} moments ({', '.join(map(str, moments))}); "
                "only the newest can be shown here"
            )
        return tuple(CameraSpec(name=name, height=256, width=256) for name in video.get("modality_keys") or ())

    def rows(self, horizon: int) -> int:
        """Rows of a chunk that mean something to the robot. Raises `CheckpointError` for other than the next ones."""
        moments = list((self.robot.get("action") or {}).get("delta_indices") or range(horizon))
        if len(moments) > horizon or moments != list(range(len(moments))):
            raise CheckpointError(
                f"robot {self.tag!r} is trained on rows {moments}; only the next ones, 0 to at most {horizon - 1}, can "
                "be imported"
            )
        return len(moments)

    @property
    def mode(self) -> Mode:
        """Of parts that aren't named otherwise."""
        return "quantiles" if self.percentiles else "min-max"

    @property
    def clips(self) -> frozenset[Quantity]:
        """What is kept within [-1, 1]: nothing in N1.5."""
        clipped: set[Quantity] = {"state", "action"} if self.clip_outliers else {"action"}
        return frozenset() if self.version == "n1_5" else frozenset(clipped)

    def order(self, quantity: Quantity) -> list[str]:
        """Parts of `state` or `action` as they stand behind each other; empty where it isn't told."""
        return list((self.robot.get(quantity) or {}).get("modality_keys") or ())

    def standardised(self, quantity: Quantity) -> frozenset[str]:
        """Parts of `state` or `action` that are normalised by mean and deviation, whatever the others are."""
        return frozenset((self.robot.get(quantity) or {}).get("mean_std_embedding_keys") or ())

    @property
    def relative_parts(self) -> dict[str, str]:
        """Of each part of the action that is relative to the state, the state's part."""
        action = self.robot.get("action") or {}
        told = zip(action.get("modality_keys") or (), action.get("action_configs") or (), strict=False)
        return {part: each.get("state_key") or part for part, each in told if self.relative and _is_relative(each)}

    def require_positions(self) -> None:
        """Raise `CheckpointError` where the robot's numbers are neither positions nor joints' ways from the state."""
        for action in (self.robot.get("action") or {}).get("action_configs") or ():
            rep = str(action.get("rep", "ABSOLUTE")).upper()
            if rep not in ("ABSOLUTE", "RELATIVE"):
                raise CheckpointError(
                    f"robot {self.tag!r} is trained on {rep} actions; only absolute ones, and joints' RELATIVE ones, "
                    "can be imported"
                )
            if str(action.get("type", "NON_EEF")).upper() == "EEF":
                raise CheckpointError(
                    f"robot {self.tag!r} is trained on poses of its end effector (type EEF, format "
                    f"{action.get('format')}); only positions of joints can be imported"
                )
        if self.sines and (self.robot.get("state") or {}).get("sin_cos_embedding_keys"):
            raise CheckpointError(
                f"robot {self.tag!r} is told angles as sine and cosine; only plain states can be imported"
            )


def _is_relative(action: Mapping[str, Any]) -> bool:
    return str(action.get("rep", "ABSOLUTE")).upper() == "RELATIVE"


def read_json(path: Path) -> dict[str, Any]:
    """A file of names and values. Raises `CheckpointError` where it is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} can't be understood: {error}") from error


_REFUSED = {
    "exclude_state": "its model is shown zeros for the state, which no checkpoint here says; take one that reads it",
    "use_mean_std": "NVIDIA's code saves it and doesn't read it, so how the model was trained isn't told; set it to "
    "false where it was trained on ranges, or name parts in mean_std_embedding_keys",
    "use_tactile": "nothing here senses touch; take a checkpoint without",
}
"""What can't be imported where it is true, and what to do."""


def _refuse(told: Mapping[str, Any], path: Path) -> None:
    for name, why in _REFUSED.items():
        if _flag(told, name, path):
            raise CheckpointError(f"{path}: {name} is true; {why}")


def _section(told: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    found: Any = told.get(name) or {}
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{path}: {name} is {found!r}; it should be names and values")
    return found


def _flag(told: Mapping[str, Any], name: str, path: Path, default: bool = False) -> bool:
    found: Any = told.get(name, default)
    if not isinstance(found, bool):
        raise CheckpointError(f"{path}: {name} is {found!r}; it should be true or false")
    return found
