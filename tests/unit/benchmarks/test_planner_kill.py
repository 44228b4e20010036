"""What the killed planner's benchmark writes."""

import json
from pathlib import Path

import pytest

from benchmarks.planner_kill import PlannerKillConfig, main
from dualsys.checkpoint import Checkpoint


@pytest.mark.slow
def test_the_figures_say_whose_they_are(tmp_path: Path) -> None:
    file = tmp_path / "kill.json"
    main(PlannerKillConfig(seconds=4.0, repetitions=1, launcher="subprocess", json=file))
    report = json.loads(file.read_text())
    assert report["controller_weights"] == Checkpoint.open("humanoid-table").weights_digest()
    assert len(report["runs"]) == 1
