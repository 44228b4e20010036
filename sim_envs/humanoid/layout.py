"""What is drawn for an episode: blocks, words, light, posture. All from the seed, each in a stream of its own.

Separate streams keep an episode's scene the same whatever its phrasing or its instruction.
"""

from dataclasses import dataclass

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid import grammar
from dualsys.sim_envs.humanoid.palette import COLOURS, colour_in
from dualsys.sim_envs.humanoid.robot import HOME
from dualsys.sim_envs.options import Phrasing

BLOCK_X_M = (0.27, 0.385)
BLOCK_Y_M = (0.035, 0.235)
"""Range of |y|: the strip between the hands is left free, so that which hand is to go is never in doubt."""
MIN_SPACING_M = 0.125
MIN_BLOCKS, MAX_BLOCKS = 2, 4
ARM_POSTURE_SPREAD_RAD = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block as placed at reset."""

    colour: str
    x_m: float
    y_m: float
    yaw_rad: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Light:
    """How the scene is lit and shaded."""

    direction: FloatArray
    lamp_diffuse: float
    head_diffuse: float
    ambient: float
    table_rgb: FloatArray
    floor_rgb: FloatArray
    camera_shift_m: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """Everything an episode starts from."""

    blocks: tuple[Block, ...]
    """The named one first."""
    instruction: str
    light: Light
    posture: FloatArray
    """Joint positions `(28,)`."""

    @property
    def target(self) -> str:
        """Colour of the named block."""
        return self.blocks[0].colour


def draw_episode(
    seed: int,
    *,
    phrasing: Phrasing = "train",
    instruction: str | None = None,
    posture_spread_rad: float = ARM_POSTURE_SPREAD_RAD,
) -> Episode:
    """The episode of a seed.

    With an instruction, the block it names is the target; where the scene lacks one of that colour, the block that
    would have been named takes it. Raises `ConfigError` for an instruction without exactly one known colour.
    """
    scene_rng, words_rng, light_rng, posture_rng = (np.random.default_rng([seed, stream]) for stream in range(4))
    blocks = _draw_blocks(scene_rng)
    if instruction is None:
        instruction = grammar.sample(phrasing, blocks[0].colour, words_rng)
    else:
        blocks = _with_target_first(blocks, colour_in(instruction))
    return Episode(
        blocks=blocks,
        instruction=instruction,
        light=_draw_light(light_rng),
        posture=_draw_posture(posture_rng, posture_spread_rad),
    )


def _draw_blocks(rng: np.random.Generator) -> tuple[Block, ...]:
    count = int(rng.integers(MIN_BLOCKS, MAX_BLOCKS + 1))
    names = list(COLOURS)
    colours = [names[i] for i in rng.permutation(len(names))[:count]]
    places = _draw_places(rng, count)
    yaws = rng.uniform(-np.pi / 4, np.pi / 4, count)
    return tuple(
        Block(colour=colour, x_m=float(x), y_m=float(y), yaw_rad=float(yaw))
        for colour, (x, y), yaw in zip(colours, places, yaws, strict=True)
    )


def _draw_places(rng: np.random.Generator, count: int) -> list[FloatArray]:
    """Uniform over the two strips, kept apart; a set that leaves no room for the next block is drawn anew."""
    while True:
        places: list[FloatArray] = []
        for _ in range(40):
            side = -1.0 if rng.random() < 0.5 else 1.0
            place = np.array([rng.uniform(*BLOCK_X_M), side * rng.uniform(*BLOCK_Y_M)])
            if all(np.hypot(*(place - other)) >= MIN_SPACING_M for other in places):
                places.append(place)
            if len(places) == count:
                return places


def _with_target_first(blocks: tuple[Block, ...], colour: str) -> tuple[Block, ...]:
    named = [block for block in blocks if block.colour == colour]
    if named:
        return (*named, *(block for block in blocks if block.colour != colour))
    first = blocks[0]
    return (Block(colour=colour, x_m=first.x_m, y_m=first.y_m, yaw_rad=first.yaw_rad), *blocks[1:])


def _draw_light(rng: np.random.Generator) -> Light:
    direction = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), -1.0])
    shade = rng.uniform(0.55, 0.8)
    tint = np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(0.8, 1.0)])
    return Light(
        direction=direction / np.linalg.norm(direction),
        lamp_diffuse=float(rng.uniform(0.35, 0.55)),
        head_diffuse=float(rng.uniform(0.2, 0.35)),
        ambient=float(rng.uniform(0.3, 0.4)),
        table_rgb=shade * tint,
        floor_rgb=np.full(3, rng.uniform(0.3, 0.5)),
        camera_shift_m=rng.uniform(-0.003, 0.003, 3),
    )


def _draw_posture(rng: np.random.Generator, spread_rad: float) -> FloatArray:
    posture = HOME.copy()
    posture[:14] += spread_rad * rng.uniform(-1.0, 1.0, 14)
    return posture
