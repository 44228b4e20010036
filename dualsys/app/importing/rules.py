"""From a peer's tensor names to ours by rules, failing closed: whatever no rule knows is an error, not a warning."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dualsys.errors import CheckpointError

_TOLD = 3
"""Names told of each kind of mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What becomes of the tensors whose name matches."""

    pattern: str
    """Regular expression over the whole of the peer's name."""
    name: str | None
    """Ours, with the pattern's groups as `\\1`, `\\2`; None: it isn't read."""
    place: int | None = None
    """For tensors that are joined along their first axis under one name: which of them it is."""
    change: Callable[[Tensor], Tensor] | None = None
    """What is done to the values."""


def rename(weights: Mapping[str, Tensor], rules: Sequence[Rule], *, layout: str) -> dict[str, Tensor]:
    """Weights under our names.

    Raises:
        CheckpointError: a name that no rule knows, two tensors of one name, or joined tensors that aren't complete.
    """
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    parts: dict[str, dict[int, Tensor]] = {}
    unknown = []
    for name, value in weights.items():
        match, rule = next(((m, rule) for regex, rule in compiled if (m := regex.fullmatch(name))), (None, None))
        if match is None or rule is None:
            unknown.append(name)
        elif rule.name is not None:
            places = parts.setdefault(match.expand(rule.name), {})
            place = rule.place or 0
            if place in places:
                raise CheckpointError(f"{layout}: two tensors become {match.expand(rule.name)!r}; one is {name!r}")
            places[place] = value if rule.change is None else rule.change(value)
    if unknown:
        raise CheckpointError(f"{layout}: {len(unknown)} tensors that this layout doesn't have: {_some(unknown)}")
    return {name: _joined(name, places, _counts(rules), layout) for name, places in parts.items()}


def require_fit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, where: str) -> None:
    """Check names and shapes against those of a module's state. Raises `CheckpointError` naming what differs."""
    missing, unexpected = expected.keys() - weights.keys(), weights.keys() - expected.keys()
    misshapen = [
        f"{name} {tuple(weights[name].shape)} for {tuple(expected[name].shape)}"
        for name in expected.keys() & weights.keys()
        if weights[name].shape != expected[name].shape
    ]
    told = [
        f"{len(names)} {kind}: {_some(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    ]
    if told:
        raise CheckpointError(f"weights don't fit the {where} that their configuration describes; {'; '.join(told)}")


def _counts(rules: Sequence[Rule]) -> dict[str, int]:
    """How many tensors are joined, by the template of their name."""
    counts: dict[str, int] = {}
    for rule in rules:
        if rule.name is not None and rule.place is not None:
            counts[rule.name] = max(counts.get(rule.name, 0), rule.place + 1)
    return counts


def _joined(name: str, places: Mapping[int, Tensor], counts: Mapping[str, int], layout: str) -> Tensor:
    wanted = max((count for template, count in counts.items() if _is_of(name, template)), default=1)
    if len(places) != wanted:
        raise CheckpointError(f"{layout}: {name!r} is joined from {wanted} tensors, {len(places)} are there")
    return places[0] if wanted == 1 else torch.cat([places[index] for index in range(wanted)])


def _is_of(name: str, template: str) -> bool:
    pattern = "(.+)".join(map(re.escape, re.split(r"\\\d", template)))
    return re.fullmatch(pattern, name) is not None


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_TOLD]) + (", ..." if len(ordered) > _TOLD else "")
