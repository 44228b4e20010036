from collections import Counter

import numpy as np
import pytest

from dualsys.sim_envs.humanoid import grammar
from dualsys.sim_envs.humanoid.palette import COLOURS, colour_in
from dualsys.sim_envs.options import Phrasing

ALL = tuple(COLOURS)
SPLITS: tuple[Phrasing, ...] = ("train", "held-out")


def words(sentences: tuple[str, ...]) -> set[str]:
    return {word for sentence in sentences for word in sentence.split()}


def test_the_splits_share_no_sentence_and_no_verb_template_pair() -> None:
    assert not set(grammar.enumerate_sentences("train", ALL)) & set(grammar.enumerate_sentences("held-out", ALL))
    pairs = {split: {(form.template, form.verb) for form in grammar.forms(split)} for split in SPLITS}
    assert not pairs["train"] & pairs["held-out"]


def test_held_out_holds_whole_templates_and_new_pairs_of_seen_parts() -> None:
    templates = {split: {form.template for form in grammar.forms(split)} for split in SPLITS}
    assert len(templates["train"]) >= 25
    assert len(templates["held-out"] - templates["train"]) >= 5
    assert len(templates["held-out"] & templates["train"]) >= 5


def test_held_out_sentences_use_only_words_of_training() -> None:
    train, held_out = (words(grammar.enumerate_sentences(split, ALL)) for split in SPLITS)
    assert held_out <= train


def test_the_colour_word_stands_in_many_places() -> None:
    places = {form.say("red").split().index("red") for form in grammar.forms("train")}
    assert len(places) >= 8


@pytest.mark.parametrize("split", SPLITS)
def test_no_sentence_is_listed_twice_and_each_names_its_colour(split: Phrasing) -> None:
    for colour in ALL:
        sentences = grammar.enumerate_sentences(split, (colour,))
        assert len(sentences) == len(set(sentences))
        assert all(colour_in(sentence) == colour for sentence in sentences)
        assert not any("{" in sentence for sentence in sentences)


@pytest.mark.parametrize("split", SPLITS)
def test_samples_come_from_the_split_and_reach_all_its_templates(split: Phrasing) -> None:
    rng = np.random.default_rng(0)
    known = {form.say("cyan"): form.template for form in grammar.forms(split)}
    counts = Counter(known[grammar.sample(split, "cyan", rng)] for _ in range(3000))
    assert set(counts) == set(known.values())
    assert max(counts.values()) < 2 * min(counts.values()), "templates are equally likely"
