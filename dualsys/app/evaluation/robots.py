"""Robots that what is evaluated was trained for: their cameras are what its environments are seen with."""

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.outside_policy import robots_at
from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import EmbodimentSpec


def trained_robots(config: EvalConfig) -> tuple[EmbodimentSpec, ...]:
    """A checkpoint's robots, or the one that a controller of ours is served for; of a stranger's policy none."""
    return robots_at(config.policy) if config.policy else Checkpoint.open(config.checkpoint).robots
