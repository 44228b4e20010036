"""`loop_jitter`: its arithmetic on figures that are known, and a reduced run with real processes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.jitter_parts import Undersampled
from benchmarks.jitter_tick import figures_of, pool, steal_s
from benchmarks.loop_jitter import holds, ratios_of, verdict_of
from dualsys.bridge.tick_measures import TickMeasures
from dualsys.testing import ReachEnvironment, fake_embodiment

ROOT = Path(__file__).resolve().parents[3]


def known(misses: int, p99_9: float) -> dict[str, Any]:
    return {"misses": misses, "lateness_us": {"p99_9": p99_9}}


def a_run(tick: dict[str, Any], empty: dict[str, Any], had: str = "SCHED_FIFO 80") -> dict[str, Any]:
    return {"scheduler": "fifo", "hz": 500.0, "loops": {"tick": tick, "empty": empty}, "realtime": {"scheduler": had}}


def test_the_claim_is_held_to_misses_and_to_the_percentile() -> None:
    assert holds(a_run(known(3, 150.0), known(2, 100.0)))
    assert not holds(a_run(known(4, 100.0), known(2, 100.0)))
    assert not holds(a_run(known(0, 151.0), known(0, 100.0)))
    assert not holds(a_run(known(1, 50.0), known(0, 100.0)))
    assert ratios_of(a_run(known(4, 100.0), known(0, 50.0))) == {"misses": None, "p99_9": 2.0}


def test_nothing_is_claimed_of_a_class_that_was_not_had() -> None:
    good = a_run(known(0, 1.0), known(0, 1.0))
    assert verdict_of([good, a_run(known(0, 1.0), known(0, 1.0), had="ordinary: not asked for more")]) == {
        "fifo at 500 Hz within 1.5 times the empty loop": True
    }


def test_blocks_are_pooled_as_one_long_block_would_count() -> None:
    rng = np.random.default_rng(0)
    lateness_s = rng.exponential(1e-4, 4000)
    whole, pooled = TickMeasures(), TickMeasures()
    for part in np.array_split(lateness_s, 5):
        block = TickMeasures()
        for index, late_s in enumerate(part):
            for measures in (whole, block):
                measures.woke(0.0, float(late_s), behind=int(index % 500 == 0))
        pool(pooled, block)
    for name, value in figures_of(whole)["lateness_us"].items():
        assert figures_of(pooled)["lateness_us"][name] == pytest.approx(value)
    assert figures_of(pooled)["misses"] == figures_of(whole)["misses"] == 20


def test_steal_is_read_from_its_field(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 250 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    assert steal_s(tmp_path / "stat") == 2.5
    assert steal_s() >= 0.0


def test_a_slower_task_is_stepped_in_every_second_tick() -> None:
    inner = ReachEnvironment(fake_embodiment(1), np.array([2.0]), control_dt_s=0.002, max_steps=4)
    environment = Undersampled(inner, 1000.0)
    assert environment.control_dt_s == pytest.approx(0.001)
    environment.reset(seed=0)
    ends = [environment.step(np.array([0.1]))[3] for _ in range(8)]
    assert ends == [False] * 7 + [True]


def test_a_reduced_run_measures_both_loops_in_turns(tmp_path: Path) -> None:
    target = tmp_path / "jitter.json"
    options = ["--seconds", "1", "--block-s", "0.5", "--hz", "200", "--load", "burners", "--json", str(target)]
    command = [sys.executable, "-m", "benchmarks.loop_jitter", *options, "--schedulers", "fifo", "none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    failed = [name for name, kept in json.loads(target.read_text())["verdict"].items() if not kept]
    assert done.returncode == bool(failed), done.stdout + done.stderr
    assert all(name in done.stderr for name in failed)
    assert target.with_suffix(".png").stat().st_size > 5000
    runs = json.loads(target.read_text())["runs"]
    assert [(run["scheduler"], run["hz"]) for run in runs] == [("fifo", 200.0), ("none", 200.0)]
    for run in runs:
        assert [block["loop"] for block in run["blocks"]] == ["tick", "empty"] * 2
        for name in ("tick", "empty"):
            figures = run["loops"][name]
            assert figures["count"] + figures["skipped"] == 200
            assert figures["lateness_us"]["p50"] <= figures["lateness_us"]["p99_9"] <= figures["lateness_us"]["max"]
            assert run["steal_s"][name] >= 0
    assert runs[1]["realtime"]["scheduler"] == "ordinary: not asked for more"
    assert runs[1]["realtime"]["memory"] == "not asked for"
    assert "missed" in done.stdout
