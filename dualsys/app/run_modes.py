"""Which options of `dualsys run` are read in which mode: one that is not is refused, never taken in silence."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal

from dualsys.errors import ConfigError

Mode = Literal["inline", "threads", "processes"]

_WALL_CLOCK: tuple[Mode, ...] = ("threads", "processes")

READ_IN: Mapping[str, tuple[Mode, ...]] = {
    "camera_hz": _WALL_CLOCK,
    "planner_latency_s": ("inline",),
    "actor_latency_s": ("inline",),
    "actuation_delay_s": ("inline",),
    "link": ("inline",),
    "launcher": ("processes",),
    "ray_address": ("processes",),
    "planner_standbys": ("processes",),
    "planner_life": ("processes",),
    "planner_life.max_failures": _WALL_CLOCK,
    "supervision": ("processes",),
    "realtime": _WALL_CLOCK,
    "realtime.cpu": ("processes",),
    "realtime.lock_memory": ("processes",),
    "realtime.freeze_gc": ("processes",),
}
"""Modes by option, or by a nested configuration for all in it that isn't named itself; the others are read in every
mode. `--planner-node` and `--planner-server` are refused with what else they need."""


def require_read(options: Any) -> None:
    """Raise `ConfigError` for an option that differs from its default and that `options.mode` doesn't read."""
    for field in fields(options):
        standard = field.default if field.default_factory is MISSING else field.default_factory()
        for name, value in _changed(field.name, getattr(options, field.name), standard):
            modes = _modes_of(name)
            if modes is not None and options.mode not in modes:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {value} means nothing in --mode {options.mode}: it is read in "
                    f"{' and '.join(modes)}. Leave it out, or choose --mode {modes[-1]}"
                )


def _modes_of(name: str) -> tuple[Mode, ...] | None:
    """Of the option itself, or else of what it is in; None: of every mode."""
    while name not in READ_IN and "." in name:
        name = name.rpartition(".")[0]
    return READ_IN.get(name)


def _changed(name: str, value: Any, standard: Any) -> Iterator[tuple[str, Any]]:
    """Options that differ from the standard, those of a nested configuration each by itself, with their values."""
    if not is_dataclass(value):
        if value != standard:
            yield name, value
        return
    for field in fields(value):
        yield from _changed(f"{name}.{field.name}", getattr(value, field.name), getattr(standard, field.name))
