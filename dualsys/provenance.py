"""Who made what from what: the fields of subgoals and chunks that their hosts assign, not the models."""

from dataclasses import replace

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


def arrival_of(subgoal: LatentSubgoal) -> SubgoalArrived:
    """What the decision core is told about a subgoal."""
    return SubgoalArrived(
        sequence=subgoal.sequence,
        epoch=subgoal.epoch,
        observation_stamp_s=subgoal.observation_stamp_s,
        time_to_live_s=subgoal.time_to_live_s,
    )
