"""What a run shows of its planner, and of what went wrong."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from dualsys.app.run_live import LiveTable, print_report, progress_line, progress_table
from dualsys.bridge.progress import Progress


def progress(**planner: Any) -> Progress:
    statuses: dict[str, dict[str, Any]] = {"tick": {"planner_hz": 4.9}}
    if planner:
        statuses["supervisor"] = {"planner": planner}
    return Progress(stage="running", seconds=12.0, statuses=statuses)


@pytest.mark.parametrize(
    ("life", "shown"),
    [
        ({}, "planner 4.9 Hz; actor"),
        ({"state": "ready", "reason": "was killed by SIGKILL"}, "planner 4.9 Hz, ready; actor"),
        ({"state": "hung", "reason": "no sign of life"}, "planner 4.9 Hz, hung (no sign of life); actor"),
        ({"state": "stale", "reason": ""}, "planner 4.9 Hz, stale; actor"),
    ],
)
def test_the_line_and_the_table_tell_the_planners_state(life: dict[str, Any], shown: str) -> None:
    assert shown in progress_line(progress(**life))
    console = Console(file=StringIO(), width=200)
    console.print(progress_table(progress(**life), 60.0))
    assert isinstance(console.file, StringIO)
    assert life.get("state", "failed 0") in console.file.getvalue()


TROUBLES = [
    ({}, ""),
    ({"tick": {"stopped": False, "recoveries": 0}, "actor": {"outages": 0}, "supervisor": {"given_up": []}}, ""),
    ({"tick": {"stopped": True}}, "STOPPED until it is reset"),
    ({"tick": {"recoveries": 2}, "actor": {"outages": 1, "old_images": 3}},
     "recoveries 2, camera outages 1, old images 3"),
    ({"supervisor": {"given_up": ["actor"]}}, "actor given up"),
]  # fmt: skip


@pytest.mark.parametrize(("statuses", "shown"), TROUBLES)
def test_a_latched_stop_and_other_troubles_are_shown_and_nothing_where_all_is_well(
    statuses: dict[str, Any], shown: str
) -> None:
    seen = Progress(stage="running", seconds=12.0, statuses=statuses)
    assert progress_line(seen).endswith(f"0/0 episodes; {shown}" if shown else "0/0 episodes")
    console = Console(file=StringIO(), width=200)
    console.print(progress_table(seen, 60.0))
    assert isinstance(console.file, StringIO)
    written = console.file.getvalue()
    assert shown in written
    assert ("trouble" in written or "stopped" in written) == bool(shown)


def test_off_a_terminal_a_stop_and_its_end_are_lines_at_once() -> None:
    console = Console(file=StringIO(), width=200)
    table = LiveTable(60.0, console=console)
    for seconds, stopped in [(1.0, False), (1.25, True), (1.5, True), (1.75, False)]:
        table.show(Progress(stage="running", seconds=seconds, statuses={"tick": {"stopped": stopped}}))
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.endswith("STOPPED until it is reset") for line in lines] == [False, True, False]


def report(**more: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "successes": 0,
        "episodes": 1,
        "tick": {"hz": 500.0, "count": 1, "misses": 0, "lateness_us": {"p50": 1.0}},
        "planner": {"hz": 1.0, "restarts": 5, "age_s": {"p50": None}},
        "actor": {"hz": 10.0},
        "limited": {},
    }
    return figures | more


def test_the_report_tells_what_went_otherwise_than_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    well = {"counters": {"stops": 0, "recoveries": 0}, "supervisor": {"given_up": []}}
    tape = {"records_not_written": 0, "unrecorded": 0, "bytes_lost": 0, "damaged": False}
    print_report(report(**well, tape=tape, processes={"actor": {"outages": 0, "old_images": 0}}))
    quiet = capsys.readouterr().out
    for word in ("stop", "attempts", "given up", "cameras", "tape", "chunks", "warning"):
        assert word not in quiet
    counters = {"stops": 2, "stop_resets": 1, "recoveries": 3, "recoveries_given_up": 1, "chunks_refused_late": 8}
    told = {"counters": counters, "supervisor": {"given_up": ["camera"]}}
    losses = {"records_not_written": 4, "unrecorded": 0, "bytes_lost": 5, "damaged": True}
    print_report(report(**told, tape=losses, processes={"actor": {"outages": 6, "old_images": 7}}))
    rows = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    for row in (
        "emergency stop stopped 2, reset 1",
        "attempts failed, then tried again 3, left as they were 1",
        "chunks refused late 8",
        "given up camera",
        "cameras camera outages 6, old images 7",
        "tape records not written 4, bytes lost 5, damaged",
    ):
        assert row in rows


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        ({"requests": 9, "chunks": 1, "chunks_refused_finite": 8}, ""),
        ({"requests": 0, "chunks": 0}, ""),
        ({"requests": 9, "chunks": 0}, "accepted (refused: none came)"),
        (
            {"requests": 9, "chunks": 0, "chunks_refused_late": 8},
            "accepted (refused: late 8), so the robot held its pose\n",
        ),
        ({"requests": 9, "chunks": 0, "chunks_refused_finite": 8}, "its weights or statistics may be damaged"),
    ],
)
def test_an_actor_none_of_whose_chunks_was_taken_is_warned_of(
    counters: dict[str, int], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report(counters=counters))
    printed = capsys.readouterr().out
    assert said in printed
    assert ("warning: no chunk of the actor's was ever accepted" in printed) == bool(said)


def test_the_report_tells_an_early_end_and_time_without_a_subgoal(capsys: pytest.CaptureFixture[str]) -> None:
    figures = report(interrupted=True)
    figures["planner"]["ticks_without_subgoal"] = 1
    print_report(figures)
    said = " ".join(capsys.readouterr().out.split())
    assert "success 0/1, interrupted" in said
    assert "none in 1 of 1 ticks" in said


@pytest.mark.parametrize(("state", "shown"), [("ready", False), ("failed", True)])
def test_the_report_tells_a_planner_that_was_not_well_at_the_end(
    state: str, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    planner = {"hz": 1.0, "restarts": 5, "age_s": {"p50": None}, "life": {"state": state, "reason": "killed"}}
    print_report(report(planner=planner))
    assert ("failed at the end: killed" in capsys.readouterr().out) == shown
