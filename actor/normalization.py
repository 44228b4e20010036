"""Statistics that map physical units to the range models like, and back. Saved with the weights, never recomputed.

Four kinds, all of them `(values - offset) / scale` by dimension:

    mean-std    to mean 0 and deviation 1 (LeRobot's `MEAN_STD`); the usual one
    min-max     what was seen lies in [-1, 1] (LeRobot's `MIN_MAX`, GR00T)
    quantiles   the middle 98 % lies in [-1, 1], as openpi: (x - q01) / (q99 - q01 + 1e-6) * 2 - 1
    identity    as it is

Nothing is clipped, unless statistics say so (`clip`, as imported GR00T do): a value beyond what was seen lies beyond
[-1, 1], and comes back as it was. A dimension that never
moved in the data (a finger held still) would be divided by nearly nothing, so deviations and ranges are floored when
statistics are made; what an importer brings is taken as it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

from dualsys.actor.representations import positions, represented
from dualsys.data.summaries import column_statistics
from dualsys.errors import DatasetError
from dualsys.messages import FloatArray

MIN_DEVIATION = 1e-2
QUANTILE_ROOM = 1e-6
"""Added to a range between quantiles, as openpi does."""
Kind: TypeAlias = Literal["mean-std", "min-max", "quantiles", "identity"]
_ENDS: dict[Kind, tuple[str, str]] = {"min-max": ("min", "max"), "quantiles": ("q01", "q99")}
"""Names, in a dataset's `meta/stats.json`, of what becomes -1 and 1."""


class Statistics(BaseModel):
    """Of one vector quantity over a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    std: tuple[float, ...]
    kind: Kind = "mean-std"
    low: tuple[float, ...] = ()
    """What becomes -1; only for `min-max` and `quantiles`."""
    high: tuple[float, ...] = ()
    """What becomes 1."""
    clip: tuple[bool, ...] = ()
    """Dimensions whose normalised values are kept within [-1, 1], on the way there and back; empty: none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} entries, std {len(self.std)}")
        if not all(np.isfinite([*self.mean, *self.std])) or min(self.std, default=1.0) <= 0:
            raise ValueError("statistics must be finite, deviations positive")
        width = len(self.mean) if self.kind in _ENDS else 0
        if (len(self.low), len(self.high)) != (width, width):
            raise ValueError(
                f"statistics of kind {self.kind!r} need {width} entries in low and high, got {len(self.low)} and "
                f"{len(self.high)}"
            )
        if not all(np.isfinite([*self.low, *self.high])) or np.any(np.less_equal(self.high, self.low)):
            raise ValueError("low and high must be finite, and low below high")
        if len(self.clip) not in (0, len(self.mean)):
            raise ValueError(f"clip has {len(self.clip)} entries, mean {len(self.mean)}; it needs as many, or none")
        return self

    @classmethod
    def of(cls, values: FloatArray, kind: Kind = "mean-std") -> Self:
        """Of `(n, d)` values."""
        if kind in _ENDS:
            return cls.of_summary(column_statistics(values), kind)
        return cls.of_summary(
            {"mean": values.mean(axis=0, dtype=np.float64), "std": values.std(axis=0, dtype=np.float64)}, kind
        )

    @classmethod
    def of_summary(cls, summary: Mapping[str, npt.ArrayLike], kind: Kind = "mean-std") -> Self:
        """Of a dataset's own statistics: one feature of LeRobot's `meta/stats.json`, or of `dualsys.data.summaries`.

        Raises:
            DatasetError: an entry that the kind needs is missing.
        """
        needed = ("mean", "std", *_ENDS.get(kind, ()))
        missing = [name for name in needed if name not in summary]
        if missing:
            raise DatasetError(
                f"normalisation {kind!r} needs {', '.join(missing)} of the dataset's statistics, which have "
                f"{', '.join(sorted(summary)) or 'none'}; choose another kind, or make the statistics anew"
            )
        found = {name: np.asarray(summary[name], dtype=np.float64).reshape(-1) for name in needed}
        low, high = _widened(*(found[name] for name in _ENDS[kind])) if kind in _ENDS else (np.zeros(0), np.zeros(0))
        return cls(
            kind=kind,
            mean=_plain(found["mean"]),
            std=_plain(np.maximum(found["std"], MIN_DEVIATION)),
            low=_plain(low),
            high=_plain(high),
        )

    @property
    def width(self) -> int:
        """`d`."""
        return len(self.mean)

    def normalize(self, values: FloatArray) -> FloatArray:
        """Physical to normalised, over the last axis."""
        offset, scale = self._offset_and_scale()
        return self._clipped((values - offset) / scale)

    def denormalize(self, values: FloatArray) -> FloatArray:
        """Normalised to physical, over the last axis."""
        offset, scale = self._offset_and_scale()
        physical: FloatArray = self._clipped(values) * scale + offset
        return physical

    def _clipped(self, normalized: FloatArray) -> FloatArray:
        if not any(self.clip):
            return normalized
        kept: FloatArray = np.where(self.clip, np.clip(normalized, -1.0, 1.0), normalized)
        return kept

    def _offset_and_scale(self) -> tuple[FloatArray, FloatArray]:
        if self.kind == "mean-std":
            return np.array(self.mean), np.array(self.std)
        if self.kind == "identity":
            return np.zeros(self.width), np.ones(self.width)
        low, high = np.array(self.low), np.array(self.high)
        half = (high - low + (QUANTILE_ROOM if self.kind == "quantiles" else 0.0)) / 2
        return low + half, half


class ControllerStatistics(BaseModel):
    """What a checkpoint keeps: `statistics.json`; and what a row of an action says.

    A dimension that is relative is the difference to a state as the chunk begins, the same for all of its rows
    (LeRobot's and openpi's relative actions, GR00T's `RELATIVE`). It is what `action` is of, and what an expert makes;
    rows that come and go here are positions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Statistics
    action: Statistics
    relative_to: tuple[int | None, ...] = ()
    """Of each action the number of the state that its rows are relative to; None: absolute. Empty: all are."""
    action_rows: tuple[Statistics, ...] = ()
    """Of each row of a chunk apart, as GR00T's relative actions have; rows behind the last go by the last, and where it
    is empty, all by `action`."""

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        if len(self.relative_to) not in (0, self.action.width):
            raise ValueError(
                f"relative_to has {len(self.relative_to)} entries for {self.action.width} actions; it needs as many, "
                "or none"
            )
        if unknown := [each for each in self.relative_to if each is not None and not 0 <= each < self.state.width]:
            raise ValueError(f"relative_to names state {unknown[0]}; there are states 0 to {self.state.width - 1}")
        if wrong := [each.width for each in self.action_rows if each.width != self.action.width]:
            raise ValueError(f"action_rows are of {wrong[0]} actions, action is of {self.action.width}")
        return self

    @property
    def is_relative(self) -> bool:
        """Whether any action is."""
        return any(each is not None for each in self.relative_to)

    def rows_normalized(self, rows_AU: FloatArray, state_X: FloatArray) -> FloatArray:
        """Positions `(..., A, U)` of chunks that begin at states `(..., X)`, as an expert makes them."""
        if self.is_relative:
            rows_AU = represented(rows_AU, self._origin(state_X), "delta", self._is_relative_U)
        if not self.action_rows:
            return self.action.normalize(rows_AU)
        each = [own.normalize(rows_AU[..., row, :]) for row, own in self._of_rows(rows_AU)]
        return np.stack(each, axis=-2)

    def rows_denormalized(self, rows_AU: FloatArray, state_X: FloatArray) -> FloatArray:
        """The inverse of `rows_normalized`: positions, whatever they are relative to."""
        if self.action_rows:
            each = [own.denormalize(rows_AU[..., row, :]) for row, own in self._of_rows(rows_AU)]
            physical_AU: FloatArray = np.stack(each, axis=-2)
        else:
            physical_AU = self.action.denormalize(rows_AU)
        if not self.is_relative:
            return physical_AU
        return positions(physical_AU, self._origin(state_X), "delta", self._is_relative_U)

    def carried(self, state_X: FloatArray, moved_X: FloatArray, way_U: FloatArray) -> FloatArray:
        """A state after a motion `way_U`: as `moved_X`, but for what actions are relative to, which moved with them.

        Robots that nobody has named the states of are moved by this alone.
        """
        after_X = np.array(moved_X)
        for action, state in enumerate(self.relative_to):
            if state is not None:
                after_X[state] = state_X[state] + way_U[action]
        return after_X

    def normalized(self, states_NX: FloatArray, actions_NAU: FloatArray) -> "Normalized":
        """A training batch in the range that models like; rows are positions of chunks that begin at the states."""
        return Normalized(
            self.state.normalize(states_NX).astype(np.float32),
            self.rows_normalized(actions_NAU, states_NX).astype(np.float32),
        )

    @property
    def _is_relative_U(self) -> npt.NDArray[np.bool_]:
        return np.array([each is not None for each in self.relative_to], dtype=np.bool_)

    def _origin(self, state_X: FloatArray) -> FloatArray:
        """What each action is relative to `(..., U)`; any number where it is to nothing."""
        origin: FloatArray = np.asarray(state_X)[..., [each or 0 for each in self.relative_to]]
        return origin

    def _of_rows(self, rows_AU: FloatArray) -> Iterator[tuple[int, Statistics]]:
        last = len(self.action_rows) - 1
        return ((row, self.action_rows[min(row, last)]) for row in range(rows_AU.shape[-2]))


class StatisticsByRobot(BaseModel):
    """What a checkpoint of several robots keeps as `statistics.json`: each robot's own, by name, in their order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    robots: dict[str, ControllerStatistics]

    def normalized(
        self, states_NX: FloatArray, actions_NAU: FloatArray, robot_N: npt.NDArray[np.int64]
    ) -> "Normalized":
        """A training batch of several robots, each scaled by its own; padded places are zero and don't count.

        Args:
            states_NX: Padded behind to the widest robot.
            actions_NAU: The same.
            robot_N: Number of the robot that each sample is of.
        """
        states, actions = np.zeros_like(states_NX, np.float32), np.zeros_like(actions_NAU, np.float32)
        counts_NU = np.zeros((len(actions), actions.shape[-1]), dtype=bool)
        for number, own in enumerate(self.robots.values()):
            mine = robot_N == number
            part = own.normalized(states_NX[mine, : own.state.width], actions_NAU[mine, :, : own.action.width])
            states[mine, : own.state.width] = part.states_NX
            actions[mine, :, : own.action.width] = part.actions_NAU
            counts_NU[mine, : own.action.width] = True
        return Normalized(states, actions, counts_NU)


class Normalized(NamedTuple):
    """States and rows of a training batch, scaled, float32."""

    states_NX: npt.NDArray[np.float32]
    actions_NAU: npt.NDArray[np.float32]
    counts_NU: npt.NDArray[np.bool_] | None = None
    """False where a row is padding; None: nowhere."""


def _widened(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ends at least two `MIN_DEVIATION` apart, about the same middle."""
    middle, half = (low + high) / 2, (high - low) / 2
    narrow = half < MIN_DEVIATION
    return np.where(narrow, middle - MIN_DEVIATION, low), np.where(narrow, middle + MIN_DEVIATION, high)


def _plain(values: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(map(float, values))
