"""Groups of joints with rates and horizons of their own within one chunk, and velocities that come to rest.

A chunk's rows lie on one grid, the finest. A slower group says something only in every n-th row; what stands between
is not read. Its horizon may end before the chunk's:

    row           0    1    2    3    4    5    6    7
    arms  50 Hz   a    a    a    a    a    a    a    a       8 rows
    hands 25 Hz   h    .    h    .    h    .    .    .       3 rows, on a smooth curve, then held at the third
    base  10 Hz   b    .    .    .    .    b    .    .       2 rows, each held until the next, then less and less

When a chunk is taken in, each group's own rows are spread over the whole grid (`spread`), so that whoever chooses,
blends and plays rows sees one kind of chunk. A position goes on a monotone cubic through its own rows and meets each
at its time; after the last it is held. A velocity (a joint whose unit is `rad/s` or `m/s`) keeps each row until the
next; after the last it goes to zero in a straight line, and so it does whenever nothing is played (`Coasting`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from dualsys.chunking import ROW_ROUNDING, rows_from
from dualsys.embodiment import EmbodimentSpec, JointGroup
from dualsys.errors import SpecMismatch
from dualsys.messages import FloatArray

IndexArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Member:
    """A group that isn't simply the chunk's rows."""

    spec: JointGroup
    positions: IndexArray
    """Columns `(n,)` of its positions."""
    velocities: IndexArray
    """Columns `(n,)` of its velocities."""

    def stride(self, dt_s: float) -> int | None:
        """Rows of the chunk to a row of the group's; None where that is no whole number."""
        if self.spec.rate_hz is None:
            return 1
        ratio = 1.0 / (self.spec.rate_hz * dt_s)
        whole = round(ratio)
        return whole if whole >= 1 and abs(ratio - whole) <= 1e-3 * whole else None

    def own_rows(self, horizon: int, stride: int) -> int:
        """Rows that a chunk has for the group."""
        fitting = 1 + (horizon - 1) // stride
        return fitting if self.spec.horizon is None else min(fitting, self.spec.horizon)


@final
class ActionGroups:
    """Rates and horizons of an embodiment's groups.

    Args:
        embodiment: The robot.
        velocity_decay_s: Time in which a velocity that nobody commands any more goes to zero.
    """

    def __init__(self, embodiment: EmbodimentSpec, velocity_decay_s: float) -> None:
        velocities = embodiment.velocities
        self.stepped = velocities if velocities.any() else None
        """Columns `(nu,)` that keep a row until the next, True; None where none does."""
        self._decay_s = velocity_decay_s
        order = {joint.name: index for index, joint in enumerate(embodiment.joints)}
        self._members = []
        for group in embodiment.groups:
            if group.has_its_own_time:
                columns = np.array([order[name] for name in group.joints], dtype=np.int64)
                moving = velocities[columns]
                self._members.append(_Member(spec=group, positions=columns[~moving], velocities=columns[moving]))

    def problem(self, dt_s: float) -> str | None:
        """Why chunks with rows so far apart can't be played, in words; None where they can."""
        for member in self._members:
            if member.stride(dt_s) is None:
                return (
                    f"group {member.spec.name!r} has {member.spec.rate_hz:g} rows a second, which is no whole part of "
                    f"the chunk's {1.0 / dt_s:g}: choose a chunk rate that is a multiple of every group's"
                )
        return None

    def require_rows(self, dt_s: float, *, whose: str) -> None:
        """Raise `SpecMismatch` where somebody's chunks, with rows `dt_s` apart, can't be played."""
        problem = self.problem(dt_s)
        if problem is not None:
            raise SpecMismatch(f"{whose}: {problem}")

    def spread(self, rows: FloatArray, dt_s: float) -> FloatArray:
        """Rows `(horizon, nu)` in which every group's own rows are spread over the whole grid; rows that fit."""
        if not self._members:
            return rows
        spread = rows.copy()
        for member in self._members:
            stride = member.stride(dt_s)
            assert stride is not None, "chunks that don't fit are refused"
            own = rows[::stride][: member.own_rows(len(rows), stride)]
            spread[:, member.positions] = _smooth(own[:, member.positions], stride, len(rows))
            spread[:, member.velocities] = self._stepped(own[:, member.velocities], stride, len(rows), dt_s)
        return spread

    def has_ended(self, row: float, horizon: int, dt_s: float) -> bool:
        """Whether a group's own rows have run out at a row of a chunk, while the chunk's haven't."""
        for member in self._members:
            stride = member.stride(dt_s) or 1
            last = (member.own_rows(horizon, stride) - 1) * stride
            # A velocity's last row lasts as long as any other.
            end = last if len(member.positions) else last + stride
            if row > end + ROW_ROUNDING and last + stride < horizon:
                return True
        return False

    def _stepped(self, own: FloatArray, stride: int, horizon: int, dt_s: float) -> FloatArray:
        rows = np.repeat(own, stride, axis=0)[:horizon]
        left = np.arange(1, horizon - len(rows) + 1) * dt_s
        share = np.maximum(1.0 - left / self._decay_s, 0.0) if self._decay_s > 0 else np.zeros(len(left))
        return np.concatenate([rows, share[:, None] * own[-1]])


def _smooth(own: FloatArray, stride: int, horizon: int) -> FloatArray:
    """Rows on a curve through a group's own, `stride` to each, and the last one from there on."""
    rows = np.repeat(own[-1:], horizon, axis=0)
    for part in range(stride):
        between = own if part == 0 else rows_from(own, part / stride)[: len(own) - 1]
        rows[part::stride][: len(between)] = between[: len(rows[part::stride])]
    return rows


@final
class Coasting:
    """Velocities that nobody commands any more: they go to zero in a straight line, and stay there.

    Args:
        velocities: Columns `(nu,)`, True for velocities.
        decay_s: Time from any velocity to zero.
    """

    def __init__(self, velocities: NDArray[np.bool_], decay_s: float) -> None:
        self._velocities = velocities if velocities.any() else None
        self._decay_s = decay_s
        self._since: tuple[float, FloatArray] | None = None

    def driven(self, target: FloatArray, pace: float = 1.0) -> FloatArray:
        """Target `(nu,)` while somebody commands them: slower where the motion's time goes at a pace below 1."""
        self._since = None
        return target if self._velocities is None else np.where(self._velocities, pace * target, target)

    def stop(self) -> None:
        """An episode begins."""
        self._since = None

    def apply(self, target: FloatArray, now_s: float) -> FloatArray:
        """Target `(nu,)` at a time while nobody commands; where there are no velocities, as it is."""
        if self._velocities is None:
            return target
        if self._since is None:
            self._since = (now_s, target)
        since_s, then = self._since
        left = 1.0 - (now_s - since_s) / self._decay_s if self._decay_s > 0 else 0.0
        return np.where(self._velocities, then * max(left, 0.0), target)


def chunk_rows(embodiment: EmbodimentSpec, groups: Mapping[str, FloatArray], dt_s: float) -> FloatArray:
    """Rows of a chunk `(horizon, nu)` from each group's own rows: what an actor with several rates returns.

    The chunk is as long as its longest group. One that was given fewer rows than its horizon allows stays at its last,
    velocities at zero.

    Args:
        embodiment: The robot; its groups hold every joint once.
        groups: By name, `(rows, joints of the group)`, rows as far apart as the group's rate says.
        dt_s: Time between the chunk's rows.

    Raises:
        SpecMismatch: a group is missing or unknown, has another number of joints, more rows than its horizon, or a rate
            that isn't a whole part of the chunk's.
    """
    specs = {group.name: group for group in embodiment.groups}
    if set(specs) != set(groups) or sorted(name for spec in specs.values() for name in spec.joints) != sorted(
        joint.name for joint in embodiment.joints
    ):
        raise SpecMismatch(
            f"embodiment {embodiment.name!r} has groups {sorted(specs)}, which must hold every joint once; rows were "
            f"given for {sorted(groups)}"
        )
    ActionGroups(embodiment, 0.0).require_rows(dt_s, whose=f"rows of {embodiment.name!r}")
    order = {joint.name: index for index, joint in enumerate(embodiment.joints)}
    strides = {name: 1 if spec.rate_hz is None else round(1.0 / (spec.rate_hz * dt_s)) for name, spec in specs.items()}
    for name, rows in groups.items():
        most = specs[name].horizon or math.inf
        if rows.ndim != 2 or rows.shape[1] != len(specs[name].joints) or not 1 <= len(rows) <= most:
            raise SpecMismatch(
                f"group {name!r} takes 1 to {most} rows of {len(specs[name].joints)} joints, got {rows.shape}"
            )
    horizon = max(1 + (len(rows) - 1) * strides[name] for name, rows in groups.items())
    chunk = np.zeros((horizon, embodiment.num_actions))
    for name, rows in groups.items():
        columns = [order[joint] for joint in specs[name].joints]
        repeated = np.repeat(rows, strides[name], axis=0)
        after = np.where(embodiment.velocities[columns], 0.0, rows[-1:])
        rest = np.repeat(after, max(horizon - len(repeated), 0), axis=0)
        chunk[:, columns] = np.concatenate([repeated, rest])[:horizon]
    return chunk
