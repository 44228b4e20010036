"""Robots that what is driven with was trained for: their cameras are what its environments are seen with."""

from dualsys.app.outside_policy import robots_at
from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import EmbodimentSpec


def trained_robots(policy: str, checkpoint: str) -> tuple[EmbodimentSpec, ...]:
    """A checkpoint's robots, or the one that a controller of ours is served for; of a stranger's policy none.

    Args:
        policy: Address of a policy in place of the checkpoint; empty: there is none.
        checkpoint: Shipped name or folder; empty: none is used.
    """
    if policy:
        return robots_at(policy)
    return Checkpoint.open(checkpoint).robots if checkpoint else ()
