"""A trace: delays that were measured on a machine, with the machine and the versions they were measured with.

    {"version": 1, "samples": {"planner_latency_s": [0.118, 0.121, ...], ...}, "machine": {...}, "versions": {...}}

`dualsys measure` writes one, a delay `trace:FILE` draws from it. A plain list of numbers does as well.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray

TRACE_VERSION = 1


class LatencyTrace(BaseModel):
    """What was measured, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = TRACE_VERSION
    samples: dict[str, list[float]]
    """Seconds, in the order they were measured, by what they are of."""
    source: dict[str, Any] = {}
    """What ran while it was measured."""
    machine: dict[str, Any] = {}
    """Empty where nobody knows."""
    versions: dict[str, Any] = {}

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        from dualsys.files import write_json

        write_json(path, self.model_dump())


def read_series(path: Path, series: str) -> FloatArray:
    """Delays of a trace `(n,)`, by the name of the series; of a plain list, all.

    Raises `ConfigError` where the file is no trace, lacks the series, or holds what is no delay.
    """
    value = _read(path)
    if isinstance(value, list):
        return _delays(value, f"{path}")
    try:
        trace = LatencyTrace.model_validate(value)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ConfigError(f"{path} is no trace of delays ({where}: {error.errors()[0]['msg']}); {_FIX}") from error
    if trace.version != TRACE_VERSION:
        raise ConfigError(f"{path} is a trace of version {trace.version}, this dualsys reads {TRACE_VERSION}; {_FIX}")
    if series not in trace.samples:
        raise ConfigError(f"{path}: {unknown_name('series', series, trace.samples)} Write trace:{path}#SERIES")
    return _delays(trace.samples[series], f"{path}#{series}")


_FIX = "`dualsys measure` writes one, and a list of numbers is one, too"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the trace {path} cannot be read: {error.strerror}; {_FIX}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no trace of delays ({error}); {_FIX}") from error


def _delays(values: list[Any], where: str) -> FloatArray:
    if not values:
        raise ConfigError(f"{where} holds no delay; measure for longer")
    for value in values:
        usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
        if not usable:
            raise ConfigError(f"{where}: {value!r} is no delay: a finite number of seconds, 0 and above")
    return np.array(values, dtype=np.float64)
