"""Numbers that configurations take, by what they must be."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, WrapValidator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Chance = Annotated[float, Field(ge=0, lt=1)]
"""That something happens; 1 would be always, and nothing would ever come."""


class UsualHz(float):
    """A rate that stands where nobody chose one: what else says a rate, such as a benchmark's protocol, may replace it.

    The same number that somebody chose is a plain one, and stays.
    """


def _as_it_came(value: Any, check: Callable[[Any], float]) -> float:
    checked = check(value)
    return value if isinstance(value, UsualHz) else checked


ChosenHz = Annotated[Positive, WrapValidator(_as_it_came)]
"""A rate of which is known whether anybody chose it (`UsualHz`)."""
