"""Which mistake an actor makes: what its mask leaves out must not count, and rows must be the recorded ones.

mistake                          what it leaves
flow time in the wrong direction rows on the other side of where sampling began
statistics                       each joint right up to a scale and an offset
joints in another order          the same columns, permuted
rows in another order            the same rows, late or early by one, or reversed
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.messages import FloatArray, LatentSubgoal, Observation
from dualsys.testing.conditions import require
from dualsys.testing.examples import ActorExample, farthest, near

LEAK = 1e-3
"""What padding may change in a row, and as much again for each unit of a larger number: float32, not a leak."""
_OPPOSITE = -0.5
"""Cosine of two ways from the start below which one goes back."""
_BEHIND = "behind the others"
_LENGTH = (
    "the mask is taken for a length, or for a first and a last token: any of them may be left out, such as those of a "
    "camera that is missing"
)


def check_mask(actor: Any, observation: Observation, name: str, seed: int) -> None:
    """Tokens that a subgoal's mask leaves out must change nothing, wherever they are. Raises `NotConforming`."""
    spec = actor.subgoal_spec
    if spec.num_tokens < 2:
        return
    rng = np.random.default_rng(seed)
    told, other = (spec.fake_subgoal(rng, stamp_s=observation.stamp_s - 0.1) for _ in range(2))
    leaks, inverted = {}, True
    for where, counts in _masks(spec.num_tokens).items():
        masked = replace(told, mask=counts)
        rows = _rows(actor, observation, masked, seed)
        padded, valid = (_rows(actor, observation, _mixed(masked, other, kept), seed) for kept in (counts, ~counts))
        if not near(padded, rows, LEAK):
            leaks[where] = float(np.abs(padded - rows).max())
        inverted &= where in leaks and near(valid, rows, LEAK)
    if not leaks:
        return
    require(not inverted, f"{name}.act() reads a subgoal's mask the wrong way round: True is for tokens that count")
    where, changed = next(iter(leaks.items()))
    require(
        False,
        f"{name}.act() reads tokens that the subgoal's mask leaves out {where}: padding leaks into its actions, by up "
        f"to {changed:.2g}; {'the mask is ignored somewhere' if where == _BEHIND else _LENGTH}",
    )


def _masks(num_tokens: int) -> dict[str, NDArray[np.bool_]]:
    """By where they leave tokens out: padding, what a missing camera leaves, and padding on the left."""
    places, half = np.arange(num_tokens), (num_tokens + 1) // 2
    masks = {_BEHIND: places < half, "between others": places % 2 == 0, "before the others": places >= half}
    return masks if num_tokens > 2 else {key: masks[key] for key in (_BEHIND, "before the others")}


def actor_mistake(example: ActorExample, found: FloatArray, tolerance: float) -> str | None:
    """What is wrong with rows, in words; None: they are near the recorded ones."""
    found, expected = (np.asarray(rows, dtype=np.float64) for rows in (found, example.rows))
    if near(found, expected, tolerance):
        return None
    if found.shape != expected.shape:
        return f"it gave rows {found.shape}, recorded are {expected.shape}"
    if not np.isfinite(found).all():
        return "it gave rows that are not finite"
    told = [
        _direction(example, found, expected),
        _joints(found, expected, tolerance),
        _order(found, expected, tolerance),
        _statistics(found, expected, tolerance),
    ]
    return next((each for each in told if each is not None), None) or f"it gave {farthest(found, expected)}"


def _mixed(kept: LatentSubgoal, other: LatentSubgoal, counts: np.ndarray) -> LatentSubgoal:
    """`kept` where `counts`, else three times another's numbers."""
    return replace(
        kept,
        tokens=np.where(counts[:, None], kept.tokens, 3 * other.tokens),
        keys=None if kept.keys is None or other.keys is None else _along(counts, kept.keys, other.keys),
        values=None if kept.values is None or other.values is None else _along(counts, kept.values, other.values),
    )


def _along(counts: np.ndarray, kept: np.ndarray, other: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = np.where(counts[:, None], kept, 3 * other)
    return mixed


def _rows(actor: Any, observation: Observation, subgoal: LatentSubgoal, seed: int) -> FloatArray:
    actor.reset(seed=seed)
    rows: FloatArray = np.array(actor.act(observation, subgoal, None).rows, dtype=np.float64)
    return rows


def _direction(example: ActorExample, found: FloatArray, expected: FloatArray) -> str | None:
    if example.start is None:
        return None
    ours, theirs = found - example.start, expected - example.start
    sizes = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    cosine = float((ours * theirs).sum()) / sizes if sizes else 0.0
    if cosine > _OPPOSITE:
        return None
    return (
        f"its rows lie on the other side of where sampling began (cosine {cosine:.2f} of the two ways): flow time runs "
        "in the wrong direction, or the velocity has the wrong sign (openpi counts from data at 0 to noise at 1, GR00T "
        "the other way)"
    )


def _joints(found: FloatArray, expected: FloatArray, tolerance: float) -> str | None:
    order = [
        next((ours for ours in range(found.shape[1]) if near(found[:, ours], column, tolerance)), -1)
        for column in expected.T
    ]
    if sorted(order) != list(range(found.shape[1])):
        return None
    return f"its joints are in another order: the recorded ones are its columns {order}"


def _order(found: FloatArray, expected: FloatArray, tolerance: float) -> str | None:
    if near(found[::-1], expected, tolerance):
        return "its rows are in reverse order"
    if len(found) > 1 and near(found[1:], expected[:-1], tolerance):
        return "its rows are late by one: row 0 is meant for the observation's time"
    if len(found) > 1 and near(found[:-1], expected[1:], tolerance):
        return "its rows are early by one: row 0 is meant for the observation's time"
    return None


def _statistics(found: FloatArray, expected: FloatArray, tolerance: float) -> str | None:
    if len(found) < 4:
        return None  # any three rows are a line's
    for ours, theirs in zip(found.T, expected.T, strict=True):
        basis = np.stack([ours, np.ones_like(ours)], axis=1)
        line, *_ = np.linalg.lstsq(basis, theirs, rcond=None)
        if not near(basis @ line, theirs, tolerance):
            return None
    return (
        "each joint is right up to a scale and an offset: statistics are applied twice, not at all, or are of another "
        "kind or robot"
    )
