"""Delays as data: a number, a distribution or measured values, in one word, drawn from an episode's seed.

    0.12                     always
    uniform:0.05,0.2         anywhere between the two, as likely
    normal:0.12,0.03         mean and standard deviation; what falls below 0 is drawn again
    lognormal:0.12,0.03      mean and standard deviation of the delay itself, never below 0, with a long tail upwards
    trace:FILE               measured values (`dualsys measure`), drawn with replacement
    trace-in-order:FILE      the same as they followed one another, from a place that is drawn on, round and round
    trace:FILE#SERIES        of a file with several series, one by name; without: that of the option's own name

All are seconds. A configuration keeps a delay as it was written, and so does a report.
"""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated, Protocol, final

import numpy as np
from pydantic import AfterValidator, ValidationInfo

from dualsys.latency_trace import read_series
from dualsys.messages import FloatArray

_FORMS = "a number of seconds, uniform:LOW,HIGH, normal:MEAN,STD, lognormal:MEAN,STD, trace:FILE or trace-in-order:FILE"
_TRACES = ("trace", "trace-in-order")
_WORD = 0x64656C61
"""Sets the seeds of delays apart from those of the models' noise."""


class Distribution(Protocol):
    """What delays are drawn from."""

    @property
    def least_s(self) -> float:
        """No delay is shorter."""
        ...

    @property
    def mean_s(self) -> float:
        """Their mean; of a truncated distribution, before it is truncated."""
        ...

    def values(self, rng: np.random.Generator) -> Iterator[float]:
        """One delay after another, without end."""
        ...


@final
@dataclass(frozen=True, slots=True)
class Fixed:
    """Always the same."""

    seconds: float

    @property
    def least_s(self) -> float:
        """See `Distribution`, as for all below."""
        return self.seconds

    @property
    def mean_s(self) -> float:
        """See there."""
        return self.seconds

    def values(self, rng: np.random.Generator) -> Iterator[float]:
        """See there; nothing is drawn."""
        del rng
        return repeat(self.seconds)


@final
@dataclass(frozen=True, slots=True)
class Uniform:
    """Anywhere in `[low_s, high_s)`."""

    low_s: float
    high_s: float

    @property
    def least_s(self) -> float:
        """See `Distribution`."""
        return self.low_s

    @property
    def mean_s(self) -> float:
        """See there."""
        return (self.low_s + self.high_s) / 2

    def values(self, rng: np.random.Generator) -> Iterator[float]:
        """See there."""
        while True:
            yield float(rng.uniform(self.low_s, self.high_s))


@final
@dataclass(frozen=True, slots=True)
class Normal:
    """Normal, cut off at 0."""

    mean_s: float
    std_s: float

    @property
    def least_s(self) -> float:
        """See `Distribution`."""
        return 0.0 if self.std_s > 0 else self.mean_s

    def values(self, rng: np.random.Generator) -> Iterator[float]:
        """See there. With a mean of at least 0, at least every second draw counts."""
        while True:
            drawn = float(rng.normal(self.mean_s, self.std_s))
            if drawn >= 0.0:
                yield drawn


@final
@dataclass(frozen=True, slots=True)
class LogNormal:
    """Lognormal, by the mean and standard deviation of the delay, not of its logarithm."""

    mean_s: float
    std_s: float

    @property
    def least_s(self) -> float:
        """See `Distribution`."""
        return 0.0 if self.std_s > 0 else self.mean_s

    def values(self, rng: np.random.Generator) -> Iterator[float]:
        """See there."""
        variance = math.log1p((self.std_s / self.mean_s) ** 2)
        centre = math.log(self.mean_s) - variance / 2
        while True:
            yield float(rng.lognormal(centre, math.sqrt(variance)))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured: drawn with replacement, or in order from a place that is drawn."""

    seconds: FloatArray
    in_order: bool

    @property
    def least_s(self) -> float:
        """See `Distribution`."""
        return float(self.seconds.min())

    @property
    def mean_s(self) -> float:
        """See there."""
        return float(self.seconds.mean())

    def values(self, rng: np.random.Generator) -> Iterator[float]:
        """See there."""
        count = len(self.seconds)
        place = int(rng.integers(count))
        while True:
            yield float(self.seconds[place])
            place = (place + 1) % count if self.in_order else int(rng.integers(count))


def distribution_of(written: float | str, *, series: str = "") -> Distribution:
    """What a delay is drawn from.

    Args:
        written: See the module's head.
        series: Of a trace that names none, what to look for: the option's name.

    Raises:
        ValueError: it is no delay.
        ConfigError: its trace can't be read, or lacks the series.
    """
    if not isinstance(written, str):
        return Fixed(_seconds(written))
    kind, colon, rest = written.partition(":")
    if not colon:
        return Fixed(_seconds(_number(written, written)))
    if (file := trace_file(written)) is not None:
        chosen = rest.partition("#")[2]
        return Measured(read_series(file, chosen or series), in_order=kind == "trace-in-order")
    return _of_two(kind, rest, written)


def trace_file(written: float | str) -> Path | None:
    """The file that a delay is drawn from; None where it is no trace."""
    kind, _, rest = str(written).partition(":")
    return Path(rest.partition("#")[0]) if kind in _TRACES and rest else None


def _of_two(kind: str, rest: str, written: str) -> Distribution:
    """A distribution that two numbers say."""
    numbers = [_seconds(_number(each, written)) for each in rest.split(",")]
    match kind, numbers:
        case "uniform", [low_s, high_s]:
            if low_s > high_s:
                raise ValueError("is no delay: LOW of uniform:LOW,HIGH must not be above HIGH")
            return Uniform(low_s, high_s)
        case "normal", [mean_s, std_s]:
            return Normal(mean_s, std_s)
        case "lognormal", [mean_s, std_s]:
            if mean_s == 0.0:
                raise ValueError("is no delay: the MEAN of lognormal:MEAN,STD must be above 0")
            return LogNormal(mean_s, std_s)
    raise ValueError(f"is no delay: it must be {_FORMS}")


def _number(text: str, written: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"is no delay: it must be {_FORMS}") from None


def _seconds(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    if value < 0:
        raise ValueError("must be at least 0")
    return float(value)


def _require_delay(written: float | str, info: ValidationInfo) -> float | str:
    """Refuse what is no delay. Outside a configuration nobody knows the series, and no file is read."""
    if info.field_name is not None or not str(written).startswith("trace"):
        distribution_of(written, series=info.field_name or "")
    return written


Delay = Annotated[float | str, AfterValidator(_require_delay)]
"""A field that is a delay; its value is what was written."""


def draws(seed: int, part: str) -> np.random.Generator:
    """Random numbers of an episode for one part of the timing, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence((seed, _WORD, zlib.crc32(part.encode()))))


def losses(chance: float, rng: np.random.Generator) -> Iterator[bool]:
    """Whether each of a row of things is lost, without end; nothing is drawn where nothing ever is."""
    while True:
        yield chance > 0.0 and bool(rng.random() < chance)
