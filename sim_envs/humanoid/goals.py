"""What an episode asks for: things to be done to blocks, one after the other or at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from dualsys.errors import ConfigError
from dualsys.sim_envs.humanoid.palette import COLOURS, colour_in

Side = Literal["left", "right"]
Verb = Literal["touch", "pick", "point", "hold"]
TaskName = Literal["touch", "pick", "pick-with", "bimanual", "sequence", "point", "reach-and-hold"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)
SIDES: tuple[Side, ...] = get_args(Side)
HANDS_FREE: dict[TaskName, Verb] = {"touch": "touch", "point": "point", "reach-and-hold": "hold"}
"""Verbs of the tasks about one block in which either hand will do, whatever is said of hands."""

_PICKING = re.compile(r"\b(pick|lift|grab|grasp|raise|take|hold)\b")
_NEXT = re.compile(r"\b(?:and then|then|after that|afterwards|next)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One block, and what is to be done to it."""

    verb: Verb
    colour: str
    hand: Side | None = None
    """None: either hand."""

    def hand_at(self, y_m: float) -> Side:
        """The hand that is to go for a block at `y_m`: the named one, else that of the block's side."""
        return self.hand or side_of(y_m)


def side_of(y_m: float) -> Side:
    """The robot's side that a place is on."""
    return "left" if y_m >= 0 else "right"


def goals_in(task: TaskName, text: str) -> tuple[Goal, ...]:
    """What free text asks for, as far as the task can ask for it.

    Raises:
        ConfigError: the text names no or too many blocks for the task, or no hand where one must be named.
    """
    if task == "sequence":
        return tuple(_single_goal(part) for part in _parts(text))
    if task == "bimanual":
        return _goals_for_both_hands(text)
    if (verb := HANDS_FREE.get(task)) is not None:
        return (Goal(verb=verb, colour=colour_in(text)),)
    hands = _named(text, SIDES)
    if task == "pick-with" and len(hands) != 1:
        raise ConfigError(f"the instruction {text!r} must name one hand: left or right")
    return (Goal(verb="pick", colour=colour_in(text), hand=hands[0] if len(hands) == 1 else None),)  # type: ignore[arg-type]


def about_others(text: str, colours: Sequence[str], rng: np.random.Generator) -> str:
    """The same asked of other blocks: each colour that is named becomes another one of those in the scene."""
    by = int(rng.integers(1, len(colours)))
    other = {colour: colours[(index + by) % len(colours)] for index, colour in enumerate(colours)}
    return re.sub(r"[A-Za-z]+", lambda word: other.get(word[0].lower(), word[0]), text)


def _parts(text: str) -> list[str]:
    """The text's steps. "Look for the red block then tap it" is one: what says `it` belongs to the step before."""
    parts: list[str] = []
    for part in _NEXT.split(text.lower()):
        if not part.strip(" ,."):
            continue
        if parts and re.search(r"\bit\b", part) and not _named(part, tuple(COLOURS)):
            parts[-1] += part
        else:
            parts.append(part)
    if not 2 <= len(parts) <= 3:
        raise ConfigError(f"the instruction {text!r} has {len(parts)} step(s); join two or three with 'then'")
    return parts


def _single_goal(text: str) -> Goal:
    verb: Verb = "pick" if _PICKING.search(text) else "touch"
    hands = _named(text, SIDES)
    return Goal(verb=verb, colour=colour_in(text), hand=hands[0] if hands else None)  # type: ignore[arg-type]


def _goals_for_both_hands(text: str) -> tuple[Goal, ...]:
    colours, hands = _named(text, tuple(COLOURS)), _named(text, SIDES)
    if len(colours) != 2:
        raise ConfigError(f"the instruction {text!r} must name two colours out of: {', '.join(COLOURS)}")
    goals = tuple(Goal(verb="pick", colour=colour) for colour in colours)
    if len(hands) != 2:
        return goals
    return tuple(replace(goal, hand=hand) for goal, hand in zip(goals, hands, strict=True))  # type: ignore[arg-type]


def _named(text: str, known: tuple[str, ...]) -> list[str]:
    """Known words in the order of their first mention."""
    words = re.findall(r"[a-z]+", text.lower())
    return list(dict.fromkeys(word for word in words if word in known))
