import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.errors import ConfigError
from dualsys.sim_envs.humanoid.goals import TASKS, Goal, TaskName, Verb, goals_in, side_of
from dualsys.sim_envs.humanoid.layout import draw_episode
from dualsys.sim_envs.options import Phrasing


def pick(colour: str, hand: str | None = None) -> Goal:
    return Goal(verb="pick", colour=colour, hand=hand)  # type: ignore[arg-type]


def touch(colour: str, hand: str | None = None) -> Goal:
    return Goal(verb="touch", colour=colour, hand=hand)  # type: ignore[arg-type]


FREE_TEXT: list[tuple[TaskName, str, tuple[Goal, ...]]] = [
    ("touch", "Go for the CYAN thing!", (touch("cyan"),)),
    ("touch", "pick up the red block", (touch("red"),)),
    ("pick", "Grab me that Green one, would you?", (pick("green"),)),
    ("pick", "lift blue with the left hand", (pick("blue", "left"),)),
    ("pick", "lift blue with the left or the right hand", (pick("blue"),)),
    ("pick-with", "Yellow, LEFT hand.", (pick("yellow", "left"),)),
    ("pick-with", "your right one takes purple", (pick("purple", "right"),)),
    ("bimanual", "purple and cyan, one in each hand", (pick("purple"), pick("cyan"))),
    ("bimanual", "right: red; left: green", (pick("red", "right"), pick("green", "left"))),
    ("bimanual", "the red one left of the green one", (pick("red"), pick("green"))),
    ("sequence", "touch red, then blue", (touch("red"), touch("blue"))),
    ("sequence", "tap red and then tap blue and then lift green", (touch("red"), touch("blue"), pick("green"))),
    ("sequence", "Press red. After that, take blue with the left hand.", (touch("red"), pick("blue", "left"))),
    (
        "sequence",
        "look for the red box then tap it and after that find blue then lift it",
        (touch("red"), pick("blue")),
    ),
    ("sequence", "touch red then touch red", (touch("red"), touch("red"))),
]


@pytest.mark.parametrize(("task", "text", "goals"), FREE_TEXT)
def test_free_text_says_what_is_to_be_done(task: TaskName, text: str, goals: tuple[Goal, ...]) -> None:
    assert goals_in(task, text) == goals


@pytest.mark.parametrize(
    ("task", "text", "told"),
    [
        ("touch", "touch the mauve block", "name one of: red, green, blue, yellow, purple, cyan"),
        ("pick", "lift red or blue", r"several colours \(red, blue\)"),
        ("pick", "lift it with the left hand", "name one of: red"),
        ("pick-with", "lift red", "must name one hand: left or right"),
        ("pick-with", "lift red with left and right", "must name one hand: left or right"),
        ("pick-with", "lift the mauve block with the left hand", "name one of: red"),
        ("bimanual", "lift red", "must name two colours out of: red, green, blue, yellow, purple, cyan"),
        ("bimanual", "lift red and red", "must name two colours"),
        ("bimanual", "lift red, blue and green", "must name two colours"),
        ("sequence", "touch red", r"has 1 step\(s\); join two or three with 'then'"),
        ("sequence", "touch red, blue and green", "has 1 step"),
        ("sequence", "red then blue then green then cyan", "has 4 step"),
        ("sequence", "touch red then touch the mauve block", "'touch the mauve block'|' touch the mauve block'"),
        (
            "sequence",
            "touch red then blue or green",
            r"several colours \(green, blue\)|several colours \(blue, green\)",
        ),
        ("sequence", "", "has 0 step"),
    ],
)
def test_what_a_task_cannot_ask_for_is_refused_with_what_exists(task: TaskName, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        goals_in(task, text)


@settings(max_examples=300)
@given(task=st.sampled_from(TASKS), seed=st.integers(0, 2**31 - 1), phrasing=st.sampled_from(["train", "held-out"]))
def test_drawn_sentences_say_what_is_drawn(task: TaskName, seed: int, phrasing: Phrasing) -> None:
    episode = draw_episode(seed, task=task, phrasing=phrasing)
    assert goals_in(task, episode.instruction) == episode.goals


def test_a_block_is_for_the_hand_of_its_side_unless_another_is_named() -> None:
    assert (side_of(0.1), side_of(-0.1)) == ("left", "right")
    verb: Verb = "pick"
    for y_m in (0.1, -0.1):
        assert Goal(verb=verb, colour="red").hand_at(y_m) == side_of(y_m)
        assert Goal(verb=verb, colour="red", hand="right").hand_at(y_m) == "right"
