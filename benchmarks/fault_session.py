"""One run in processes whose planner is killed and stopped again and again, and what the arm noticed of each."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any, Literal

from dualsys.bridge.launchers import LauncherName
from dualsys.bridge.processes import run_processes
from dualsys.bridge.progress import Progress
from dualsys.bridge.system import SystemConfig
from dualsys.telemetry import read_log
from dualsys.testing.limits import check_limits

FaultKind = Literal["kill", "hang"]
"""`kill`: SIGKILL. `hang`: SIGSTOP, which nobody notices but by the age of what it writes."""

_SIGNALS = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP}
_START_S = 20.0
"""What a planner may take to be back, for the length of a run."""


@dataclass(slots=True)
class Saboteur:
    """Does harm to the planner whenever it has been well for a window, and keeps the tick's counts over time."""

    kinds: Sequence[FaultKind]
    window_s: float
    show: Callable[[Progress], None]
    faults: list[tuple[FaultKind, float]] = field(default_factory=list)
    """What was done, and when on the machine's monotonic clock."""
    counts: list[tuple[float, int]] = field(default_factory=list)
    """Time and misses so far."""
    _well_since_s: float | None = None
    _ended: bool = False

    def look(self, progress: Progress) -> None:
        """Note what the tick says; do harm when it is time, and end the run after the last window."""
        self.show(progress)
        tick, now_s = progress.statuses.get("tick", {}), monotonic()
        if not tick.get("running"):
            return
        self.counts.append((now_s, tick["misses"]))
        life = progress.statuses["supervisor"]["planner"]
        # A standby that still loads is none yet.
        if life["state"] != "ready" or not all(host["loaded"] for host in life["hosts"]):
            self._well_since_s = None
        elif self._well_since_s is None:
            self._well_since_s = now_s
        if not self._is_time(now_s):
            # What is given up comes back to nobody.
            if life["state"] == "failed":
                self._end(tick["pid"])
        elif len(self.faults) < len(self.kinds):
            kind = self.kinds[len(self.faults)]
            self.faults.append((kind, now_s))
            self._well_since_s = None
            os.kill(progress.statuses["planner"]["pid"], _SIGNALS[kind])
        else:
            self._end(tick["pid"])

    def _is_time(self, now_s: float) -> bool:
        """Whether the window before is clean, and that after the last fault is over."""
        is_well = self._well_since_s is not None and now_s >= self._well_since_s + self.window_s
        return is_well and (not self.faults or now_s >= self.faults[-1][1] + 2 * self.window_s)

    def _end(self, tick: int) -> None:
        if not self._ended:
            self._ended = True
            os.kill(tick, signal.SIGTERM)

    def misses(self, begin_s: float, end_s: float) -> int:
        """Ticks missed between two times, to the quarter of a second in which the tick reports."""
        return self._misses_by(end_s) - self._misses_by(begin_s)

    def _misses_by(self, time_s: float) -> int:
        return max((misses for seen_s, misses in self.counts if seen_s <= time_s), default=0)


def run_session(
    system: SystemConfig,
    *,
    launcher: LauncherName,
    kinds: Sequence[FaultKind],
    window_s: float,
    show: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a system until all faults are done; figures of each fault, and of the run.

    Args:
        system: With a folder for its log. Its length is set here.
        launcher: Who runs the planner.
        kinds: The faults, in order.
        window_s: How long the tick is watched before and after each.
        show: Called several times a second.
    """
    assert system.log_folder is not None, "the figures are read from the log"
    seconds = (len(kinds) + 1) * (3 * window_s + system.planner_life.hangs_after_s + _START_S)
    saboteur = Saboteur(kinds=kinds, window_s=window_s, show=show)
    report = run_processes(
        system.model_copy(update={"seconds": seconds}),
        run_id=f"faults-{os.getpid()}",
        launcher=launcher,
        on_progress=saboteur.look,
    ).report
    lines = read_log(system.log_folder / "commands.jsonl")
    commands = [line for line in lines if line["kind"] == "command"]
    kept = check_limits(lines, system.embodiment, 1.0 / system.control_hz)
    subgoals = _subgoals(system.log_folder)
    gaps = _gaps(commands)
    return {
        "standbys": system.planner_standbys,
        "faults": [
            {
                "kind": kind,
                "standbys": system.planner_standbys,
                "misses_before": saboteur.misses(at_s - window_s, at_s),
                "misses_after": saboteur.misses(at_s, at_s + window_s),
                "worst_gap_s": max((gap_s for end_s, gap_s in gaps if at_s <= end_s <= at_s + window_s), default=None),
                "recovery_s": recovery(subgoals, at_s),
            }
            for kind, at_s in saboteur.faults
        ],
        "limits": asdict(kept),
        "worst_gap_s": max((gap_s for _, gap_s in gaps), default=None),
        "tick": report["tick"],
        "planner": {key: report["planner"][key] for key in ("hz", "age_s")},
        "life": {key: report["planner"]["life"][key] for key in ("state", "restarts", "hangs", "reason")},
    }


def recovery(subgoals: list[tuple[float, int]], at_s: float) -> float | None:
    """Time from a fault to the first subgoal of a newer planner; None where none came.

    Args:
        subgoals: When each was ready, and its epoch, in order of time.
        at_s: When the fault was.
    """
    before = max((epoch for ready_s, epoch in subgoals if ready_s <= at_s), default=0)
    return next((ready_s - at_s for ready_s, epoch in subgoals if ready_s > at_s and epoch > before), None)


def _subgoals(folder: Path) -> list[tuple[float, int]]:
    lines = [line for log in folder.glob("planner.*.jsonl") for line in read_log(log) if line["kind"] == "subgoal"]
    return sorted((line["emitted_stamp_s"], line["epoch"]) for line in lines)


def _gaps(commands: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """When each gap between two commands of an episode ended, and how long it was."""
    return [
        (after["stamp_s"], after["stamp_s"] - before["stamp_s"])
        for before, after in pairwise(commands)
        if after["source"] != "start" or before["source"] == "start"
    ]


def summarize(faults: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians and worst cases of some faults."""
    recoveries = [fault["recovery_s"] for fault in faults if fault["recovery_s"] is not None]
    gaps = [fault["worst_gap_s"] for fault in faults if fault["worst_gap_s"] is not None]
    return {
        "count": len(faults),
        "misses_before": median(fault["misses_before"] for fault in faults) if faults else None,
        "misses_after": median(fault["misses_after"] for fault in faults) if faults else None,
        "worst_gap_s": max(gaps, default=None),
        "recovered": len(recoveries),
        "recovery_p50_s": median(recoveries) if recoveries else None,
        "recovery_max_s": max(recoveries, default=None),
    }
