"""`bridge_latency` and `wire`: their figures on readings that are known, and a reduced run of each."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.bridge_latency import RAY_CALL, SHARED, figures_of, ratios_of
from benchmarks.latency_reader import Readings, mailbox_read, tick
from benchmarks.latency_source import subgoal_of
from benchmarks.wire import OPENPI, OURS, RAY, summary
from benchmarks.wire_payload import ACTIONS, HORIZON, ask_on, pictures, rows_for
from dualsys.bridge import Mailbox

ROOT = Path(__file__).resolve().parents[3]


def run(name: str, *options: str) -> dict[str, Any]:
    target = Path(options[-1])
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.with_suffix(".png").stat().st_size > 5000
    return dict(json.loads(target.read_text()))


def test_a_tick_tells_new_from_nothing_new_and_counts_age_from_the_writing() -> None:
    box: Mailbox[object] = Mailbox.local()
    read, written = mailbox_read(box), 0

    def write_every_fifth() -> float | None:
        nonlocal written
        if written % 5 == 0:
            box.write(written, sequence=written, observation_stamp_s=0.0)
            time.sleep(0.002)
        written += 1
        return read()

    readings = tick(write_every_fifth, seconds=0.2, hz=100.0)
    assert readings.ticks == written
    assert len(readings.new_us) == -(-written // 5)
    assert len(readings.nothing_us) == written - len(readings.new_us)
    assert min(readings.age_us) >= 2000
    assert readings.ticks + readings.skipped <= 21


def test_ticks_that_a_slow_read_makes_late_are_skipped_and_counted() -> None:
    readings = tick(lambda: time.sleep(0.03), seconds=0.3, hz=100.0)
    assert readings.ticks <= 10
    assert readings.skipped >= readings.ticks


def test_figures_are_percentiles_and_ratios_of_medians() -> None:
    ours = Readings(nothing_us=[1.0, 2.0, 3.0], new_us=[10.0], ticks=4)
    theirs = Readings(nothing_us=[200.0], new_us=[400.0, 500.0], age_us=[7.0])
    assert figures_of(ours)["nothing_us"]["p50"] == 2.0
    assert figures_of(ours)["age_us"] == {"p50": None, "p99": None}
    assert ratios_of({(SHARED, 0): ours, (RAY_CALL, 0): theirs}, 0) == {"nothing_new": 100.0, "new": 45.0}
    assert ratios_of({(SHARED, 0): Readings(), (RAY_CALL, 0): theirs}, 0) == {"nothing_new": None, "new": None}
    assert summary([1.0, 2.0, 3.0]) == {"calls": 3, "p50_us": 2.0, "p99_us": pytest.approx(2.98), "max_us": 3.0}
    assert [subgoal_of(nbytes, 1).tokens.nbytes for nbytes in (0, 16_384, 2_097_152)] == [0, 16_384, 2_097_152]


def test_the_payload_is_the_one_that_is_named_and_wrong_answers_are_noticed() -> None:
    assert sum(image.nbytes for image in pictures().values()) == 451_584
    assert rows_for(np.full(64, 3.0)).nbytes == 6400

    def right(state: NDArray[np.float32], images: dict[str, NDArray[np.uint8]]) -> NDArray[np.float32]:
        return rows_for(state)

    def of_another_call(state: NDArray[np.float32], images: dict[str, NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.zeros((HORIZON, ACTIONS), np.float32)

    assert len(ask_on(right, 0.05)) > 1
    with pytest.raises(SystemExit, match=r"asked 1\.0, answered"):
        ask_on(of_another_call, 0.05)


@pytest.mark.slow
def test_a_reduced_run_reads_faster_from_the_mailbox_than_by_a_ray_call(tmp_path: Path) -> None:
    options = ["--seconds", "1", "--blocks", "1", "--sizes", "0", "131072", "--json", str(tmp_path / "latency.json")]
    report = run("bridge_latency", *options)
    assert len(report["rows"]) == 6
    assert all(row["new"] > 5 for row in report["rows"])
    assert set(report["ray_call_over_mailbox"]) == {"0", "131072"}
    # The claim is 20; what a busy machine must show at the least.
    assert report["ray_call_over_mailbox"]["131072"]["new"] > 5
    # Calls slower than subgoals come never find nothing new: one that found something stands for them then.
    rows = {row["way"]: row for row in report["rows"] if row["bytes"] == 131_072}
    call = rows[RAY_CALL]["nothing_us"]["p50"] or rows[RAY_CALL]["new_us"]["p50"]
    assert call > 5 * rows[SHARED]["nothing_us"]["p50"]


@pytest.mark.slow
def test_a_reduced_run_measures_all_three_ways_of_the_wire(tmp_path: Path) -> None:
    report = run("wire", "--seconds", "1.5", "--blocks", "1", "--json", str(tmp_path / "wire.json"))
    assert set(report["rows"]) == {OURS, OPENPI, RAY}
    assert all(row["calls"] > 20 for row in report["rows"].values())
    assert report["openpi"]["openpi-client"] == "0.1.2"
    assert report["p50_over_ours"][RAY] > 1
