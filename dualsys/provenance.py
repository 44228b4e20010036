"""Who made what from what: the fields of subgoals and chunks that their hosts assign, not the models."""

from dataclasses import replace
from typing import Any

import numpy as np

from dualsys.embodiment import SubgoalSpec
from dualsys.events import ChunkRequest, SubgoalArrived
from dualsys.messages import ActionChunk, LatentSubgoal


def sign_subgoal(subgoal: LatentSubgoal, *, sequence: int, epoch: int, emitted_stamp_s: float) -> LatentSubgoal:
    """A planner's subgoal with what its host knows: its number, the start it belongs to, and when it was ready."""
    return replace(subgoal, sequence=sequence, epoch=epoch, emitted_stamp_s=emitted_stamp_s)


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
    )


def subgoal_problem(subgoal: Any, spec: SubgoalSpec) -> str | None:
    """Why what a planner returned can't be used, in words, or None. Never raises.

    The decision core doesn't look into subgoals, so whoever runs the planner asks this before handing one on.
    """
    if not isinstance(subgoal, LatentSubgoal):
        return f"it is {type(subgoal).__name__}, not a LatentSubgoal"
    tokens: Any = subgoal.tokens
    if not isinstance(tokens, np.ndarray) or tokens.shape != (spec.num_tokens, spec.dim) or tokens.dtype != spec.dtype:
        found = f"{tokens.dtype} {tokens.shape}" if isinstance(tokens, np.ndarray) else type(tokens).__name__
        return f"its tokens are {found}, the spec says {spec.dtype} {(spec.num_tokens, spec.dim)}"
    return None if np.isfinite(tokens).all() else "its tokens are not finite"


def arrival_of(subgoal: LatentSubgoal) -> SubgoalArrived:
    """What the decision core is told about a subgoal."""
    return SubgoalArrived(
        sequence=subgoal.sequence,
        epoch=subgoal.epoch,
        observation_stamp_s=subgoal.observation_stamp_s,
        time_to_live_s=subgoal.time_to_live_s,
    )
