"""A link that is late, loses and is cut, and what `link_faults` makes of a log; and a reduced run in namespaces."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.link_faults import Phase, figures_of, newest_ages_s
from benchmarks.lossy_link import TUN, LossyLink, Quality

ROOT = Path(__file__).resolve().parents[3]


def carried(quality: Quality, packets: int, wait_s: float = 0.5) -> tuple[list[bytes], list[float]]:
    """What comes out at the other end, and how long each took."""
    (inside_a, a), (inside_b, b) = (socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    found: list[bytes] = []
    times_s: list[float] = []
    with inside_a, a, inside_b, b:
        with LossyLink((a.fileno(), b.fileno())) as link:
            link.quality = quality
            sent_s = []
            for number in range(packets):
                sent_s.append(time.monotonic())
                inside_a.send(str(number).encode())
                time.sleep(0.002)
            inside_b.settimeout(wait_s)
            try:
                while len(found) < packets:
                    found.append(inside_b.recv(100))
                    times_s.append(time.monotonic() - sent_s[int(found[-1])])
            except TimeoutError:
                pass
        # A packet can be there before it is counted, until the link's thread has ended.
        assert link.carried == len(found)
        assert link.lost == packets - len(found)
    return found, times_s


def test_a_good_link_carries_everything_in_order() -> None:
    found, _ = carried(Quality(), 50)
    assert found == [str(number).encode() for number in range(50)]


def test_a_late_link_carries_everything_late() -> None:
    found, times_s = carried(Quality(delay_s=0.1), 50)
    assert len(found) == 50
    assert min(times_s) >= 0.1


def test_a_lossy_link_loses_its_share_and_a_cut_one_everything() -> None:
    found, _ = carried(Quality(loss=0.5), 200)
    assert 60 < len(found) < 140
    assert carried(Quality(cut=True), 5, wait_s=0.1)[0] == []


def subgoal(seen_s: float, emitted_s: float, epoch: int = 1) -> dict[str, Any]:
    return {"kind": "subgoal", "observation_stamp_s": seen_s, "emitted_stamp_s": emitted_s, "epoch": epoch}


def test_ages_count_from_the_observation_of_the_newest_subgoal_that_was_there() -> None:
    subgoals = [subgoal(1.0, 1.2), subgoal(1.5, 1.8)]
    assert newest_ages_s([1.1, 1.2, 1.7, 1.8, 5.0], subgoals) == pytest.approx([0.2, 0.7, 0.3, 3.5])


def test_figures_tell_each_phase_and_the_return() -> None:
    phases = [
        Phase(name="good", quality=Quality(), begin_s=0.0, end_s=2.0),
        Phase(name="cut", quality=Quality(cut=True), begin_s=2.0, end_s=6.0),
        Phase(name="again", quality=Quality(), begin_s=6.0, end_s=9.0),
    ]
    commands = [{"kind": "command", "stamp_s": stamp / 10} for stamp in range(10, 90) if stamp != 15]
    figures = figures_of(phases, [*commands, subgoal(0.9, 1.0), subgoal(6.5, 7.0, epoch=2)])
    good, cut, again = figures["phases"]
    assert (good["ticks"], cut["ticks"], again["ticks"]) == (9, 40, 30)
    assert good["worst_gap_s"] == pytest.approx(0.2)
    assert (good["epochs"], cut["epochs"], again["epochs"]) == ([1], [], [2])
    assert cut["age_s"]["max"] == pytest.approx(5.0)
    assert cut["expired"] == pytest.approx(30 / 40)
    assert figures["back_after_s"] == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not TUN.exists(), reason="network namespaces take root and /dev/net/tun")
def test_a_reduced_run_in_two_namespaces_comes_back_after_a_cut_with_a_newer_epoch(tmp_path: Path) -> None:
    options = ["--seconds", "3", "--cut-s", "4", "--json", str(tmp_path / "link.json")]
    command = [sys.executable, "-m", "benchmarks.link_faults", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "link.json").read_text())
    good, late, _, cut, again = report["phases"]
    assert late["age_s"]["p50"] > good["age_s"]["p50"] + 0.05
    assert cut["age_s"]["max"] > 4
    assert cut["epochs"] in ([], [1])  # what was under way when it was cut
    assert cut["ticks"] > 1000
    assert 2 in again["epochs"]
    assert (tmp_path / "link.png").stat().st_size > 5000
