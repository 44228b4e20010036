"""The soak benchmark, reduced: minutes instead of hours, the same faults, a point mass in processes."""

import random
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.memory import growth_mb_per_hour, resident_mb
from benchmarks.soak import GROWTH_MB, draw, memory_of, table, verdict_of
from benchmarks.soak_faults import RandomFailures
from benchmarks.soak_full_stack import FAULTS, run_full_stack
from benchmarks.soak_virtual import VirtualSoak
from tests.integration import bridge_system

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_hours_go_by_within_limits_and_are_decided_again(tmp_path: Path) -> None:
    soak = VirtualSoak(tmp_path, control_hz=20.0, fault_every_s=5.0, part_mb=1.0, longest_episode_s=120.0)
    blocks = list(soak.blocks(0.6))
    figures = {"virtual": soak.report() | memory_of(blocks, 0.6)}
    virtual = figures["virtual"]
    assert virtual["ticks"] == 0.6 * 3600 * 20
    assert min(virtual["faults"].values()) > 10
    assert len(virtual["samples"]) >= 3
    assert min(mb for _, mb in virtual["samples"]) > 20.0
    assert virtual["tape"]["parts"] > virtual["tape"]["parts_on_disk"] == len(list(tmp_path.iterdir())) == 3
    verdict = verdict_of(figures)
    assert verdict == {"virtual_within_limits": True, "virtual_decided_again": True, "virtual_memory_flat": True}
    draw(figures, tmp_path / "plot.png")
    with (tmp_path / "table").open("w") as file:
        Console(file=file, width=200).print(table(figures))
    assert "43200 commands, 0 differ" in (tmp_path / "table").read_text()


@pytest.mark.slow
def test_the_full_stack_comes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    system = bridge_system.reach_system(
        environment=bridge_system.part("reach", pose=2.0, max_steps=1_000_000, control_hz=100.0),
        control_hz=100.0,
        seconds=20.0,
        tape_bytes=4 * 2**20,
        log_folder=tmp_path / "logs",
    )
    full = run_full_stack(system, tmp_path, launcher="subprocess", fault_every_s=1.5, seed=3)
    verdict = verdict_of({"full_stack": full})
    assert sum(full["faults"].values()) >= 3
    assert set(full["faults"]) == set(FAULTS)
    assert full["memory"]["tick"]["last_mb"] > 1.0
    del verdict["full_stack_memory_flat"]  # Twenty seconds tell nothing of hours.
    assert all(verdict.values()), full
    draw({"full_stack": full}, tmp_path / "plot.png")


def test_failures_come_in_spells_of_the_share_asked_for() -> None:
    words = RandomFailures(0, 0.1)
    said = [words[call] for call in range(100_000)]
    assert 0.08 < sum(word != "none" for word in said) / len(said) < 0.12
    assert set(said) == {"none", "nan", "infinite", "shape", "stamp", "nothing"}
    again = RandomFailures(0, 0.1)
    assert said[:1000] == [again[call] for call in range(1000)]


def test_memory_that_grows_is_seen() -> None:
    rng = random.Random(0)
    flat = [(hour / 10, 100.0 + rng.random()) for hour in range(80)]
    assert abs(growth_mb_per_hour(flat)) < 0.3
    assert 6.7 < growth_mb_per_hour([(hours, mb + 7 * hours) for hours, mb in flat]) < 7.3
    leaking = [{"hours": hours, "resident_mb": mb + 7 * hours} for hours, mb in flat]
    assert memory_of(leaking, 8.0)["growth_mb"] > GROWTH_MB > memory_of(leaking, 1.0)["growth_mb"]
    before = resident_mb()
    kept = bytearray(b"x" * 64 * 2**20)
    assert resident_mb() - before > 0.9 * len(kept) / 2**20
    assert resident_mb(2**22 + 1) == 0.0
