"""The robot that a checkpoint is imported for: a file's, a task's, a dataset's, or what the checkpoint itself tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from dualsys.app.importing.normalization import PublishedStatistics
from dualsys.app.importing.relative import RelativeActions
from dualsys.config import describe_invalid
from dualsys.data import layout
from dualsys.data.info import DatasetInfo
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import CheckpointError, ConfigError
from dualsys.files import read_json
from dualsys.messages import FloatArray

_MARGIN = 0.05
"""Derived limits lie this share of the range beyond what the statistics show."""
_DEVIATIONS = 4.0
"""Derived limits where only mean and deviation are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """What a checkpoint tells of its robot."""

    name: str
    states: int
    actions: int
    cameras: tuple[CameraSpec, ...]
    """In the model's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Robot:
    """What is driven, and which of its cameras stand for the model's."""

    embodiment: EmbodimentSpec
    cameras: tuple[str, ...]
    """For each of the model's, in its order: the robot's camera of this name."""
    missing: tuple[str, ...]
    """Those of them that the robot doesn't have: shown black, and masked."""
    source: str
    """Where the embodiment is from."""

    @property
    def states(self) -> int:
        """Length of its state."""
        return self.embodiment.num_states

    @property
    def actions(self) -> int:
        """Length of a command."""
        return self.embodiment.num_actions


def find_robot(
    told: Widths,
    embodiment: str,
    cameras: Sequence[str],
    statistics: PublishedStatistics,
    *,
    rigid: bool,
    relative: RelativeActions | None = None,
) -> Robot:
    """The robot to import for.

    Args:
        told: By the checkpoint.
        embodiment: A JSON file, a dataset's folder or a task; empty: what the checkpoint tells.
        cameras: The robot's, for the model's first ones in order; empty: those of the same names.
        statistics: Of actions as positions, for limits that nobody knows.
        rigid: Whether the checkpoint's own widths must be the robot's; else they are at most that.
        relative: Which states are those of which actions, as far as the checkpoint tells.

    Raises:
        CheckpointError: the robot isn't one that the checkpoint can drive.
        ConfigError: there is no such embodiment, or cameras don't fit.
    """
    spec, source = (
        _embodiment(embodiment) if embodiment else (_derived(told, statistics, relative), "derived from the checkpoint")
    )
    widths, ours = (told.states, told.actions), (spec.num_states, spec.num_actions)
    if rigid and widths != ours:
        raise CheckpointError(
            f"the checkpoint's robot has {widths[0]} states and {widths[1]} actions, embodiment {spec.name!r} "
            f"{ours[0]} and {ours[1]}; leave --embodiment out, or train it for that robot"
        )
    names, missing = _cameras(told, spec, cameras)
    return Robot(embodiment=spec, cameras=names, missing=missing, source=source)


def _cameras(told: Widths, spec: EmbodimentSpec, asked: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    own = [camera.name for camera in spec.cameras]
    theirs = [camera.name for camera in told.cameras]
    if unknown := [name for name in asked if name not in own]:
        raise ConfigError(f"--cameras names {', '.join(unknown)}; {spec.name!r} has {', '.join(own) or 'none'}")
    if len(asked) > len(theirs):
        raise ConfigError(f"--cameras names {len(asked)}; the model looks through {len(theirs)}: {', '.join(theirs)}")
    chosen = list(asked) if asked else [name for name in theirs if name in own]
    if not chosen:
        raise ConfigError(
            f"the model looks through {', '.join(theirs)}, of which {spec.name!r} has none; say which of its cameras "
            f"({', '.join(own) or 'it has none'}) stand for them, in this order: --cameras NAME ..."
        )
    if asked:  # the model's others stay black, even where a robot's is called the same
        chosen += [f"{name} (left out)" if name in own else name for name in theirs[len(chosen) :]]
    names = chosen if asked else theirs
    return tuple(names), tuple(name for name in names if name not in own)


def _embodiment(asked: str) -> tuple[EmbodimentSpec, str]:
    path = Path(asked)
    if path.is_dir():
        return _of_dataset(path), f"dataset {asked}"
    if path.is_file():
        try:
            return EmbodimentSpec.model_validate(read_json(path)), f"file {asked}"
        except ValidationError as error:
            raise ConfigError(f"{path} is no embodiment: {describe_invalid(error)}") from error
    from dualsys.sim_envs import make, suite_of

    suite_of(asked)
    environment = make(asked)
    try:
        return environment.embodiment, f"task {asked}"
    finally:
        environment.close()


def _of_dataset(root: Path) -> EmbodimentSpec:
    info = DatasetInfo.read(root)
    if info.dualsys is not None:
        return info.dualsys.embodiment
    state, action = (info.features.get(name) for name in (layout.STATE, layout.ACTION))
    if state is None or action is None:
        raise ConfigError(f"dataset {root} has no {layout.STATE} or no {layout.ACTION}")
    images = layout.image_key("")
    told = Widths(
        name=info.robot_type or root.name,
        states=state.shape[0],
        actions=action.shape[0],
        cameras=tuple(
            CameraSpec(name=name.removeprefix(images), height=feature.shape[0], width=feature.shape[1])
            for name, feature in info.features.items()
            if name.startswith(images)
        ),
    )
    from dualsys.app.importing.published_statistics import read_statistics

    named = _derived(told, read_statistics(root))
    joints = tuple(
        joint.model_copy(update={"name": name})
        for joint, name in zip(named.joints, action.component_names or _names("action", told.actions), strict=True)
    )
    states = state.component_names or named.state_names
    return EmbodimentSpec.model_validate({**named.model_dump(), "joints": joints, "state_names": states})


def _derived(told: Widths, statistics: PublishedStatistics, relative: RelativeActions | None = None) -> EmbodimentSpec:
    """A robot that does what the statistics show: nobody knows its true limits, names or units (`1`)."""
    lowest, highest = _range(statistics, told.actions)
    room = np.where(highest > lowest, _MARGIN * (highest - lowest), 0.5)
    states, actions = _names("state", told.states), _names("action", told.actions)
    return EmbodimentSpec(
        name=told.name,
        joints=tuple(
            Joint(name=name, lower=float(low), upper=float(high), unit="1")
            for name, low, high in zip(actions, lowest - room, highest + room, strict=True)
        ),
        state_names=states if relative is None else relative.named(states, actions),
        cameras=told.cameras,
    )


def _range(statistics: PublishedStatistics, actions: int) -> tuple[FloatArray, FloatArray]:
    for low, high in (("min", "max"), ("q01", "q99"), ("q10", "q90")):
        one, other = statistics.of("action", low), statistics.of("action", high)
        if one is not None and other is not None and one.shape == other.shape == (actions,):
            return one, other
    mean, std = statistics.of("action", "mean"), statistics.of("action", "std")
    if mean is not None and std is not None and mean.shape == std.shape == (actions,):
        return mean - _DEVIATIONS * std, mean + _DEVIATIONS * std
    return -np.ones(actions), np.ones(actions)


def _names(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind} {index}" for index in range(count))
