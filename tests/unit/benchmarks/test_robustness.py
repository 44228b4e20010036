"""What the benchmark of perturbations makes of outcomes, and that its rounds are paired."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import robustness
from benchmarks.robustness import NONE, RobustnessConfig, compared, main, result_table
from dualsys.app.evaluation.config import EvalConfig
from dualsys.errors import ConfigError


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
    config = RobustnessConfig(
        tasks=("humanoid/touch",), presets=("mass",), levels=("mild",), episodes=7, seed=8000, json=file
    )
    main(config)
    rounds = ((8000, 5), (8005, 2))
    names = (NONE, "mass:mild")
    assert asked == [("humanoid/touch", (name,), seed, count) for seed, count in rounds for name in names]
    report = json.loads(file.read_text())
    plain, mild = report["figures"]
    assert plain["b"]["successes"] == 7
    assert mild["b"]["successes"] == 4
    assert report["perturbations"]["mass:mild"] == [{"kind": "mass", "change_by": 0.25}]
    asked.clear()
    main(replace(config, episodes=12, resume=True))
    assert asked == [("humanoid/touch", (name,), 8005, 5) for name in names] + [
        ("humanoid/touch", (name,), 8010, 2) for name in names
    ]
    longer = json.loads(file.read_text())["figures"][1]
    assert (longer["episodes"], longer["b"]["successes"]) == (12, 6)


def test_a_file_of_other_weights_or_strengths_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    same = {"checkpoint": "x", "weights": "1", "perturbations": {"mass:mild": [1]}}
    empty: robustness.Outcomes = {"a/b": {"mass:mild": {}}}
    file.write_text(json.dumps({**same, "outcomes": {"a/b": {"mass:mild": {"3": True}}}}))
    assert robustness.resumed(file, {"a/b": {"mass:mild": {}}}, same) == {"a/b": {"mass:mild": {3: True}}}
    with pytest.raises(ConfigError, match="differs in weights"):
        robustness.resumed(file, empty, same | {"weights": "2"})
    with pytest.raises(ConfigError, match="another strength of mass:mild"):
        robustness.resumed(file, empty, same | {"perturbations": {"mass:mild": [2]}})


def _episodes(config: EvalConfig) -> list[dict[str, Any]]:
    seeds = range(config.seed, config.seed + config.episodes)
    return [{"seed": seed, "success": config.perturb == (NONE,) or seed % 2 == 0} for seed in seeds]
