"""From a peer's tensor names to ours by rules, failing closed: whatever no rule knows is an error, not a warning."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from dualsys.errors import CheckpointError, some_of

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


class Piece(NamedTuple):
    """One of the tensors that one of ours is made of."""

    source: str
    """Its name in the peer's file."""
    change: Callable[[Tensor], Tensor] | None


Recipe: TypeAlias = tuple[Piece, ...]
"""What one tensor of ours is made of, joined along the first axis."""
Recipes: TypeAlias = dict[str, Recipe]
"""By our names."""


class Halves(NamedTuple):
    """How both modules' tensors are made of a peer's, and which of the peer's nobody reads."""

    planner: Recipes
    actor: Recipes

    def of(self, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Planner's and actor's tensors, made."""
        return make_all(self.planner, weights), make_all(self.actor, weights)

    @property
    def read(self) -> set[str]:
        """Names in the peer's file that something is made of."""
        return {piece.source for half in self for recipe in half.values() for piece in recipe}


def make(recipe: Recipe, weights: Mapping[str, Tensor]) -> Tensor:
    """One tensor of ours."""
    parts = [weights[piece.source] if piece.change is None else piece.change(weights[piece.source]) for piece in recipe]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def make_all(recipes: Recipes, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor of a module."""
    return {name: make(recipe, weights) for name, recipe in recipes.items()}


def find_recipes(names: Mapping[str, str], rules: Sequence[Rule], *, layout: str) -> Recipes:
    """How ours are made.

    Args:
        names: From a name as the rules know it to the name in the peer's file.
        rules: The first that matches a name decides.
        layout: Named in errors.

    Raises:
        CheckpointError: a name that no rule knows, two tensors of one name, or joined tensors that aren't complete.
    """
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    parts: dict[str, dict[int, Piece]] = {}
    unknown = []
    for name, source in names.items():
        match, rule = next(((m, rule) for regex, rule in compiled if (m := regex.fullmatch(name))), (None, None))
        if match is None or rule is None:
            unknown.append(name)
        elif rule.name is not None:
            places = parts.setdefault(match.expand(rule.name), {})
            place = rule.place or 0
            if place in places:
                raise CheckpointError(f"{layout}: two tensors become {match.expand(rule.name)!r}; one is {name!r}")
            places[place] = Piece(source, rule.change)
    if unknown:
        raise CheckpointError(f"{layout}: {len(unknown)} tensors that this layout doesn't have: {_some(unknown)}")
    return {name: _joined(name, places, _counts(rules), layout) for name, places in parts.items()}


def without_prefix(names: Iterable[str], prefix: str) -> dict[str, str]:
    """From each name without a prefix to the name as it is. Raises `CheckpointError` where two become one."""
    found: dict[str, str] = {}
    for name in names:
        short = name.removeprefix(prefix)
        if short in found:
            raise CheckpointError(f"{name!r} and {found[short]!r} are one tensor under two names")
        found[short] = name
    return found


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


def _joined(name: str, places: Mapping[int, Piece], counts: Mapping[str, int], layout: str) -> Recipe:
    wanted = max((count for template, count in counts.items() if _is_of(name, template)), default=1)
    if len(places) != wanted:
        raise CheckpointError(f"{layout}: {name!r} is joined from {wanted} tensors, {len(places)} are there")
    return tuple(places[index] for index in range(wanted))


def _is_of(name: str, template: str) -> bool:
    pattern = "(.+)".join(map(re.escape, re.split(r"\\\d", template)))
    return re.fullmatch(pattern, name) is not None


def _some(names: Iterable[str]) -> str:
    return some_of(sorted(names), _TOLD)
