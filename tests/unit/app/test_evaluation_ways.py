"""One evaluation, played in several ways, is one file: alone, by four workers, killed half-way and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualsys.app.evaluate import evaluate, evaluate_all, main
from dualsys.app.evaluation.config import NOT_DECIDING, EvalConfig
from dualsys.app.evaluation.journal import journal_of
from dualsys.errors import ConfigError

ROOT = Path(__file__).parents[3]
PATIENCE_S = 240.0
STANDING = EvalConfig(suite_or_task="humanoid/touch", planner="null", actor="hold", episodes=12)
"""A robot that stands: all of an episode but the models."""


def decided(file: Path) -> str:
    """A result's text without what the clock on the wall gives."""
    report = json.loads(file.read_text())
    assert json.dumps(report, indent=2, sort_keys=True) + "\n" == file.read_text()
    assert report["config"].keys().isdisjoint(NOT_DECIDING)
    assert set(NOT_DECIDING) < report.pop("timings").keys()
    return json.dumps(report, indent=2, sort_keys=True)


def timings(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())["timings"]
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("alone") / "touch.json"
    assert main(replace(STANDING, json=file)) == 0
    return file


@pytest.mark.slow
def test_four_workers_write_the_same(alone: Path, tmp_path: Path) -> None:
    file = tmp_path / "touch.json"
    assert main(replace(STANDING, workers=4, json=file)) == 0
    assert decided(file) == decided(alone)
    assert file.with_suffix(".png").read_bytes() == alone.with_suffix(".png").read_bytes()
    assert timings(file)["workers"] == 4
    assert timings(file)["episodes_played"] == 12
    assert len(timings(file)["episode_wall_s"]["humanoid/touch"]) == 12


@pytest.mark.slow
def test_killed_half_way_and_gone_on_with_by_fewer_workers_it_is_the_same(alone: Path, tmp_path: Path) -> None:
    file = tmp_path / "touch.json"
    journal = journal_of(file)
    options = ["humanoid/touch", "--planner", "null", "--actor", "hold", "--episodes", "12"]
    command = [sys.executable, "-m", "dualsys.app.cli", "eval", *options, "--workers", "2", "--json", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline_s = time.monotonic() + PATIENCE_S
        while not journal.exists() or journal.read_bytes().count(b"\n") < 5:
            assert time.monotonic() < deadline_s
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.005)
        process.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert not file.exists()
    before = journal.read_bytes().count(b"\n") - 1
    assert 4 <= before < 12
    assert main(replace(STANDING, json=file, resume=True)) == 0
    assert decided(file) == decided(alone)
    assert timings(file)["episodes_kept"] == before
    assert timings(file)["episodes_played"] == 12 - before
    assert not journal.exists()


@pytest.mark.slow
def test_several_evaluations_share_their_workers_and_are_as_each_alone(tmp_path: Path) -> None:
    """As where an option is swept; the journal tells them apart, too."""
    configs = [replace(STANDING, episodes=2, seed=seed, workers=2) for seed in (8000, 8001)]
    journal = tmp_path / "swept.partial.jsonl"
    together = evaluate_all(configs, journal=journal)
    again = evaluate_all(configs, journal=journal, resume=True)
    for config, report, kept in zip(configs, together, again, strict=True):
        single = evaluate(replace(config, workers=1))
        assert {**report, "timings": 0} == {**single, "timings": 0} == {**kept, "timings": 0}
        assert kept["timings"]["episodes_played"] == 0
    with pytest.raises(ConfigError, match=r"evaluation\.2\.config\.seed 8001 \(now 8002\)"):
        evaluate_all([configs[0], replace(configs[1], seed=8002)], journal=journal, resume=True)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"resume": True}, "--resume goes on with what is kept beside --json FILE"),
        ({"max_retries": -1}, "--max-retries must not be negative"),
        ({"ray_address": "here:6379"}, "--ray-address .* give --launcher ray"),
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        replace(STANDING, **wrong)
