"""Parts of an evaluation as one."""

from typing import Any

import pytest

from benchmarks.joined_evaluation import join
from dualsys.errors import ConfigError


def part(seed: int, *successes: bool, checkpoint: str = "a") -> dict[str, Any]:
    episodes = [{"seed": seed + i, "success": won, "duration_s": 1.0 + i} for i, won in enumerate(successes)]
    return {
        "tasks": [{"task": "suite/task", "per_episode": episodes}],
        "config": {"checkpoint": checkpoint, "seed": seed, "episodes": len(episodes), "json": f"{seed}.json"},
        "controller_weights": "w",
        "versions": {"mujoco": "3"},
    }


def test_parts_are_joined_in_the_order_of_their_seeds() -> None:
    whole = join([part(12, True), part(10, True, False)])
    (task,) = whole["tasks"]
    assert [episode["seed"] for episode in task["per_episode"]] == [10, 11, 12]
    assert (task["successes"], task["episodes"], task["mean_duration_s"]) == (2, 3, pytest.approx(4 / 3))
    assert (whole["config"]["seed"], whole["config"]["episodes"]) == (10, 3)
    assert join([part(10, True, False), part(12, True)], first=2)["tasks"][0]["successes"] == 1


def test_holes_and_strangers_are_refused() -> None:
    with pytest.raises(ConfigError, match="follow"):
        join([part(10, True), part(12, True)])
    with pytest.raises(ConfigError, match="alike"):
        join([part(10, True), part(11, True, checkpoint="b")])
