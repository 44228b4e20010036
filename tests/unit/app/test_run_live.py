"""What a run shows of its planner."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from dualsys.app.run_live import print_report, progress_line, progress_table
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


@pytest.mark.parametrize(("state", "shown"), [("ready", False), ("failed", True)])
def test_the_report_tells_a_planner_that_was_not_well_at_the_end(
    state: str, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    report: dict[str, Any] = {
        "successes": 0,
        "episodes": 1,
        "tick": {"hz": 500.0, "count": 1, "misses": 0, "lateness_us": {"p50": 1.0}},
        "planner": {"hz": 1.0, "restarts": 5, "age_s": {"p50": None}, "life": {"state": state, "reason": "killed"}},
        "actor": {"hz": 10.0},
        "limited": {},
    }
    print_report(report)
    assert ("failed at the end: killed" in capsys.readouterr().out) == shown
