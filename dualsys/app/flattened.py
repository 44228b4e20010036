"""Nested options as one level of dotted names, as differences between two of them are told."""

from collections.abc import Mapping
from typing import Any


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"core": {"actor_hz": 10}}` as `{"core.actor_hz": 10}`; lists stay values, as what is empty does."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{inner}": each for inner, each in flattened(value).items()}
        else:
            flat[name] = value
    return flat
