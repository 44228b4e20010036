"""What is drawn for an episode: blocks, words, light, posture. All from the seed, each in a stream of its own.

Separate streams keep an episode's scene the same whatever its phrasing or its instruction. Blocks come named ones
first; where they may stand is the task's: what either hand is to take stands where either hand reaches, what both
hands are to take stands one on each side.
"""

from dataclasses import dataclass, replace

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.goals import HANDS_FREE, SIDES, Goal, TaskName, Verb, goals_in, side_of
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.humanoid.phrasebook import GRAMMARS
from dualsys.sim_envs.humanoid.pushes import ARM_PUSHES, Pushes, draw_pushes
from dualsys.sim_envs.humanoid.robot import HOME, OPEN_HOME
from dualsys.sim_envs.options import Phrasing, Randomization

BLOCK_X_M = (0.27, 0.385)
BLOCK_Y_M = (0.035, 0.235)
"""Range of |y|: the strip between the hands is left free, so that which hand is to go is never in doubt."""
EITHER_HAND_X_M, EITHER_HAND_Y_M = (0.27, 0.36), (-0.09, 0.09)
"""Where a block may stand that either hand is to reach."""
OWN_SIDE_Y_M = (0.08, 0.235)
"""Range of |y| of blocks that both hands are to take at once: closer, and the hands would meet."""
OWN_PLACES: tuple[TaskName, ...] = ("pick-with", "bimanual")
"""Tasks whose named blocks must stand in places of their own, whatever an instruction names."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LightRanges:
    """What light, shades and camera are drawn from, each evenly."""

    tilt: float
    """Of the lamp's direction, against straight down."""
    lamp: tuple[float, float]
    head: tuple[float, float]
    ambient: tuple[float, float]
    shade: tuple[float, float]
    """Of the table."""
    tint: tuple[float, float]
    """Least green and least blue of the table, against its red."""
    floor: tuple[float, float]
    camera_shift_m: float


_LIGHT_RANGES: dict[Randomization, LightRanges] = {
    "usual": LightRanges(
        tilt=0.5,
        lamp=(0.35, 0.55),
        head=(0.2, 0.35),
        ambient=(0.3, 0.4),
        shade=(0.55, 0.8),
        tint=(0.92, 0.8),
        floor=(0.3, 0.5),
        camera_shift_m=0.003,
    ),
    "wide": LightRanges(
        tilt=0.9,
        lamp=(0.15, 0.75),
        head=(0.1, 0.45),
        ambient=(0.2, 0.5),
        shade=(0.25, 0.95),
        tint=(0.7, 0.55),
        floor=(0.1, 0.7),
        camera_shift_m=0.012,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """Everything an episode starts from."""

    blocks: tuple[Block, ...]
    """Those that are to be acted upon first, in the order of the goals."""
    goals: tuple[Goal, ...]
    """To be reached in this order, unless `together`."""
    together: bool
    """Whether all goals are to be reached at once, each with a hand of its own."""
    instruction: str
    light: Light
    posture: FloatArray
    """Joint positions `(28,)`."""
    pushes: Pushes | None = None
    """What bumps into the arms, where something does."""

    @property
    def target(self) -> str:
        """Colour of the block named first."""
        return self.goals[0].colour


def home_for(goals: tuple[Goal, ...]) -> FloatArray:
    """Joint positions `(28,)` that hands start around and rest in: open for grasping, else fists."""
    return OPEN_HOME if goals[0].verb == "pick" else HOME


def draw_episode(
    seed: int,
    *,
    task: TaskName = "touch",
    phrasing: Phrasing = "train",
    instruction: str | None = None,
    posture_spread_rad: float = ARM_POSTURE_SPREAD_RAD,
    randomization: Randomization = "usual",
) -> Episode:
    """The episode of a seed.

    With an instruction, the blocks it names are to be acted upon; where the scene lacks one of a colour, the block that
    would have been named takes it, and where it has too few blocks it gets as many as are named. Raises `ConfigError`
    for an instruction that the task cannot ask for.
    """
    scene_rng, words_rng, light_rng, posture_rng = (np.random.default_rng([seed, stream]) for stream in range(4))
    if instruction is None:
        blocks = _draw_blocks(task, scene_rng)
        goals, instruction = _draw_words(task, blocks, phrasing, words_rng)
    else:
        goals = goals_in(task, instruction)
        named = list(dict.fromkeys(goal.colour for goal in goals))
        blocks = _draw_blocks(task, scene_rng, at_least=len(named))
        blocks = _recoloured(blocks, goals) if task in OWN_PLACES else _with_named_first(blocks, named)
    return Episode(
        blocks=blocks,
        goals=goals,
        together=task == "bimanual",
        instruction=instruction,
        light=_draw_light(light_rng, _LIGHT_RANGES[randomization]),
        posture=_draw_posture(posture_rng, home_for(goals), posture_spread_rad),
        pushes=draw_pushes(np.random.default_rng([seed, 4]), ARM_PUSHES) if task == "reach-and-hold" else None,
    )


def _draw_blocks(task: TaskName, rng: np.random.Generator, *, at_least: int = 0) -> tuple[Block, ...]:
    count = max(int(rng.integers(MIN_BLOCKS, MAX_BLOCKS + 1)), at_least)
    names = list(COLOURS)
    colours = [names[i] for i in rng.permutation(len(names))[:count]]
    places = _draw_places(task, rng, count)
    yaws = rng.uniform(-np.pi / 4, np.pi / 4, count)
    return tuple(
        Block(colour=colour, x_m=float(x), y_m=float(y), yaw_rad=float(yaw))
        for colour, (x, y), yaw in zip(colours, places, yaws, strict=True)
    )


def _draw_places(task: TaskName, rng: np.random.Generator, count: int) -> list[FloatArray]:
    """Uniform where the task allows, kept apart; a set that leaves no room for the next block is drawn anew."""
    while True:
        places: list[FloatArray] = []
        first_side = -1.0 if task == "bimanual" and rng.random() < 0.5 else 1.0
        for _ in range(40):
            place = _draw_place(task, len(places), first_side, rng)
            if all(np.hypot(*(place - other)) >= MIN_SPACING_M for other in places):
                places.append(place)
            if len(places) == count:
                return places


def _draw_place(task: TaskName, index: int, first_side: float, rng: np.random.Generator) -> FloatArray:
    """A place for the block of this index. The draws of `touch` and `pick` are the same."""
    if task == "bimanual" and index < 2:
        side = first_side if index == 0 else -first_side
        return np.array([rng.uniform(*BLOCK_X_M), side * rng.uniform(*OWN_SIDE_Y_M)])
    if task == "pick-with" and index == 0:
        return np.array([rng.uniform(*EITHER_HAND_X_M), rng.uniform(*EITHER_HAND_Y_M)])
    side = -1.0 if rng.random() < 0.5 else 1.0
    return np.array([rng.uniform(*BLOCK_X_M), side * rng.uniform(*BLOCK_Y_M)])


def _draw_words(
    task: TaskName, blocks: tuple[Block, ...], phrasing: Phrasing, rng: np.random.Generator
) -> tuple[tuple[Goal, ...], str]:
    """Goals and the sentence that asks for them."""
    if task == "sequence":
        return _draw_sequence(blocks, phrasing, rng)
    first = blocks[0]
    verb = "pick" if task == "pick" else HANDS_FREE.get(task)
    if verb is not None:
        text = GRAMMARS[task].sample(phrasing, {"colour": first.colour}, rng)
        return (Goal(verb=verb, colour=first.colour),), text
    if task == "pick-with":
        hand = SIDES[int(rng.integers(2))]
        text = GRAMMARS[task].sample(phrasing, {"colour": first.colour, "hand": hand}, rng)
        return (Goal(verb="pick", colour=first.colour, hand=hand),), text
    second = blocks[1]
    hands = (side_of(first.y_m), side_of(second.y_m))
    subject = {"colour": first.colour, "hand": hands[0], "other": second.colour, "other_hand": hands[1]}
    text = GRAMMARS[task].sample(phrasing, subject, rng)
    return goals_in(task, text), text  # where the sentence names no hands, either may take either block


def _draw_sequence(
    blocks: tuple[Block, ...], phrasing: Phrasing, rng: np.random.Generator
) -> tuple[tuple[Goal, ...], str]:
    """Two or three steps on different blocks: touches, the last a pick as often as not."""
    count = min(len(blocks), int(rng.integers(2, 4)))
    last: Verb = "pick" if rng.random() < 0.5 else "touch"
    touch: Verb = "touch"
    verbs = [touch] * (count - 1) + [last]
    goals = tuple(Goal(verb=verb, colour=block.colour) for verb, block in zip(verbs, blocks, strict=False))
    sentences = [GRAMMARS[goal.verb].sample(phrasing, {"colour": goal.colour}, rng) for goal in goals]
    return goals, " and after that ".join(sentences)


def _with_named_first(blocks: tuple[Block, ...], colours: list[str]) -> tuple[Block, ...]:
    """The named blocks in the order of their names; a colour that is missing goes to the next block left over."""
    by_colour = {block.colour: block for block in blocks}
    spare = [block for block in blocks if block.colour not in colours]
    named = [by_colour.get(colour) or replace(spare.pop(0), colour=colour) for colour in colours]
    return (*named, *spare)


def _recoloured(blocks: tuple[Block, ...], goals: tuple[Goal, ...]) -> tuple[Block, ...]:
    """The same places, colours exchanged so that the named blocks are where the hands that are to take them reach."""
    if len(goals) > 1 and goals[0].hand not in (None, side_of(blocks[0].y_m)):
        blocks = (blocks[1], blocks[0], *blocks[2:])
    colours = [block.colour for block in blocks]
    for index, goal in enumerate(goals):
        if goal.colour in colours:
            colours[colours.index(goal.colour)] = colours[index]
        colours[index] = goal.colour
    return tuple(replace(block, colour=colour) for block, colour in zip(blocks, colours, strict=True))


def _draw_light(rng: np.random.Generator, ranges: LightRanges) -> Light:
    tilt = ranges.tilt
    direction = np.array([rng.uniform(-tilt, tilt), rng.uniform(-tilt, tilt), -1.0])
    shade = rng.uniform(*ranges.shade)
    tint = np.array([1.0, rng.uniform(ranges.tint[0], 1.0), rng.uniform(ranges.tint[1], 1.0)])
    return Light(
        direction=direction / np.linalg.norm(direction),
        lamp_diffuse=float(rng.uniform(*ranges.lamp)),
        head_diffuse=float(rng.uniform(*ranges.head)),
        ambient=float(rng.uniform(*ranges.ambient)),
        table_rgb=shade * tint,
        floor_rgb=np.full(3, rng.uniform(*ranges.floor)),
        camera_shift_m=rng.uniform(-ranges.camera_shift_m, ranges.camera_shift_m, 3),
    )


def _draw_posture(rng: np.random.Generator, home: FloatArray, spread_rad: float) -> FloatArray:
    posture = home.copy()
    posture[:14] += spread_rad * rng.uniform(-1.0, 1.0, 14)
    return posture
