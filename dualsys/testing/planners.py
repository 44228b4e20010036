"""Conformance of planners."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import DualsysError, NotConforming
from dualsys.messages import LatentSubgoal, Observation
from dualsys.protocols import BatchPlanner, Planner
from dualsys.testing.conditions import require, require_members, require_untouched, shown, snapshot
from dualsys.testing.examples import PlannerExample
from dualsys.testing.planner_mistakes import planner_mistake

BATCH_RTOL, BATCH_ATOL = 1e-3, 1e-4
"""How far a batch's tokens may be from those of its observations alone, in float32."""


def check_planner(
    planner: Any,
    embodiment: EmbodimentSpec,
    *,
    instruction: str = "",
    other_instruction: str | None = None,
    seed: int = 0,
    examples: Sequence[PlannerExample] = (),
    tolerance: float = 1e-3,
) -> None:
    """Check that a planner keeps its protocol, on random observations of an embodiment.

    Args:
        planner: The planner; it is reset and run a few times.
        embodiment: Whose observations it is shown.
        instruction: Words it understands.
        other_instruction: Others that it understands, shorter or longer: in a batch of both, one has padding, which
            must not show. None: made of the first, half of its words. The same as the first: no batch of two lengths.
        seed: Of the observations and of the planner.
        examples: Recorded inputs with what a known implementation gave; where it isn't met, the message names the
            mistake if it is one of the usual ones (`dualsys.testing.planner_mistakes`).
        tolerance: How near the recorded ones must be, and as near again for each unit of a larger number.

    Raises:
        NotConforming: it does not; the message says what was expected.
    """
    name = require_members(planner, Planner)
    spec = planner.subgoal_spec
    require(isinstance(spec, SubgoalSpec), f"{name}.subgoal_spec is {type(spec).__name__}, expected SubgoalSpec")
    rng = np.random.default_rng(seed)
    seen = [embodiment.fake_observation(rng, stamp_s=stamp_s, instruction=instruction) for stamp_s in (0.25, 0.5)]
    runs = []
    for _ in range(2):
        planner.reset(seed=seed)
        run = []
        for observation in seen:
            before = snapshot(observation)
            with shown(embodiment, f"{name}.plan()"):
                subgoal = planner.plan(observation)
            _check_subgoal(subgoal, spec, f"{name}.plan()")
            expected_s = observation.oldest_stamp_s
            require(
                subgoal.observation_stamp_s == expected_s,
                f"{name}.plan() stamped its subgoal {subgoal.observation_stamp_s}, expected the observation's oldest "
                f"source {expected_s}: its age is counted from there",
            )
            require_untouched(observation, before, f"{name}.plan()")
            run.append((_arrays(subgoal), [array.copy() for array in _arrays(subgoal)]))
        for arrays, copies in run:
            require(_same(arrays, copies), f"{name}.plan() overwrote the arrays of an earlier subgoal")
        runs.append([copies for _, copies in run])
    if isinstance(planner, BatchPlanner):
        other = _other_length(planner, seen[0], other_instruction, name)
        _check_batch(planner, [*seen, other], spec, f"{name}.plan_batch()")
    same = all(_same(a, b) for a, b in zip(*runs, strict=True))
    require(same, f"{name} gave other subgoals after reset(seed={seed}) on the same observations: not reproducible")
    for index, example in enumerate(examples):
        planner.reset(seed=seed)
        mistake = planner_mistake(planner, example, planner.plan(example.observation), tolerance)
        require(mistake is None, f"{name}.plan() doesn't give the subgoal of example {index}: {mistake}")


def _other_length(planner: Any, seen: Observation, words: str | None, name: str) -> Observation:
    """The observation with other words, of which it was tried that the planner understands them."""
    if words is not None:
        return replace(seen, instruction=words)
    spoken = seen.instruction.split()
    made = " ".join(spoken[: len(spoken) // 2] or [*spoken, *spoken] or ["go"])
    other = replace(seen, instruction=made)
    try:
        planner.plan(other)
    except (DualsysError, LookupError, ValueError) as error:
        raise NotConforming(
            f"{name}.plan() raised {type(error).__name__} ({error}) on {made!r}, which was made of the instruction "
            f"{seen.instruction!r}. Give other_instruction: other words that it understands, or the same"
        ) from error
    return other


def _check_batch(planner: Any, seen: list[Observation], spec: SubgoalSpec, where: str) -> None:
    """Each subgoal of a batch is what `plan` gives for its observation, in whatever company that comes."""
    batch = [*seen, seen[0]]
    subgoals = planner.plan_batch(batch)
    require(len(subgoals) == len(batch), f"{where} gave {len(subgoals)} subgoals for {len(batch)} observations")
    for observation, subgoal in zip(batch, subgoals, strict=True):
        _check_subgoal(subgoal, spec, where)
        alone = planner.plan(observation)
        for ours, expected in zip(_counting(subgoal), _counting(alone), strict=True):
            require(
                ours.shape == expected.shape and np.allclose(ours, expected, rtol=BATCH_RTOL, atol=BATCH_ATOL),
                f"{where} gave {_difference(ours, expected)} plan() gives for the same observation alone: it depends "
                "on the others in the batch (is padding masked everywhere?), or on the past",
            )
        require(
            subgoal.observation_stamp_s == alone.observation_stamp_s,
            f"{where} stamped a subgoal {subgoal.observation_stamp_s}, plan() {alone.observation_stamp_s}",
        )


def _arrays(subgoal: LatentSubgoal) -> list[NDArray[Any]]:
    return [array for array in (subgoal.tokens, subgoal.mask, subgoal.keys, subgoal.values) if array is not None]


def _same(ours: list[NDArray[Any]], others: list[NDArray[Any]]) -> bool:
    return len(ours) == len(others) and all(np.array_equal(a, b) for a, b in zip(ours, others, strict=True))


def _counting(subgoal: LatentSubgoal) -> list[NDArray[Any]]:
    """The arrays without what is padding, which is anybody's: tokens, keys and values where the mask is True."""
    counts = slice(None) if subgoal.mask is None else subgoal.mask
    prefix = [array[:, :, counts] for array in (subgoal.keys, subgoal.values) if array is not None]
    return [subgoal.tokens[counts], *prefix]


def _difference(ours: NDArray[Any], expected: NDArray[Any]) -> str:
    if ours.shape != expected.shape:
        return f"{ours.shape} where {expected.shape} is what"
    return f"numbers that differ by {np.abs(ours - expected).max(initial=0.0):.2g} from what"


def _check_subgoal(subgoal: Any, spec: SubgoalSpec, where: str) -> None:
    if not isinstance(subgoal, LatentSubgoal):
        raise NotConforming(f"{where} gave {type(subgoal).__name__}, expected dualsys.LatentSubgoal")
    problem = spec.array_problem(subgoal)
    require(problem is None, f"{where} gave a subgoal that doesn't fit its spec: {problem}")
    progress = subgoal.progress
    require(progress is None or 0 <= progress <= 1, f"{where} gave progress {progress}, expected None or 0 to 1")
    require(subgoal.time_to_live_s > 0, f"{where} gave time_to_live_s {subgoal.time_to_live_s}, expected above 0")
