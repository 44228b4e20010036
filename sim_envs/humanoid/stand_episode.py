"""What an episode of `humanoid/stand` starts from: words, pushes and the arms' posture, each in a stream of its own."""

import re
from dataclasses import dataclass

import numpy as np

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import SIDES
from dualsys.sim_envs.humanoid.grammar import Grammar
from dualsys.sim_envs.humanoid.pushes import TORSO_PUSHES, Pushes, draw_pushes
from dualsys.sim_envs.humanoid.robot import ARM_JOINTS
from dualsys.sim_envs.humanoid.whole_body import JOINT_NAMES, stance
from dualsys.sim_envs.options import Phrasing

POSTURE_SPREAD_RAD = 0.05
"""How far arm joints may start from the stance."""
ARMS = np.array([JOINT_NAMES.index(f"{side}_{name}_joint") for side in SIDES for name in ARM_JOINTS], dtype=np.intp)
_STANDING = re.compile(r"\b(stand|standing|upright|balance|feet|fall)\b")

STAND = Grammar(
    verbs=("stand still", "stay upright", "keep your balance", "stay on your feet"),
    nouns=("pushes", "bumps", "knocks"),
    train=(
        "{verb}",
        "please {verb}",
        "{verb} please",
        "can you {verb}",
        "{verb} whatever {noun} you",
        "{verb} and do not fall",
        "do not fall and {verb}",
        "now {verb} where you are",
        "{verb} while something {noun} you",
        "if something {noun} you {verb}",
        "whatever {noun} you {verb}",
        "i want you to {verb}",
        "just {verb}",
        "{verb} until i say so",
    ),
    held_out=(
        "can you please {verb} whatever {noun} you",
        "just {verb} where you are",
        "i want you to {verb} if something {noun} you",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StandEpisode:
    """Everything an episode starts from."""

    instruction: str
    pushes: Pushes
    posture: FloatArray
    """Joint targets `(43,)`: the stance, arms a little beside it."""


def draw_stand_episode(seed: int, *, phrasing: Phrasing = "train", instruction: str | None = None) -> StandEpisode:
    """The episode of a seed. Raises `ConfigError` for an instruction that asks for something else than standing."""
    words_rng, pushes_rng, posture_rng = (np.random.default_rng([seed, stream]) for stream in range(10, 13))
    if instruction is None:
        instruction = STAND.sample(phrasing, {}, words_rng)
    elif not _STANDING.search(instruction.lower()):
        raise ConfigError(
            f"humanoid/stand cannot be told {instruction!r}: it only stands. Say stand, upright, balance or feet"
        )
    posture = stance()
    posture[ARMS] += POSTURE_SPREAD_RAD * posture_rng.uniform(-1.0, 1.0, len(ARMS))
    return StandEpisode(instruction=instruction, pushes=draw_pushes(pushes_rng, TORSO_PUSHES), posture=posture)
