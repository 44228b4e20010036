"""Instructions of the humanoid suite and their steps in words: what a language head learns to write from.

Sentences of one to three steps are drawn from the suite's grammar, without end: no episode is needed for words.
"""

from typing import NamedTuple

import numpy as np

from dualsys.sim_envs.humanoid.goals import SIDES, Goal, Side, Verb
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.humanoid.phrasebook import GRAMMARS
from dualsys.sim_envs.humanoid.steps import steps_of
from dualsys.sim_envs.options import Phrasing

JOINTS = (" and after that ", " and then ", " then ", " next ", " afterwards ")
"""Between steps; the first is the suite's own, and drawn as often as the others together."""


class StepWords(NamedTuple):
    """A piece of training: what was asked for, the step before, the step to say."""

    instruction: str
    before: str
    """`""` at first."""
    step: str
    """`""` after the last."""


def draw_step_words(rng: np.random.Generator, phrasing: Phrasing = "train") -> StepWords:
    """One of the moments at which words are asked for, of a sentence drawn at random."""
    instruction, steps = draw_instruction(rng, phrasing)
    number = int(rng.integers(len(steps) + 1))
    before = steps[number - 1] if number else ""
    return StepWords(instruction, before, steps[number] if number < len(steps) else "")


def draw_instruction(rng: np.random.Generator, phrasing: Phrasing = "train") -> tuple[str, tuple[str, ...]]:
    """A sentence of one to three steps, and these."""
    kind = rng.random()
    if kind < 0.08:
        return _bimanual(rng, phrasing)
    count = int(rng.integers(2, 4)) if kind < 0.8 else 1
    colours = [str(colour) for colour in rng.permutation(tuple(COLOURS))[:count]]
    goals = tuple(_goal(colour, rng, alone=count == 1) for colour in colours)
    joint = JOINTS[0] if rng.random() < 0.5 else JOINTS[int(rng.integers(1, len(JOINTS)))]
    said = joint.join(_sentence(goal, rng, phrasing) for goal in goals)
    return said, steps_of(goals, together=False)


def _goal(colour: str, rng: np.random.Generator, *, alone: bool) -> Goal:
    verbs: tuple[Verb, ...] = ("touch", "pick", "point") if alone else ("touch", "touch", "pick")
    verb = verbs[int(rng.integers(3))]
    hand: Side | None = SIDES[int(rng.integers(2))] if verb == "pick" and rng.random() < 0.3 else None
    return Goal(verb=verb, colour=colour, hand=hand)


def _sentence(goal: Goal, rng: np.random.Generator, phrasing: Phrasing) -> str:
    if goal.hand is None:
        return GRAMMARS[goal.verb].sample(phrasing, {"colour": goal.colour}, rng)
    return GRAMMARS["pick-with"].sample(phrasing, {"colour": goal.colour, "hand": goal.hand}, rng)


def _bimanual(rng: np.random.Generator, phrasing: Phrasing) -> tuple[str, tuple[str, ...]]:
    first, second = (str(colour) for colour in rng.permutation(tuple(COLOURS))[:2])
    hand = SIDES[int(rng.integers(2))]
    other_hand = SIDES[1 - SIDES.index(hand)]
    subject = {"colour": first, "other": second, "hand": hand, "other_hand": other_hand}
    goals = tuple(Goal(verb="pick", colour=colour) for colour in (first, second))
    return GRAMMARS["bimanual"].sample(phrasing, subject, rng), steps_of(goals, together=True)
