"""Instructions in words: templates times verbs times nouns, with a part kept out of training.

Two kinds of sentence are held out: those of whole templates never seen in training, and those that join a seen verb
with a seen template in a pair never seen together. Every word of a held-out sentence occurs in training sentences.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from dualsys.sim_envs.options import Phrasing

_EVERY_HELD_OUT_PAIR = 7  # of the verb-template pairs, this one in seven is kept out


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A sentence but for what it is about: `{colour}`, and where its template has them `{hand}`, `{other}` ..."""

    template: str
    verb: str
    noun: str

    def say(self, subject: Mapping[str, str]) -> str:
        """The sentence about a subject."""
        return self.template.format(verb=self.verb, noun=self.noun, **subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """One task's sentences."""

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    train: tuple[str, ...]
    """Templates that occur in training."""
    held_out: tuple[str, ...]
    """Templates that never occur in training."""

    def forms(self, phrasing: Phrasing) -> tuple[Form, ...]:
        """Every form of a split, each once. The splits share no form."""
        return _forms(self, phrasing)

    def sample(self, phrasing: Phrasing, subject: Mapping[str, str], rng: np.random.Generator) -> str:
        """An instruction about a subject: first a template, all equally likely, then a form of it."""
        groups = _forms_by_template(self, phrasing)
        group = groups[int(rng.integers(len(groups)))]
        return group[int(rng.integers(len(group)))].say(subject)


@cache
def _forms(grammar: Grammar, phrasing: Phrasing) -> tuple[Form, ...]:
    return tuple(_train_forms(grammar) if phrasing == "train" else _held_out_forms(grammar))


@cache
def _forms_by_template(grammar: Grammar, phrasing: Phrasing) -> tuple[tuple[Form, ...], ...]:
    groups: dict[str, list[Form]] = {}
    for form in grammar.forms(phrasing):
        groups.setdefault(form.template, []).append(form)
    return tuple(tuple(group) for group in groups.values())


def _fillings(grammar: Grammar, template: str) -> Iterator[Form]:
    verbs = grammar.verbs if "{verb}" in template else grammar.verbs[:1]
    nouns = grammar.nouns if "{noun}" in template else grammar.nouns[:1]
    for verb, noun in itertools.product(verbs, nouns):
        yield Form(template=template, verb=verb, noun=noun)


def _is_held_out_pair(grammar: Grammar, index: int, verb: str) -> bool:
    """A fixed pattern that takes verbs and templates evenly; templates without a verb are never split."""
    has_verb = "{verb}" in grammar.train[index]
    return has_verb and (index + 3 * grammar.verbs.index(verb)) % _EVERY_HELD_OUT_PAIR == 0


def _train_forms(grammar: Grammar) -> Iterator[Form]:
    for index, template in enumerate(grammar.train):
        yield from (form for form in _fillings(grammar, template) if not _is_held_out_pair(grammar, index, form.verb))


def _held_out_forms(grammar: Grammar) -> Iterator[Form]:
    for template in grammar.held_out:
        yield from _fillings(grammar, template)
    for index, template in enumerate(grammar.train):
        yield from (form for form in _fillings(grammar, template) if _is_held_out_pair(grammar, index, form.verb))
