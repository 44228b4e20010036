from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from dualsys.sim_envs.humanoid.goals import HANDS_FREE, SIDES, TaskName, goals_in
from dualsys.sim_envs.humanoid.grammar import Grammar
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.humanoid.phrasebook import GRAMMARS
from dualsys.sim_envs.options import Phrasing

SPLITS: tuple[Phrasing, ...] = ("train", "held-out")
SUBJECT = {"colour": "cyan", "hand": "left", "other": "red", "other_hand": "right"}
LEAST_TEMPLATES = {
    "touch": (25, 5, 5),
    "pick": (20, 4, 5),
    "pick-with": (14, 3, 5),
    "bimanual": (10, 3, 5),
    "point": (14, 3, 5),
    "reach-and-hold": (14, 3, 5),
}
"""Of training, of held-out sentences alone, of both."""


@pytest.fixture(params=list(GRAMMARS))
def task(request: pytest.FixtureRequest) -> TaskName:
    name: TaskName = request.param
    return name


@pytest.fixture
def grammar(task: TaskName) -> Grammar:
    return GRAMMARS[task]


def subjects() -> Iterator[Mapping[str, str]]:
    """Every pair of colours, the hands both ways."""
    for colour in COLOURS:
        for other in COLOURS:
            for hand, other_hand in (SIDES, SIDES[::-1]):
                if colour != other:
                    yield {"colour": colour, "hand": hand, "other": other, "other_hand": other_hand}


def sentences(grammar: Grammar, phrasing: Phrasing) -> set[str]:
    return {form.say(subject) for form in grammar.forms(phrasing) for subject in subjects()}


def words(texts: set[str]) -> set[str]:
    return {word for text in texts for word in text.split()}


def test_there_is_one_for_each_task_but_sequences(task: TaskName) -> None:
    assert set(GRAMMARS) == {"touch", "pick", "pick-with", "bimanual", "point", "reach-and-hold"}


def test_the_splits_share_no_sentence_and_no_verb_template_pair(grammar: Grammar) -> None:
    assert not sentences(grammar, "train") & sentences(grammar, "held-out")
    pairs = {split: {(form.template, form.verb) for form in grammar.forms(split)} for split in SPLITS}
    assert not pairs["train"] & pairs["held-out"]


def test_held_out_holds_whole_templates_and_new_pairs_of_seen_parts(task: TaskName, grammar: Grammar) -> None:
    templates = {split: {form.template for form in grammar.forms(split)} for split in SPLITS}
    train, new, both = LEAST_TEMPLATES[task]
    assert len(templates["train"]) >= train
    assert len(templates["held-out"] - templates["train"]) >= new
    assert len(templates["held-out"] & templates["train"]) >= both


def test_held_out_sentences_use_only_words_of_this_tasks_training(grammar: Grammar) -> None:
    assert words(sentences(grammar, "held-out")) <= words(sentences(grammar, "train"))


def test_every_verb_and_noun_is_trained(grammar: Grammar) -> None:
    assert {form.verb for form in grammar.forms("train")} == set(grammar.verbs)
    assert {form.noun for form in grammar.forms("train")} == set(grammar.nouns)


def test_the_colour_word_stands_in_many_places(task: TaskName, grammar: Grammar) -> None:
    places = {form.say(SUBJECT).split().index("cyan") for form in grammar.forms("train")}
    assert len(places) >= {"touch": 8, "bimanual": 6}.get(task, 7)


@pytest.mark.parametrize("split", SPLITS)
def test_no_sentence_is_listed_twice_and_each_says_what_it_is_about(
    task: TaskName, grammar: Grammar, split: Phrasing
) -> None:
    for subject in subjects():
        listed = [form.say(subject) for form in grammar.forms(split)]
        assert len(listed) == len(set(listed))
        assert not any("{" in sentence for sentence in listed)
        for sentence in listed:
            check_goals(task, sentence, subject)


def check_goals(task: TaskName, sentence: str, subject: Mapping[str, str]) -> None:
    goals = goals_in(task, sentence)
    assert [goal.verb for goal in goals] == [HANDS_FREE.get(task, "pick")] * len(goals)
    assert [goal.colour for goal in goals] == [subject["colour"], subject["other"]][: len(goals)]
    assert len(goals) == (2 if task == "bimanual" else 1)
    hands = [subject["hand"], subject["other_hand"]][: len(goals)]
    names_hands = task == "pick-with" or (task == "bimanual" and {"left", "right"} <= set(sentence.split()))
    assert [goal.hand for goal in goals] == (hands if names_hands else [None] * len(goals))


@pytest.mark.parametrize("split", SPLITS)
def test_samples_come_from_the_split_and_reach_all_its_templates(grammar: Grammar, split: Phrasing) -> None:
    rng = np.random.default_rng(0)
    known = {form.say(SUBJECT): form.template for form in grammar.forms(split)}
    counts = Counter(known[grammar.sample(split, SUBJECT, rng)] for _ in range(3000))
    assert set(counts) == set(known.values())
    assert max(counts.values()) < 2 * min(counts.values()), "templates are equally likely"
