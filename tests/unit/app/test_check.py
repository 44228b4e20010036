"""`dualsys check` on a suite of tasks that are wrong in every way: each is told, and none keeps it from the others."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dualsys.app import check, cli
from dualsys.app.checking.examination import TaskFinding, examine
from dualsys.app.checking.examiners import examine_all
from dualsys.errors import ConfigError

SUITE = """
import os
import time

import numpy as np

from dualsys.errors import ConfigError, ExtraMissing
from dualsys.testing import ReachEnvironment, fake_embodiment

ROBOT = fake_embodiment()
POSE = np.full(3, 0.1)


class Reach(ReachEnvironment):
    def __init__(self, name):
        super().__init__(ROBOT, POSE)
        self.name = name
        self.privileged_columns = {"pose": ("a", "b", "c")}

    def step(self, action):
        if self.name == "dies":
            os._exit(7)
        if self.name == "hangs":
            time.sleep(60)
        return super().step(action)

    def privileged(self):
        return {"pose": POSE[:2] if self.name == "short-facts" else POSE}

    def render(self):
        picture = np.zeros((4, 4, 3), np.uint8)
        picture[0] = 0 if self.name == "blank" else 200
        return picture

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None if self.name == "random" else seed)


class Suite:
    NAMES = ("blank", "dies", "fine", "hangs", "lazy-expert", "missing", "no-expert", "raises", "random", "short-facts")

    def tasks(self):
        return tuple(f"wrong/{name}" for name in self.NAMES)

    def make(self, task, options):
        name = task.partition("/")[2]
        if name == "raises":
            raise ValueError("two lines\\nof it [red]")
        if name == "missing":
            raise ExtraMissing("pip install 'dualsys[wrong]'")
        return Reach(name)


class Expert:
    def __init__(self, environment):
        if environment.name == "no-expert":
            raise ConfigError("not for this one")
        self.environment = environment

    def reset(self):
        pass

    def act(self):
        return np.zeros(3) if self.environment.name == "lazy-expert" else POSE.copy()


SUITE = Suite()
"""
EXPECTED = {
    "blank": ("failed", "render() gave a blank picture"),
    "dies": ("failed", "its process died (it exited with 7)"),
    "fine": ("ok", ""),
    "hangs": ("failed", "it did not come to an end in time: --timeout-s"),
    "lazy-expert": ("failed", "its expert solved none of the seeds 0 to 1"),
    "missing": ("not installed", "pip install 'dualsys[wrong]'"),
    "no-expert": ("ok", ""),
    "raises": ("failed", "ValueError: two lines of it [red]"),
    "random": ("failed", "the states differ at step"),
    "short-facts": ("failed", "has 2 components, its columns 3"),
}


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a suite called `wrong`, and its expert."""
    info = tmp_path / "wrong-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[dualsys.environments]\nwrong = wrong_suite:SUITE\n[dualsys.experts]\nwrong = wrong_suite:Expert\n"
    )
    (tmp_path / "wrong_suite.py").write_text(SUITE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wrong_suite", raising=False)


def require_expected(findings: dict[str, TaskFinding], names: Any = tuple(EXPECTED)) -> None:
    assert set(findings) == {f"wrong/{name}" for name in names}
    for name in names:
        status, why = EXPECTED[name]
        assert (name, findings[f"wrong/{name}"].status) == (name, status)
        assert why in findings[f"wrong/{name}"].why


@pytest.mark.usefixtures("wrong")
@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"dies", "hangs"}))
def test_what_is_wrong_with_a_task_is_told(name: str) -> None:
    finding = examine(f"wrong/{name}", expert_episodes=2)
    require_expected({finding.task: finding}, (name,))
    if name == "fine":
        assert (finding.expert, finding.frame_ms) == ("2/2", 0.0)
        assert min(finding.build_s, finding.step_ms) > 0
    if name == "no-expert":
        assert finding.expert == "none"


@pytest.mark.slow
@pytest.mark.usefixtures("wrong")
def test_no_task_keeps_it_from_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "findings.json"
    arguments = ["check", "wrong", "--expert-episodes", "2", "--workers", "3", "--timeout-s", "8"]
    assert cli.main([*arguments, "--json", str(file)]) == 1
    report = json.loads(file.read_text())
    findings = [TaskFinding(**each) for each in report["findings"]]
    require_expected({finding.task: finding for finding in findings})
    assert [finding.task for finding in findings] == sorted(finding.task for finding in findings)
    assert report["versions"]["mujoco"]
    printed = capsys.readouterr().out
    assert "[wrong]" in "".join(printed.split()), "what is in brackets is no markup"
    assert "7 failed" in printed


@pytest.mark.usefixtures("wrong")
def test_the_status_tells_whether_what_was_named_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "wrong/fine"]) == 0
    assert cli.main(["check", "wrong/missing"]) == 1
    (why,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("wrong/missing: ")]
    assert EXPECTED["missing"][1] in why, "in one line, however narrow the terminal"
    assert cli.main(["check", "wrong/fin"]) == 2


@pytest.mark.usefixtures("wrong")
def test_all_is_every_suite_and_one_that_is_not_installed_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def take(tasks: list[str], **_: Any) -> list[TaskFinding]:
        tried.extend(tasks)
        return [TaskFinding(task="wrong/missing", status="not installed", why="its extra")]

    monkeypatch.setattr(check, "examine_all", take)
    assert cli.main(["check"]) == 0
    assert {"humanoid/touch", "dm_control/walker-walk", "wrong/fine"} <= set(tried)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"expert_episodes": -1}, {"timeout_s": 0.0}])
def test_counts_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        check.CheckConfig(**wrong)


def test_nothing_to_try_is_nothing_found() -> None:
    assert list(examine_all([], workers=2, expert_episodes=1, timeout_s=1.0)) == []
