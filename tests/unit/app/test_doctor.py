import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from dualsys.app import cli, doctor, machine_checks, rendering_setup
from dualsys.app.machine_checks import Finding
from dualsys.data import video


def test_it_passes_here_and_prints_a_line_for_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    """This machine runs the tests, so nothing that they need can be missing."""
    assert cli.main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert list(findings) == list(doctor.CHECKS)
    assert {finding["status"] for finding in findings.values()} <= {"ok", "warn"}
    assert "MuJoCo renders with" in findings["rendering"]["detail"]
    assert all(finding["fix"] for finding in findings.values() if finding["status"] == "warn")


@pytest.mark.parametrize(("status", "expected"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_only_a_failure_changes_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: str, expected: int
) -> None:
    finding = Finding(status=status, detail="what was found", fix="mend it so")  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "CHECKS", {"thing": lambda: finding})
    assert cli.main(["doctor"]) == expected
    printed = capsys.readouterr().out
    assert all(words in printed for words in (status, "thing", "what was found", "mend it so"))


def test_rendering_that_fails_is_reported_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "off")
    finding = machine_checks.rendering()
    assert finding.status == "fail"
    assert "rendering is switched off by MUJOCO_GL=off" in finding.detail
    assert finding.fix == "sudo apt-get install -y --no-install-recommends libegl1 libgl1"


def test_a_package_outside_its_range_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "4.0.0" if name == "mujoco" else real(name))
    finding = machine_checks.packages()
    assert finding.status == "fail"
    assert finding.detail == "mujoco 4.0.0 is outside <4,>=3.3"


def test_an_encoder_that_nothing_writes_with_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine_checks.video() == Finding(status="ok", detail=f"encodes with {video.CODEC}")
    monkeypatch.setattr("av.codecs_available", {"libopenh264", "mpeg4"})
    finding = machine_checks.video()
    assert (finding.status, finding.detail) == ("fail", f"no {video.CODEC} encoder in PyAV")


def test_shared_memory_that_is_missing_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine_checks, "SHARED_MEMORY", tmp_path / "shm")
    assert machine_checks.shared_memory().status == "fail"


def test_killed_runs_are_told_of_and_cleaned_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine_checks, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(doctor, "CHECKS", {"runs": machine_checks.killed_runs})
    (tmp_path / "dualsys.killed").mkdir()
    (tmp_path / "dualsys.killed" / "owner").write_text("1")
    (tmp_path / "dualsys.killed" / "state.box").write_bytes(bytes(2**21))
    assert cli.main(["doctor", "--json"]) == 0
    finding = json.loads(capsys.readouterr().out)["runs"]
    assert finding["status"] == "warn"
    assert "0 alive" in finding["detail"]
    assert "killed ones left 2.0 MiB" in finding["detail"]
    assert "dualsys.killed" in finding["detail"]
    assert finding["fix"].startswith("dualsys doctor --clean-up")
    assert cli.main(["doctor", "--json", "--clean-up"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["runs"]["status"] == "ok"
    assert said.err == f"removed {tmp_path / 'dualsys.killed'}\n"


def test_a_damaged_checkpoint_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    from dualsys.testing import fake_embodiment

    folder = make_checkpoint(tmp_path / "shipped", fake_embodiment(cameras=True))
    monkeypatch.setattr("dualsys.checkpoint.shipped_checkpoints", lambda: {"shipped": folder})
    assert machine_checks.checkpoint() == Finding(status="ok", detail="shipped readable")
    weights = folder / "actor.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    finding = machine_checks.checkpoint()
    assert finding.status == "fail"
    assert "actor.safetensors is truncated" in finding.detail


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that the set-up would run; each succeeds and does nothing."""
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_the_set_up_installs_mesa_where_it_may(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    probes = iter([None, None, "osmesa"])
    monkeypatch.setattr(rendering_setup, "probe_rendering", lambda: rendering_setup.RenderProbe(backend=next(probes)))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert rendering_setup.main() == 0
    assert [command for command in commands if "install" in command] == [
        ["apt-get", "install", "-y", "--no-install-recommends", "libegl1", "libgl1"],
        ["apt-get", "install", "-y", "--no-install-recommends", "libosmesa6"],
    ]


def test_the_set_up_prints_the_command_where_it_may_not(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    failed = rendering_setup.RenderProbe(backend=None, reason="no driver")
    monkeypatch.setattr(rendering_setup, "probe_rendering", lambda: failed)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "sudo" else f"/usr/bin/{name}")
    assert rendering_setup.main() == 1
    assert commands == []
    expected = "sudo apt-get update && sudo apt-get install -y --no-install-recommends libegl1 libgl1"
    assert expected in capsys.readouterr().err


def test_the_probe_survives_a_driver_that_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering_setup, "_PROGRAM", "import os, sys; sys.stderr.write('driver gone\\n'); os.abort()")
    probe = rendering_setup.probe_rendering()
    assert probe.backend is None
    assert "driver gone" in probe.reason or sys.platform != "linux"
