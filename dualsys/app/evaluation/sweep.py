"""A sweep: the same episodes again and again, with one delay or rate changed from one evaluation to the next."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dualsys.app.evaluation.config import TIMING_OPTIONS, EvalConfig
from dualsys.app.evaluation.frozen import usual_timing
from dualsys.config import describe_invalid, parse_values
from dualsys.delays import distribution_of
from dualsys.errors import ConfigError, unknown_name
from dualsys.timing import LinkConfig

FROZEN = "frozen-world"

SWEPT = (
    *(name for name in TIMING_OPTIONS if name not in ("link", "world")),
    *(f"link.{each.name}" for each in fields(LinkConfig)),
    "core.actor_hz",
)
"""Options that can be swept over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPoint:
    """One evaluation of a sweep."""

    label: str
    """Names it in files and tables: the value as it was written, or `frozen-world`."""
    value: float | str | None
    place: float | None
    """Where it stands on a curve: the value, or the mean of what it is drawn from. None: the frozen world."""
    config: EvalConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What is changed, and to what."""

    option: str
    """Such as `planner_latency_s` or `link.subgoal_drop`."""
    points: tuple[SweepPoint, ...]

    @classmethod
    def of(cls, config: EvalConfig) -> "Sweep":
        """The evaluations that `config.sweep` asks for. Raises `ConfigError` for what can't be swept, or not so."""
        option, values = _parse(config.sweep)
        _require_effect(config, option)
        here: dict[str, Any] = {"sweep": "", "sweep_frozen_world": False, "json": None, "resume": False}
        plain = replace(config, **here, execution_horizon=_rows_of(config))
        points = [_point(plain, option, text) for text in values]
        if config.sweep_frozen_world:
            rows = config.execution_horizon
            frozen = replace(plain, world="frozen", execution_horizon=rows, **usual_timing(plain))
            points.append(SweepPoint(label=FROZEN, value=None, place=None, config=_with_videos(frozen, FROZEN)))
        return cls(option=option, points=tuple(points))


def point_file(json: Path, point: SweepPoint) -> Path:
    """Where a point's own report goes: `touch.json` has `touch.0.1.json` beside it, for the value 0.1."""
    return json.with_name(f"{json.stem}.{_as_name(point.label)}.json")


def _parse(written: str) -> tuple[str, list[str]]:
    option, equals, rest = written.partition("=")
    option = option.strip().removeprefix("--").replace("-", "_")
    values = [text.strip() for text in rest.split(";" if ";" in rest or ":" in rest else ",")]
    if not equals or not all(values):
        raise ConfigError(f"--sweep {written}: write OPTION=VALUE,VALUE,..., such as planner-latency-s=0,0.1,0.2")
    if option not in SWEPT:
        raise ConfigError(f"--sweep: {unknown_name('option', option, SWEPT)}")
    if "," in rest.partition(":")[0] and ";" not in rest and ":" in rest:
        raise ConfigError(f"--sweep {written}: between values with commas of their own stands a semicolon")
    if len(set(values)) != len(values):
        raise ConfigError(f"--sweep {written} has a value twice")
    if len(set(map(_as_name, values))) != len(values):
        raise ConfigError(f"--sweep {written}: two values' results would have one file's name; rename their traces")
    return option, values


def _require_effect(config: EvalConfig, option: str) -> None:
    """A curve that must be flat says nothing: raise `ConfigError` for what has no effect here."""
    if config.world == "frozen" and option != "execution_horizon":
        raise ConfigError(
            f"--sweep {_dashed(option)}: in a frozen world nothing but execution-horizon has an effect. Leave --world "
            "frozen out; --sweep-frozen-world has it as one more point"
        )
    if config.policy and option.startswith(("planner_", "link.")):
        raise ConfigError(
            f"--sweep {_dashed(option)}: a --policy has no planner of ours; what it takes is actor-latency-s"
        )


def _dashed(option: str) -> str:
    """As it is written on the command line."""
    return option.replace("_", "-")


def _point(plain: EvalConfig, option: str, text: str) -> SweepPoint:
    outer, _, inner = option.rpartition(".")
    try:
        written: Any = json.loads(text)
    except ValueError:
        written = text
    whole: Any = getattr(plain, outer) if outer else plain
    parsed = parse_values(type(whole), {inner: written}, where="--sweep")
    value = parsed[inner]
    if value is None:
        raise ConfigError(f"--sweep {_dashed(option)}={text}: give a number, or what it is drawn from")
    changed = {outer: _changed(whole, parsed, outer)} if outer else parsed
    config = _with_videos(replace(plain, **changed), text)  # refuses the value with the option's name
    return SweepPoint(label=text, value=value, place=distribution_of(value, series=inner).mean_s, config=config)


def _changed(whole: Any, values: dict[str, Any], outer: str) -> Any:
    """A nested configuration with another value. Raises `ConfigError` where that means nothing."""
    try:
        return replace(whole, **values)
    except ValidationError as error:
        raise ConfigError(describe_invalid(error, flags=f"--{outer}.")) from error


def _rows_of(config: EvalConfig) -> int | None:
    """Rows executed at the points of the sweep: those where the world moves have none."""
    return config.execution_horizon if config.world == "frozen" else None


def _with_videos(config: EvalConfig, label: str) -> EvalConfig:
    return config if config.video_dir is None else replace(config, video_dir=config.video_dir / _as_name(label))


def _as_name(label: str) -> str:
    """A value as part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in label)
