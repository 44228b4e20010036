"""In what form a tape keeps what a record holds: as it is, or, where no tape can, as what the core refuses likewise.

Events come from anybody's robot and models, and the core takes whatever they hold: what is no number, no vector, no
text of its kind it refuses and counts. On a tape stand floats and texts alone, so what isn't one is written as another
that is refused for the same reason: no number as NaN, no vector and no rows as one of no length.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import numpy as np

from dualsys.messages import ActionChunk, ActionPrefix, FloatArray

VECTORS = ("position", "state", "target")
ROWS = "rows"
TEXTS = ("kind", "detail", "reason", "source", "guidance", "reaction", "instruction")
NESTED: Mapping[str, type] = MappingProxyType({"chunk": ActionChunk, "prefix": ActionPrefix})
"""Fields of all records by name, whichever record they are of: what isn't named holds a number."""
NO_INTEGER = 2**62
"""In place of what is no number: larger than any that the core takes."""
_LARGEST = 2**63
"""Integers of a frame are below; long before, one is no number to the core."""


def as_number(value: Any) -> float:
    """A number as it is, NaN for what is none."""
    if type(value) is float:
        return value
    return float("nan") if _is_no_number(value) else float(value)


def as_integer(value: Any) -> Any:
    """A number as it is, a whole one as an integer; `NO_INTEGER` for what is none, or none of a size to count with."""
    if type(value) is int and -_LARGEST < value < _LARGEST:
        return value
    if _is_no_number(value):
        return NO_INTEGER
    number = float(value)
    if not abs(number) < _LARGEST:
        return NO_INTEGER
    return int(value) if number.is_integer() else number


def as_vector(value: Any) -> FloatArray:
    """A vector of floats, empty for what is none."""
    return _array(value, 1)


def as_rows(value: Any) -> FloatArray:
    """Rows of floats, of which there are none for what are none."""
    return _array(value, 2)


def as_text(value: Any) -> str:
    """A text that can be encoded; the name of its type for what is none."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else f"({type(value).__name__})"


def kept_fields(record: Any) -> dict[str, Any]:
    """The fields of a record, or of what stands in one, by name, as a tape keeps them."""
    return {field.name: _form(field.name)(getattr(record, field.name)) for field in fields(record)}


def _form(name: str) -> Callable[[Any], Any]:
    return _FORMS.get(name, as_number)


def _is_no_number(value: Any) -> bool:
    if isinstance(value, int):
        return not -_LARGEST < value < _LARGEST
    return not isinstance(value, (float, np.integer, np.floating))


def _array(value: Any, ndim: int) -> FloatArray:
    if not isinstance(value, np.ndarray) or value.ndim != ndim or value.dtype.kind not in "fiu":
        return np.empty((0,) * ndim)
    return np.asarray(value, dtype=np.float64)


def _as_nested(kind: type) -> Callable[[Any], dict[str, Any] | None]:
    return lambda value: kept_fields(value) if isinstance(value, kind) else None


_FORMS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    dict.fromkeys(VECTORS, as_vector)
    | dict.fromkeys(TEXTS, as_text)
    | dict.fromkeys(("sequence", "epoch", "request", "number", "inference_delay"), as_integer)
    | dict.fromkeys(("chunk_sequence", "subgoal_sequence", "subgoal_epoch"), as_integer)
    | {name: _as_nested(kind) for name, kind in NESTED.items()}
    | {
        ROWS: as_rows,
        "limited": list,
        "use_subgoal": bool,
        "claims": lambda value: value if isinstance(value, bool) else None,
    }
)
"""By field's name; what isn't named is a number."""
