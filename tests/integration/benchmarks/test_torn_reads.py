"""The stress of the mailbox: its payloads tell numbers apart, it counts what it should, and a reduced run passes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.payload_pattern import PayloadPattern, mix
from benchmarks.stress_writer import MAILBOX, PLAIN
from benchmarks.torn_reads import Tally, draw, verdict_of

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = st.integers(0, 2**40)


@given(NUMBERS, NUMBERS, st.integers(1, 64), st.data())
def test_what_is_mixed_from_two_payloads_is_seen_wherever_it_is_cut(
    first: int, second: int, words: int, data: st.DataObject
) -> None:
    pattern = PayloadPattern(8 * words)
    one, other = bytes(pattern.payload(first)), bytes(pattern.payload(second))
    assert pattern.matches(first, one)
    assert pattern.matches(first, bytearray(one))
    cut = data.draw(st.integers(1, 8 * words - 1))
    mixed = one[:cut] + other[cut:]
    # A cut within a word may leave what is the same in both; a whole word never is.
    assert pattern.matches(first, mixed) == (mixed == one)
    assert pattern.matches(second, mixed) == (mixed == other)
    if first != second and cut <= 8 * (words - 1):
        assert not pattern.matches(first, mixed)
    if first != second and cut >= 8:
        assert not pattern.matches(second, mixed)


def test_numbers_are_mixed_as_published() -> None:
    """The first outputs of SplitMix64 seeded with 0, whose state counts up by the same constant."""
    assert [mix(number) for number in (1, 2, 3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert len({mix(number) for number in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, None),
        ({"torn": 1}, "mailbox_never_torn"),
        ({"gone_back": 1}, "mailbox_never_gone_back"),
        ({"new": 0}, "mailbox_read_at_all"),
        ({"asked": 6}, "mailbox_read_as_often_as_asked"),
        ({"asked": 5}, None),
    ],
)
def test_the_verdict_names_what_is_broken(changes: dict[str, int], broken: str | None) -> None:
    box = Tally(**{"kind": MAILBOX, "nbytes": 8, "new": 5, **changes})  # type: ignore[arg-type]
    plain = Tally(kind=PLAIN, nbytes=8, new=5, torn=2, gone_back=1)
    assert [name for name, good in verdict_of([box, plain]).items() if not good] == [broken][: broken is not None]
    blind = verdict_of([box, Tally(kind=PLAIN, nbytes=8, new=5)])
    assert not blind["plain_buffer_tears_in_the_same_harness"]


@pytest.mark.slow
@pytest.mark.parametrize("careful", ["--careful", "--no-careful"])
def test_a_reduced_stress_passes_and_writes_what_it_found(tmp_path: Path, careful: str) -> None:
    target = tmp_path / "torn.json"
    options = ["--seconds", "3", "--sizes", "16384", "262144", "--kill-every-s", "0.1", careful, "--json", str(target)]
    command = [sys.executable, "-m", "benchmarks.torn_reads", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(target.read_text())
    assert all(report["verdict"].values())
    boxes = [row for row in report["rows"] if row["kind"] == MAILBOX]
    assert [row["nbytes"] for row in boxes] == [16384, 262144]
    for row in boxes:
        assert (row["torn"], row["gone_back"]) == (0, 0)
        assert row["new"] > 50
        assert row["kills"] > 3
        assert row["epochs"] >= row["kills"] / 2
    assert sum(row["inside_a_write"] for row in boxes) > 0
    assert (tmp_path / "torn.png").stat().st_size > 5000


@pytest.mark.slow
def test_a_count_of_reads_ends_it_and_wrong_counts_are_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.torn_reads", "--sizes", "262144", "--json", str(tmp_path / "a.json")]
    done = subprocess.run([*command, "--reads", "1", "2"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "--reads wants a count for each" in done.stderr
    limits = ["--reads", "300", "--seconds", "60"]
    subprocess.run([*command, *limits], cwd=ROOT, capture_output=True, text=True, check=True)
    box = json.loads((tmp_path / "a.json").read_text())["rows"][0]
    assert 300 <= box["new"] < 600
    assert box["seconds"] < 60
    hurried = subprocess.run(
        [*command, "--reads", "1000000000", "--seconds", "1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert hurried.returncode == 1
    assert "mailbox_read_as_often_as_asked" in hurried.stderr


def test_a_plot_is_drawn_of_nothing_much(tmp_path: Path) -> None:
    draw([Tally(kind=MAILBOX, nbytes=8, timeline=[(0.0, 0)]), Tally(kind=PLAIN, nbytes=8)], tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
