"""What the meaning benchmark tells the planner, and what it counts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.subgoal_meaning import (
    Condition,
    MeaningConfig,
    Task,
    Telling,
    asked_for,
    chance_of,
    conditions_of,
    did_as_told,
    main,
    other_handed,
    play_all,
    recoloured,
    summary,
    tell,
)
from dualsys import sim_envs
from dualsys.checkpoint import Checkpoint
from dualsys.sim_envs.humanoid.goals import goals_in

BLOCKS = {
    "red": np.array([0.3, 0.02, 0.0]),
    "green": np.array([0.3, 0.2, 0.0]),
    "blue": np.array([0.35, -0.2, 0.0]),
    "cyan": np.array([0.38, -0.05, 0.0]),
}


def test_one_colour_is_named_for_another() -> None:
    assert recoloured("take the red piece and the blue one", "red", "cyan") == "take the cyan piece and the blue one"


def test_hands_are_exchanged_and_back() -> None:
    text = "with your left hand grab the red block not right now"
    assert other_handed(text) == "with your right hand grab the red block not left now"
    assert other_handed(other_handed(text)) == text


@pytest.mark.parametrize("task", ["touch", "pick", "pick-with", "bimanual"])
@pytest.mark.parametrize("phrasing", ["train", "held-out"])
def test_sentences_are_read_as_the_environment_reads_them(task: Any, phrasing: Any) -> None:
    environment: Any = sim_envs.make(f"humanoid/{task}", images="on-demand", phrasing=phrasing)
    for seed in range(60):
        environment.reset(seed=seed)
        name: Task = f"humanoid/{task}"  # type: ignore[assignment]
        named = asked_for(name, environment.instruction)
        goals = goals_in(task, environment.instruction)
        assert named.colours == tuple(goal.colour for goal in goals)
        assert named.hand == (goals[0].hand if task == "pick-with" else None)
        blocks = environment.privileged()["blocks"]
        for condition in conditions_of(name):
            told = tell(name, condition, named, blocks, seed)
            if told is None:
                assert condition == "another instruction"
                assert task in ("pick-with", "bimanual")
                continue
            asked = goals_in(task, told.instruction)
            assert told.colours == tuple(goal.colour for goal in asked)
            assert set(told.colours) <= set(blocks)
            other_colours = set(told.colours) != set(named.colours)
            assert other_colours == (condition == "another instruction")
            assert len(told.colours) == len(named.colours) == len({*told.colours})
            assert (told.hand != named.hand) == (condition == "other hand")
    environment.close()


def test_a_hand_is_told_only_what_it_reaches() -> None:
    named = Telling(instruction="lift the red block with your left hand", colours=("red",), hand="left")
    told = {
        told.colours[0]
        for seed in range(12)
        if (told := tell("humanoid/pick-with", "another instruction", named, BLOCKS, seed)) is not None
    }
    assert told == {"green"}  # blue is the right hand's, cyan in the middle but too far
    assert tell("humanoid/pick-with", "another instruction", named, {"red": BLOCKS["red"]}, 0) is None


def test_both_hands_keep_a_block_each() -> None:
    text = "lift the green block with the left hand and the blue block with the right hand"
    named = Telling(instruction=text, colours=("green", "blue"))
    told = tell("humanoid/bimanual", "another instruction", named, {k: BLOCKS[k] for k in ("green", "blue", "cyan")}, 3)
    assert told is not None
    assert told.instruction == "lift the green block with the left hand and the cyan block with the right hand"


def test_no_task_without_hands_is_told_the_other() -> None:
    for task in ("humanoid/touch", "humanoid/pick", "humanoid/bimanual"):
        assert "other hand" not in conditions_of(task)


def episode(named: tuple[str, ...], told: tuple[str, ...], **what: Any) -> dict[str, Any]:
    """A result in which nothing happened but `what`."""
    info = {"touched": None, "lifted": None, "lifted_by": None, "num_blocks": 4}
    return {
        "success": what.pop("success", False),
        "up": what.pop("up", []),
        "named": {"colours": named, "hand": None},
        "told": {"colours": told, "hand": what.pop("hand", None)},
        "info": info | what,
    }


RED, BLUE, PAIR, OTHER_PAIR = ("red",), ("blue",), ("red", "blue"), ("red", "cyan")


@pytest.mark.parametrize(
    ("task", "result", "expected"),
    [
        ("humanoid/touch", episode(RED, BLUE, touched="blue"), True),
        ("humanoid/touch", episode(RED, BLUE, touched="red", success=True), False),
        ("humanoid/touch", episode(RED, RED), False),
        ("humanoid/pick", episode(RED, BLUE, lifted="blue", lifted_by="left"), True),
        ("humanoid/pick", episode(RED, BLUE, lifted="red", lifted_by="left"), False),
        ("humanoid/pick-with", episode(RED, RED, lifted="red", lifted_by="left", hand="left"), True),
        ("humanoid/pick-with", episode(RED, RED, lifted="red", lifted_by="right", hand="left"), False),
        ("humanoid/pick-with", episode(RED, RED, hand="left"), False),
        ("humanoid/bimanual", episode(PAIR, PAIR, success=True, up=list(PAIR)), True),
        ("humanoid/bimanual", episode(PAIR, PAIR, up=list(PAIR)), False),
        ("humanoid/bimanual", episode(PAIR, OTHER_PAIR, up=["cyan"]), True),
        ("humanoid/bimanual", episode(PAIR, OTHER_PAIR, up=["cyan", "red"]), True),
        ("humanoid/bimanual", episode(PAIR, OTHER_PAIR, up=["cyan", "blue"]), False),
        ("humanoid/bimanual", episode(PAIR, OTHER_PAIR, up=["red"]), False),
    ],
)
def test_what_counts_as_told(task: Task, result: dict[str, Any], expected: bool) -> None:
    assert did_as_told(task, result) is expected


@pytest.mark.parametrize(
    ("task", "expected"),
    [("touch", 1 / 4), ("pick", 1 / 4), ("pick-with", 1 / 8), ("bimanual", 1 / 6)],
)
def test_chance(task: str, expected: float) -> None:
    assert chance_of(f"humanoid/{task}", 4) == pytest.approx(expected)  # type: ignore[arg-type]


def test_summary_counts_both() -> None:
    results = [
        episode(RED, BLUE, lifted="blue", lifted_by="left"),
        episode(RED, BLUE, lifted="red", lifted_by="left", success=True),
        episode(RED, BLUE, num_blocks=2),
        episode(RED, BLUE, num_blocks=2, lifted="blue", lifted_by="right"),
    ]
    row = summary("humanoid/pick", results)
    assert (row["episodes"], row["named"], row["instructed"]) == (4, 1, 2)
    assert (row["named_rate"], row["instructed_rate"]) == (0.25, 0.5)
    assert row["chance"] == pytest.approx((1 / 4 + 1 / 4 + 1 / 2 + 1 / 2) / 4)
    assert row["named_ci95"][0] < 0.25 < row["named_ci95"][1]
    assert summary("humanoid/pick", []) == {"episodes": 0}


def test_conditions_are_those_of_the_first_table() -> None:
    expected: tuple[Condition, ...] = (
        "as trained",
        "held-out phrasing",
        "null planner",
        "shuffled images",
        "another instruction",
    )
    assert conditions_of("humanoid/touch") == expected
    assert conditions_of("humanoid/pick-with") == (*expected, "other hand")


@pytest.mark.slow
def test_episodes_do_not_depend_on_the_number_of_workers() -> None:
    config = MeaningConfig(task="humanoid/touch", episodes=1, seed=8003)
    alone, shared = (list(play_all(replace(config, workers=workers))) for workers in (1, 2))
    assert shared == alone
    assert [condition for condition, _ in alone] == list(conditions_of(config.task))


@pytest.mark.slow
def test_each_condition_is_what_its_name_says() -> None:
    config = MeaningConfig(task="humanoid/pick-with", episodes=2, seed=8003, workers=1)
    played = list(play_all(config))
    assert [condition for condition, _ in played] == list(conditions_of(config.task))
    seeds = {condition: [result["seed"] for result in results] for condition, results in played}
    assert seeds["as trained"] == seeds["other hand"] == [8003, 8004]
    assert seeds["another instruction"] == [8004], "with 8003, the hand reaches no other block"
    results = dict(played)
    assert all(result["told"] == result["named"] for result in results["as trained"])
    assert all(result["told"]["colours"] != result["named"]["colours"] for result in results["another instruction"])
    assert all(result["told"]["hand"] != result["named"]["hand"] for result in results["other hand"])
    assert results["null planner"] != results["as trained"]


@pytest.mark.slow
def test_the_figures_say_whose_they_are(tmp_path: Path) -> None:
    file = tmp_path / "meaning.json"
    main(MeaningConfig(episodes=1, json=file))
    assert json.loads(file.read_text())["controller_weights"] == Checkpoint.open("humanoid-table").weights_digest()
