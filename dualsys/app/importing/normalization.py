"""Published statistics as ours: mean-std, min-max and quantiles are each an offset and a scale a dimension.

    mode         normalised value                        who
    mean-std     (x - mean) / (std + eps)                pi0, SmolVLA; turned back without eps in LeRobot
    quantiles    2 (x - q01) / (q99 - q01 + eps) - 1     pi0.5; GR00T N1.7, without eps and never moved as above
    min-max      2 (x - min) / (max - min) - 1           GR00T N1.5, N1.6; a dimension that never moved is 0
    identity     x

In GR00T each part of a quantity may have its own; a part by mean and deviation that never moved is as it is.
`eps` is the publisher's: 1e-8 in LeRobot, 1e-6 in openpi. Statistics that are missing, not finite, or kept under a name
that matches nothing are errors: a policy that is fed unnormalised numbers moves, and moves wrongly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.app.importing.relative import RelativeActions
from dualsys.errors import CheckpointError, some_of
from dualsys.messages import FloatArray

Mode: TypeAlias = Literal["mean-std", "min-max", "quantiles", "quantiles-10", "identity"]
Quantity: TypeAlias = Literal["state", "action"]
_NEEDS: dict[Mode, tuple[str, str]] = {
    "mean-std": ("mean", "std"),
    "min-max": ("min", "max"),
    "quantiles": ("q01", "q99"),
    "quantiles-10": ("q10", "q90"),
}
_RANGES = frozenset({"min-max", "quantiles", "quantiles-10"})
STANDSTILL = 1e-6
"""A scale not above this is of a dimension that never moved in the data."""
_STILL = 1e-8
"""Scale of an action that never moved in the data."""
_DEAF = 1e12
"""Scale of a state that is to be 0 whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedStatistics:
    """What a checkpoint, or a dataset, tells about state and action."""

    numbers: Mapping[str, FloatArray]
    """By quantity and kind, such as `state.mean`."""
    unmatched: tuple[str, ...] = ()
    """Names of statistics that are of neither."""
    where: str
    """What they were read from."""

    def of(self, quantity: Quantity, kind: str) -> FloatArray | None:
        """One kind, `(n,)`, or None."""
        return self.numbers.get(f"{quantity}.{kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of a quantity's numbers, one behind the other."""

    name: str
    width: int
    mode: Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """How a publisher normalises."""

    state: Mode
    action: Mode
    epsilon: float
    """Added to a deviation; a range of nothing becomes this, or, `always_added`, has it added as any other."""
    always_added: bool = False
    """Whether it is added to every range (openpi), or stands for those of nothing (LeRobot)."""
    turned_back_bare: bool = False
    """Whether actions are turned back by their deviation alone, nothing added (LeRobot)."""
    flat_is_zero: bool = False
    """Whether a state that never moved in the data is 0 whatever it is now (GR00T, by NumPy's `isclose`)."""
    clips: frozenset[Quantity] = frozenset()
    """Of which normalised values are kept within [-1, 1] where they are of a range (GR00T N1.6, N1.7)."""
    parts: Mapping[Quantity, tuple[Part, ...]] = field(default_factory=dict)
    """Of quantities whose parts aren't all normalised alike, the parts in order (GR00T)."""

    def told(self, quantity: Quantity) -> str:
        """In words."""
        if quantity not in self.parts:
            return self.state if quantity == "state" else self.action
        return ", ".join(f"{part.name} {part.mode}" for part in self.parts[quantity])

    def modes(self, quantity: Quantity, width: int) -> tuple[Mode, ...]:
        """Of each number. Raises `CheckpointError` where the parts have another width than the robot."""
        if quantity not in self.parts:
            return (self.state if quantity == "state" else self.action,) * width
        found = tuple(part.mode for part in self.parts[quantity] for _ in range(part.width))
        if len(found) != width:
            raise CheckpointError(
                f"parts of the {quantity} ({self.told(quantity)}) have {len(found)} numbers, the robot has {width}"
            )
        return found


def convert(
    published: PublishedStatistics,
    how: Normalization,
    *,
    states: int,
    actions: int,
    relative: RelativeActions | None = None,
) -> ControllerStatistics:
    """Statistics of ours, for a robot of so many states and actions, of which some may be relative.

    Raises:
        CheckpointError: what is needed is missing, of another width, not finite, or falls under no known name.
    """
    state = _converted(published, "state", states, how)
    if relative is not None and len(relative.to) != actions:
        raise CheckpointError(
            f"the checkpoint tells of {len(relative.to)} actions whether they are relative to the state, the robot has "
            f"{actions}"
        )
    told = [published] if relative is None else [_of(published, row) for row in relative.rows_of(published.numbers)]
    rows = tuple(_converted(each, "action", actions, how) for each in told)
    if published.unmatched and "identity" not in (how.state, how.action):
        raise CheckpointError(_unmatched(published))
    return ControllerStatistics(
        state=state,
        action=rows[0],
        relative_to=() if relative is None else relative.to,
        action_rows=rows if len(rows) > 1 else (),
    )


def positions_of(published: PublishedStatistics, relative: RelativeActions | None) -> PublishedStatistics:
    """The same, actions' statistics those of positions."""
    return published if relative is None else _of(published, relative.positions(published.numbers))


def _of(published: PublishedStatistics, numbers: Mapping[str, FloatArray]) -> PublishedStatistics:
    return replace(published, numbers=numbers)


def _converted(published: PublishedStatistics, quantity: Quantity, width: int, how: Normalization) -> Statistics:
    modes = np.array(how.modes(quantity, width))
    offset, scale = np.zeros(width), np.ones(width)
    for mode in sorted(set(how.modes(quantity, width))):
        here = modes == mode
        offset[here], scale[here] = _scaled(published, quantity, mode, here, how)
    clip = tuple(bool(mode in _RANGES) for mode in modes) if quantity in how.clips else ()
    return Statistics(mean=tuple(map(float, offset)), std=tuple(map(float, scale)), clip=clip)


def _scaled(
    published: PublishedStatistics, quantity: Quantity, mode: Mode, here: NDArray[np.bool_], how: Normalization
) -> tuple[FloatArray, FloatArray]:
    """Offset and scale of those numbers that are of this mode, told by `here` of all."""
    if mode == "identity":
        return np.zeros(here.sum()), np.ones(here.sum())
    one, other = (_required(published, quantity, kind, len(here), mode)[here] for kind in _NEEDS[mode])
    if mode == "mean-std":
        if (other < 0).any():
            raise CheckpointError(f"{published.where}: a deviation of the {quantity} is negative")
        if how.flat_is_zero:
            return np.where(other == 0, 0.0, one), np.where(other == 0, 1.0, other)
        if how.turned_back_bare and quantity == "action":
            return one, np.where(other == 0, _STILL, other)
        return one, other + how.epsilon
    span = other - one
    if (span < 0).any():
        raise CheckpointError(
            f"{published.where}: {' and '.join(_NEEDS[mode])} of the {quantity} are the wrong way round"
        )
    scale = (span + how.epsilon if how.always_added else np.where(span == 0, how.epsilon, span)) / 2
    offset = one + scale
    if how.flat_is_zero:
        flat = np.isclose(other, one)
        offset = np.where(flat, one, offset)
        scale = np.where(flat, _DEAF if quantity == "state" else how.epsilon, scale)
    return offset, scale


def _required(published: PublishedStatistics, quantity: Quantity, kind: str, width: int, mode: Mode) -> FloatArray:
    found = published.of(quantity, kind)
    if found is None:
        if published.unmatched:
            raise CheckpointError(_unmatched(published))
        there = ", ".join(sorted(published.numbers)) or "none"
        raise CheckpointError(
            f"{published.where}: no statistics {quantity}.{kind}, which {mode} normalisation needs; there: {there}. "
            "Give those of the data that it is to run on: --statistics FILE or DATASET"
        )
    if found.shape != (width,):
        raise CheckpointError(
            f"{published.where}: {quantity}.{kind} has {found.size} numbers, the robot has {width} {quantity}s. Give "
            "those of data of this robot: --statistics DATASET; or leave --embodiment out, for the checkpoint's own"
        )
    if not np.isfinite(found).all():
        raise CheckpointError(
            f"{published.where}: {quantity}.{kind} is not finite, so it was never filled in. Give statistics of the "
            "data that it is to run on: --statistics FILE or DATASET"
        )
    return found


def _unmatched(published: PublishedStatistics) -> str:
    names = published.unmatched
    prefixes = {name.split("action")[0].split("observation")[0] for name in names} - {"", *names}
    hint = f" If that is your robot: --statistics-prefix {' or '.join(sorted(prefixes))}" if prefixes else ""
    return (
        f"{published.where}: {len(names)} statistics are under names that match no state or action of this policy: "
        f"{some_of(names, 3)}; its authors' code would pass numbers through unnormalised.{hint} Else: --statistics "
        "FILE or DATASET"
    )
