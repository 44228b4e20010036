"""A dataset of somebody else's, one episode at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dualsys.errors import DatasetError
from dualsys.messages import ImageArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForeignEpisode:
    """Rows of one episode, pictures left out."""

    states: NDArray[np.float32]
    """`(n, nx)`."""
    actions: NDArray[np.float32]
    """`(n, nu)`."""
    instruction: str = ""
    """Empty where the source has none."""
    success: bool | None = None
    """None where the source does not say."""


class Source(Protocol):
    """What a format's reader offers. Nothing is read before it is asked for."""

    @property
    def format(self) -> str:
        """Its name, as `--format` takes it."""
        ...

    @property
    def fps(self) -> float | None:
        """Rows a second; None where the source does not say."""
        ...

    @property
    def robot(self) -> str:
        """Name of the robot or of the suite; empty where the source does not say."""
        ...

    @property
    def state_names(self) -> tuple[str, ...]:
        """`(nx)`."""
        ...

    @property
    def action_names(self) -> tuple[str, ...]:
        """`(nu)`; an action with a state's name is that state's target."""
        ...

    @property
    def action_representation(self) -> Literal["joint", "delta", "end-effector"] | None:
        """What an action is; None where the source does not say."""
        ...

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""
        ...

    @property
    def notes(self) -> Mapping[str, Any]:
        """What reading decided, for the provenance."""
        ...

    def __len__(self) -> int:
        """Number of episodes."""
        ...

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode. Raises `DatasetError` naming the file where it is damaged."""
        ...

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Images of an episode, `(n, h, w, 3)` uint8 RGB. Raises `DatasetError`."""
        ...


def joined(parts: Mapping[str, NDArray[Any]], where: str) -> NDArray[np.float32]:
    """Columns `(n,)` or `(n, ...)` side by side, `(n, m)`. Raises `DatasetError` where their rows differ in number."""
    flat = {
        name: np.asarray(part, np.float32).reshape(len(part), math.prod(part.shape[1:])) for name, part in parts.items()
    }
    if len({len(part) for part in flat.values()}) != 1:
        raise DatasetError(
            f"{where}: columns differ in rows: {', '.join(f'{k} has {len(v)}' for k, v in flat.items())}; "
            "record or copy it again, or leave the episode out with --skip"
        )
    return np.concatenate(list(flat.values()), axis=1)


def component_names(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Names of joined columns from each one's shape without its rows: `key` for a scalar, `key_0`, `key_1` ..."""
    names: list[str] = []
    for key, shape in shapes.items():
        width = int(np.prod(shape, dtype=np.int64))
        names += [key] if not shape else [f"{key}_{i}" for i in range(width)]
    return tuple(names)


def require_keys(asked: Sequence[str], existing: Sequence[str], where: str, *, of: str = "state") -> None:
    """Raise `DatasetError` for a column that is not there, naming those that are."""
    lacking = [key for key in asked if key not in existing]
    if lacking:
        raise DatasetError(
            f"{where} has no {', '.join(lacking)}; it has {', '.join(sorted(existing)) or 'nothing'}. "
            f"Choose the {of}'s columns with --{of}-keys"
        )
