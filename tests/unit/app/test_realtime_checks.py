"""`dualsys doctor` on scheduling: tried as the tick would, told as it is."""

import subprocess
from pathlib import Path

import pytest

from dualsys.app import realtime_checks


def test_scheduling_is_tried_by_the_very_code_of_the_tick() -> None:
    finding = realtime_checks.scheduling()
    assert "SCHED_FIFO 80" in finding.detail
    assert "SCHED_DEADLINE 1000 us in 2000 us" in finding.detail
    assert "memory: " in finding.detail
    granted = finding.detail.startswith("SCHED_FIFO 80;")
    assert granted or finding.status == "warn"


def test_what_is_not_granted_is_a_warning_with_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, "ordinary: SCHED_FIFO 80: not permitted\nlocked\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    finding = realtime_checks.scheduling()
    assert (finding.status, "rtprio" in finding.fix) == ("warn", True)
    assert "SCHED_FIFO: ordinary: SCHED_FIFO 80: not permitted" in finding.detail


def test_a_trial_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "no interpreter\n")

    monkeypatch.setattr(subprocess, "run", run)
    finding = realtime_checks.scheduling()
    assert finding.status == "warn"
    assert "not tried: no interpreter" in finding.detail


def test_the_kernel_is_read_from_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(realtime_checks, "SYSTEM", tmp_path)
    assert realtime_checks.kernel().detail.startswith("no PREEMPT_RT; isolated CPUs: none; governor: not told;")
    for name, text in (
        ("sys/kernel/realtime", "1"),
        ("sys/devices/system/cpu/isolated", "3"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
        ("proc/sys/kernel/sched_rt_runtime_us", "-1"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    finding = realtime_checks.kernel()
    assert finding.detail == ("PREEMPT_RT; isolated CPUs: 3; governor: powersave; real-time tasks are throttled never")
    assert (finding.status, finding.fix.split()[:2]) == ("warn", ["sudo", "cpupower"])
