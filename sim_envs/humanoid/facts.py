"""What experts, helper losses and tests are told of a humanoid task, and what `info` says of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import SIDES
from dualsys.sim_envs.humanoid.judge import Judge
from dualsys.sim_envs.humanoid.layout import Episode
from dualsys.sim_envs.humanoid.palette import COLOURS

BLOCK_NAMES = tuple(sorted(COLOURS))
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "target_position": ("x_m", "y_m", "z_m"),
    "block_positions": tuple(f"{name}_{axis}_m" for name in BLOCK_NAMES for axis in "xyz"),
    "hand_targets": tuple(f"{side}_{axis}_m" for side in SIDES for axis in "xyz"),
}
"""Those that recordings keep, and the names of their components."""
_ABSENT = np.full(3, np.nan)


def facts_of(judge: Judge, blocks: Mapping[str, FloatArray]) -> dict[str, Any]:
    """What is asked for and where it is; the keys are explained at `HumanoidTable.privileged`."""
    target = judge.present_goals[0].colour
    hands = judge.hand_tasks
    return {
        "target": target,
        "target_position": blocks[target],
        "blocks": blocks,
        "block_positions": np.stack([blocks.get(name, _ABSENT) for name in BLOCK_NAMES]),
        "hands": hands,
        "hand_targets": np.stack([_ABSENT if task is None else blocks[task[1]] for task in hands.values()]),
        "touched": judge.touched,
        "is_over": judge.is_over,
    }


def info_of(judge: Judge, episode: Episode, seed: int, time_s: float) -> dict[str, Any]:
    """What a step returns as `info`; the keys are explained at `HumanoidTable`."""
    return {
        "success": judge.success,
        "failure": judge.failure,
        "touched": judge.touched,
        "lifted": judge.lifted,
        "lifted_by": judge.lifted_by,
        "target": judge.present_goals[0].colour,
        "goals_done": judge.done,
        "num_blocks": len(episode.blocks),
        "episode_seed": seed,
        "time_s": time_s,
    }
