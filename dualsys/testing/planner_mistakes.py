"""Which mistake a planner makes, where its subgoal isn't the recorded one: the usual ones are told by what they leave.

mistake                          what it leaves
embeddings scaled otherwise      tokens right up to one factor; or the first layer's keys right and later ones not,
since norms hide a factor from the first layer
picture or words read otherwise  the right subgoal for a changed observation
mask inverted                    the mask's opposite
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dualsys.messages import LatentSubgoal, Observation
from dualsys.testing.examples import Numbers, PlannerExample, all_near, farthest, near

_FACTORS = 0.05
"""Share by which a factor is told from 1."""


def planner_mistake(planner: Any, example: PlannerExample, found: LatentSubgoal, tolerance: float) -> str | None:
    """What is wrong with a subgoal, in words; None: it is near the recorded one."""
    expected = example.subgoal
    if (wrong := _mask_mistake(found, expected)) is not None:
        return wrong
    ours, theirs = _arrays(found, expected), _arrays(expected, expected)
    if all_near(ours, theirs, tolerance):
        return None
    told = [
        _read_otherwise(planner, example, tolerance),
        _factor(found, expected, tolerance),
        _hidden_factor(found, expected, tolerance),
    ]
    worst = next(pair for pair in zip(ours, theirs, strict=True) if not near(*pair, tolerance))
    return next((each for each in told if each is not None), None) or f"it gave {farthest(*worst)}"


def _mask_mistake(found: LatentSubgoal, expected: LatentSubgoal) -> str | None:
    ours, theirs = _mask(found), _mask(expected)
    if ours.shape != theirs.shape:
        return f"its mask has {ours.size} tokens, expected are {theirs.size}"
    if np.array_equal(ours, theirs):
        return None
    if np.array_equal(ours, ~theirs):
        return "its mask is the wrong way round: True is for tokens that count"
    return f"its mask is another at {int((ours != theirs).sum())} of {ours.size} tokens: padding counts, or words don't"


def _read_otherwise(planner: Any, example: PlannerExample, tolerance: float) -> str | None:
    theirs = _arrays(example.subgoal, example.subgoal)
    for mistake, change in _READINGS.items():
        changed = change(example.observation)
        if changed is None:
            continue
        found = planner.plan(changed)
        if np.array_equal(_mask(found), _mask(example.subgoal)) and all_near(
            _arrays(found, example.subgoal), theirs, tolerance
        ):
            return mistake
    return None


def _factor(found: LatentSubgoal, expected: LatentSubgoal, tolerance: float) -> str | None:
    counts = _mask(expected)
    ours, theirs = found.tokens[counts].astype(np.float64), expected.tokens[counts].astype(np.float64)
    size = float((theirs * theirs).sum())
    if ours.shape != theirs.shape or size == 0.0:
        return None
    factor = float((ours * theirs).sum()) / size
    if factor <= 0 or abs(factor - 1) < _FACTORS or not near(ours / factor, theirs, tolerance):
        return None
    root = math.sqrt(theirs.shape[1])
    twice = any(abs(factor / expectable - 1) < _FACTORS for expectable in (root, 1 / root))
    why = (
        f"the root of their width is {root:.4g}: they are scaled twice, or not at all" if twice else "scaled otherwise"
    )
    return f"its tokens are {factor:.4g} times what is expected; {why}"


def _hidden_factor(found: LatentSubgoal, expected: LatentSubgoal, tolerance: float) -> str | None:
    """The norm before the first layer's projections takes a factor of the embeddings away; the sum behind doesn't."""
    counts = _mask(expected)
    pairs = [
        (ours[:, :, counts], theirs[:, :, counts])
        for ours, theirs in ((found.keys, expected.keys), (found.values, expected.values))
        if ours is not None and theirs is not None and ours.shape == theirs.shape
    ]
    if not pairs or not all(near(ours[0], theirs[0], tolerance) for ours, theirs in pairs):
        return None
    layers = len(pairs[0][0])
    right = [all(near(ours[layer], theirs[layer], tolerance) for ours, theirs in pairs) for layer in range(layers)]
    if all(right):
        return None
    return (
        f"its keys and values are right in layer 0 and wrong from layer {right.index(False)} on: embeddings of images "
        "or words are scaled twice, or not at all (norms hide a factor from the first layer alone)"
    )


def _mask(subgoal: LatentSubgoal) -> Numbers:
    return np.ones(len(subgoal.tokens), dtype=np.bool_) if subgoal.mask is None else subgoal.mask


def _arrays(subgoal: LatentSubgoal, counted_by: LatentSubgoal) -> list[Numbers]:
    counts = _mask(counted_by)
    prefix = [array[:, :, counts] for array in (subgoal.keys, subgoal.values) if array is not None]
    return [subgoal.tokens[counts], *prefix]


def _seen(change: Callable[[Numbers], Numbers]) -> Callable[[Observation], Observation | None]:
    def changed(observation: Observation) -> Observation | None:
        images: Mapping[str, Any] = observation.images
        if not images:
            return None
        return replace(observation, images={name: np.ascontiguousarray(change(images[name])) for name in images})

    return changed


def _said(change: Callable[[str], str]) -> Callable[[Observation], Observation | None]:
    def changed(observation: Observation) -> Observation | None:
        words = change(observation.instruction)
        return None if words == observation.instruction else replace(observation, instruction=words)

    return changed


def _in_turn(observation: Observation) -> Observation | None:
    names = list(observation.images)
    shapes = {observation.images[name].shape for name in names}
    if len(names) < 2 or len(shapes) != 1:
        return None
    turned = [*names[1:], names[0]]
    return replace(
        observation, images={name: observation.images[other] for name, other in zip(names, turned, strict=True)}
    )


_READINGS: dict[str, Callable[[Observation], Observation | None]] = {
    "it reads pictures as BGR; they are RGB": _seen(lambda image: image[..., ::-1]),
    "it reads pictures upside down": _seen(lambda image: image[::-1]),
    "it reads pictures mirrored": _seen(lambda image: image[:, ::-1]),
    "it takes its cameras in another order": _in_turn,
    "its prompt lacks the newline behind the instruction": _said(lambda words: f"{words}\n"),
    "its prompt keeps capital letters that the recorded one doesn't": _said(str.lower),
}
"""By the mistake: an observation for which such a planner gives the right subgoal."""
