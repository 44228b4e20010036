"""Who made what from what: the fields of subgoals and chunks that their hosts assign, not the models."""

from dataclasses import replace
from typing import Any

import numpy as np

from dualsys.chunking import Columns, is_duration, is_number, moved_on
from dualsys.embodiment import SubgoalSpec
from dualsys.events import ChunkRequest, SubgoalArrived
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal


def sign_subgoal(
    subgoal: LatentSubgoal, spec: SubgoalSpec, *, sequence: int, epoch: int, emitted_stamp_s: float
) -> LatentSubgoal:
    """A planner's subgoal with what its host knows: its number, the start it belongs to, and when it was ready.

    It lives no longer than the spec's `max_age_s`, whatever the planner says.
    """
    lives_s = subgoal.time_to_live_s
    if is_duration(lives_s):  # What is none is refused by `subgoal_problem`.
        lives_s = min(lives_s, spec.max_age_s)
    return replace(subgoal, sequence=sequence, epoch=epoch, emitted_stamp_s=emitted_stamp_s, time_to_live_s=lives_s)


def sign_chunk(chunk: ActionChunk, request: ChunkRequest, subgoal: LatentSubgoal | None) -> ActionChunk:
    """An actor's chunk as the answer to a request, with the subgoal it was made with (None: the null subgoal)."""
    if subgoal is None:
        return replace(chunk, request=request.sequence, sequence=request.sequence)
    return replace(
        chunk,
        request=request.sequence,
        sequence=request.sequence,
        subgoal_sequence=subgoal.sequence,
        subgoal_epoch=subgoal.epoch,
        subgoal_age_s=subgoal.age_s(chunk.start_stamp_s),
        subgoal_progress=-1.0 if subgoal.progress is None else subgoal.progress,
    )


def prefix_at(
    request: ChunkRequest, stamp_s: float, *, dt_s: float, stepped: Columns | None = None
) -> ActionPrefix | None:
    """The rows of a request that run, from an observation's moment on; None where there are none, or none any more.

    Args:
        request: Its prefix is of the request's own moment.
        stamp_s: Of the observation that is acted on: newer where something took time.
        dt_s: Between two rows.
        stepped: As for `dualsys.chunking.target_at`.
    """
    if request.prefix is None:
        return None
    return moved_on(request.prefix, (stamp_s - request.stamp_s) / dt_s, stepped)


def attempt_seed(seed: int, attempt: int) -> int:
    """Seed of planner and actor for an attempt of an episode: the episode's own for the first, then other ones."""
    return seed if attempt == 0 else int(np.random.SeedSequence((seed, attempt)).generate_state(1)[0])


def subgoal_problem(subgoal: Any, spec: SubgoalSpec) -> str | None:
    """Why what a planner returned can't be used, in words, or None. Never raises.

    The decision core doesn't look into subgoals, so whoever runs the planner asks this before handing one on.
    """
    if not isinstance(subgoal, LatentSubgoal):
        return f"it is {type(subgoal).__name__}, not a LatentSubgoal"
    problem = _stamp_problem(subgoal) or spec.array_problem(subgoal)
    if problem is None and subgoal.mask is not None and not subgoal.mask.any():
        return "its mask leaves no token"
    return problem


def _stamp_problem(subgoal: LatentSubgoal) -> str | None:
    for name in ("observation_stamp_s", "emitted_stamp_s"):
        if not is_number(getattr(subgoal, name)):
            return f"its {name} is {getattr(subgoal, name)!r}, not a time"
    if not is_duration(subgoal.time_to_live_s):
        return f"its time_to_live_s is {subgoal.time_to_live_s!r}, not a duration"
    return None


def arrival_of(subgoal: LatentSubgoal) -> SubgoalArrived:
    """What the decision core is told about a subgoal."""
    return SubgoalArrived(
        sequence=subgoal.sequence,
        epoch=subgoal.epoch,
        observation_stamp_s=subgoal.observation_stamp_s,
        time_to_live_s=subgoal.time_to_live_s,
    )
