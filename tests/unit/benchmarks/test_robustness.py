"""What the benchmark of perturbations makes of outcomes, and that its rounds are paired."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import robustness
from benchmarks.robustness import NONE, RobustnessConfig, compared, main, result_table
from dualsys.app.evaluation.config import EvalConfig


def outcomes(*successes: bool) -> dict[int, bool]:
    return dict(enumerate(successes, start=8000))


def test_each_condition_is_compared_with_none_on_its_seeds() -> None:
    rows = compared("a/b", {NONE: outcomes(True, True, True, False), "mass:mild": outcomes(True, False, False, False)})
    assert [row["difference"] for row in rows] == [0.0, -0.5]
    low, high = rows[1]["difference_ci95"]
    assert low < -0.5 < high
    console = Console(width=140, record=True)
    console.print(result_table(rows))
    text = console.export_text()
    assert "mass:mild" in text
    assert "1/4" in text
    assert "-50" in text


def test_rounds_are_paired_and_written_as_they_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations are replaced by what they would report: which seed succeeds under what is all that is asked here."""
    asked: list[tuple[str, tuple[str, ...], int, int]] = []

    def played(configs: list[EvalConfig]) -> list[dict[str, Any]]:
        asked.extend((each.suite_or_task, each.perturb, each.seed, each.episodes) for each in configs)
        return [{"tasks": [{"per_episode": _episodes(each)}]} for each in configs]

    monkeypatch.setattr(robustness, "evaluate_all", played)
    file = tmp_path / "figures.json"
    main(
        RobustnessConfig(
            tasks=("humanoid/touch",), presets=("mass",), levels=("mild",), episodes=7, seed=8000, json=file
        )
    )
    rounds = ((8000, 5), (8005, 2))
    names = (NONE, "mass:mild")
    assert asked == [("humanoid/touch", (name,), seed, count) for seed, count in rounds for name in names]
    report = json.loads(file.read_text())
    plain, mild = report["figures"]
    assert plain["b"]["successes"] == 7
    assert mild["b"]["successes"] == 4
    assert report["perturbations"]["mass:mild"] == [{"kind": "mass", "change_by": 0.25}]


def _episodes(config: EvalConfig) -> list[dict[str, Any]]:
    seeds = range(config.seed, config.seed + config.episodes)
    return [{"seed": seed, "success": config.perturb == (NONE,) or seed % 2 == 0} for seed in seeds]
