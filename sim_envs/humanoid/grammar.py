"""Instructions in words: templates times verbs times nouns times politeness, with a part kept out of training.

Two kinds of sentence are held out: those of whole templates never seen in training, and those that join a seen verb
with a seen template in a pair never seen together. Every word of a held-out sentence occurs in training sentences.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from dualsys.sim_envs.options import Phrasing

VERBS = ("touch", "tap", "press", "poke", "reach", "pat")
NOUNS = ("block", "box", "brick", "piece")

TRAIN_TEMPLATES = (
    "{verb} the {colour} {noun}",
    "please {verb} the {colour} {noun}",
    "{verb} the {colour} {noun} please",
    "can you {verb} the {colour} {noun}",
    "could you please {verb} the {colour} {noun}",
    "{verb} the {noun} that is {colour}",
    "{verb} the {noun} which is {colour} please",
    "the {colour} {noun} is the one to {verb}",
    "{colour} is the {noun} to {verb}",
    "find the {colour} {noun} and {verb} it",
    "look for the {colour} {noun} then {verb} it",
    "i want you to {verb} the {colour} {noun}",
    "i would like you to {verb} the {noun} that is {colour}",
    "now {verb} the {colour} one",
    "{verb} the {colour} one with your hand",
    "with your hand {verb} the {colour} {noun}",
    "use your hand to {verb} the {colour} {noun}",
    "use either hand and {verb} the {colour} {noun} on the table",
    "{verb} the {colour} {noun} on the table",
    "on the table there is a {colour} {noun} {verb} it",
    "there is a {colour} {noun} please {verb} it",
    "go and {verb} the {colour} {noun}",
    "go to the {colour} {noun} and {verb} it now",
    "{verb} only the {colour} {noun}",
    "only {verb} the {noun} that is {colour}",
    "move your hand to the {colour} {noun}",
    "move to the {noun} which is {colour}",
    "your hand should {verb} the {colour} {noun}",
    "{colour} {noun} please",
    "{verb} {colour}",
)
"""Templates that occur in training."""

HELD_OUT_TEMPLATES = (
    "please find the {noun} that is {colour} and {verb} it",
    "could you {verb} the {colour} one on the table",
    "the {noun} to {verb} is the {colour} one",
    "i want the {colour} {noun} please {verb} it with your hand",
    "now go to the table and {verb} the {noun} which is {colour}",
    "would you please {verb} only the {colour} {noun}",
)
"""Templates that never occur in training."""

_EVERY_HELD_OUT_PAIR = 7  # of the verb-template pairs, this one in seven is kept out


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A sentence but for its colour."""

    template: str
    verb: str
    noun: str

    def say(self, colour: str) -> str:
        """The sentence about a colour."""
        return self.template.format(verb=self.verb, noun=self.noun, colour=colour)


@cache
def forms(phrasing: Phrasing) -> tuple[Form, ...]:
    """Every form of a split, each once. The splits share no form."""
    return tuple(_train_forms()) if phrasing == "train" else tuple(_held_out_forms())


def sample(phrasing: Phrasing, colour: str, rng: np.random.Generator) -> str:
    """An instruction to touch a block of a colour: first a template, all equally likely, then a form of it."""
    by_template = _forms_by_template(phrasing)
    group = by_template[int(rng.integers(len(by_template)))]
    return group[int(rng.integers(len(group)))].say(colour)


def enumerate_sentences(phrasing: Phrasing, colours: tuple[str, ...]) -> tuple[str, ...]:
    """Every sentence of a split about the given colours."""
    return tuple(form.say(colour) for form in forms(phrasing) for colour in colours)


@cache
def _forms_by_template(phrasing: Phrasing) -> tuple[tuple[Form, ...], ...]:
    groups: dict[str, list[Form]] = {}
    for form in forms(phrasing):
        groups.setdefault(form.template, []).append(form)
    return tuple(tuple(group) for group in groups.values())


def _fillings(template: str) -> Iterator[Form]:
    verbs = VERBS if "{verb}" in template else VERBS[:1]
    nouns = NOUNS if "{noun}" in template else NOUNS[:1]
    for verb, noun in itertools.product(verbs, nouns):
        yield Form(template=template, verb=verb, noun=noun)


def _is_held_out_pair(template_index: int, verb: str) -> bool:
    """A fixed pattern that takes verbs and templates evenly; templates without a verb are never split."""
    has_verb = "{verb}" in TRAIN_TEMPLATES[template_index]
    return has_verb and (template_index + 3 * VERBS.index(verb)) % _EVERY_HELD_OUT_PAIR == 0


def _train_forms() -> Iterator[Form]:
    for index, template in enumerate(TRAIN_TEMPLATES):
        yield from (form for form in _fillings(template) if not _is_held_out_pair(index, form.verb))


def _held_out_forms() -> Iterator[Form]:
    for template in HELD_OUT_TEMPLATES:
        yield from _fillings(template)
    for index, template in enumerate(TRAIN_TEMPLATES):
        yield from (form for form in _fillings(template) if _is_held_out_pair(index, form.verb))
