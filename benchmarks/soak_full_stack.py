"""Minutes of everything at once: Ray, planner, actor, cameras and tick as processes, killed and stopped at random."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from benchmarks.memory import growth_mb_per_hour, resident_mb
from dualsys.bridge.launchers import LauncherName
from dualsys.bridge.processes import run_processes
from dualsys.bridge.progress import Progress
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_file import read_parts
from dualsys.bridge.tape_reel import TapeReel
from dualsys.replay import replay
from dualsys.telemetry import read_log
from dualsys.testing.limits import check_limits

FAULTS = (
    "kill planner",
    "kill actor",
    "kill camera",
    "kill head",
    "hang planner",
    "pause planner",
    "pause actor",
    "pause camera",
)
"""`head` is Ray's; where the planner runs without Ray there is none to kill."""
_WEIGHED = ("planner", "actor", "camera", "tick")
_WEIGH_EVERY_S = 10.0


@dataclass(slots=True)
class RandomHarm:
    """Harms a process at random times, and weighs all of them now and then.

    Args:
        every_s: Mean time between two faults.
        rng: Draws times and kinds.
        show: Is shown each look, too.
    """

    every_s: float
    rng: random.Random
    show: Callable[[Progress], None]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))
    weights: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {name: [] for name in (*_WEIGHED, "supervisor")}
    )
    """Hours since the beginning, and MB, by process."""
    _next_s: float = 0.0
    _weigh_s: float = 0.0
    _paused: list[tuple[float, int]] = field(default_factory=list)
    """When each stopped process goes on."""

    def look(self, progress: Progress) -> None:
        """Let go on who has paused; do harm when it is time."""
        self.show(progress)
        now_s = monotonic()
        self.let_go(now_s)
        if not progress.statuses.get("tick", {}).get("running"):
            self._next_s = now_s + self.every_s
            return
        self._weigh(progress, now_s)
        if now_s >= self._next_s:
            self._next_s = now_s + self.rng.expovariate(1.0 / self.every_s)
            self._harm(progress, now_s)

    def let_go(self, now_s: float) -> None:
        """Let processes go on whose pause is over."""
        for until_s, pid in [pause for pause in self._paused if pause[0] <= now_s]:
            _send(pid, signal.SIGCONT)
            self._paused.remove((until_s, pid))

    def _harm(self, progress: Progress, now_s: float) -> None:
        fault = self.rng.choice(FAULTS)
        what, part = fault.split()
        pid = progress.statuses.get("launcher" if part == "head" else part, {}).get("pid")
        pid = ray_head(pid) if part == "head" else pid
        if pid is None:
            return
        self.counts[fault] += 1
        _send(pid, signal.SIGKILL if what == "kill" else signal.SIGSTOP)
        if what == "pause":
            self._paused.append((now_s + self.rng.uniform(0.05, 0.8), pid))

    def _weigh(self, progress: Progress, now_s: float) -> None:
        if now_s < self._weigh_s:
            return
        self._weigh_s = now_s + _WEIGH_EVERY_S
        pids = {name: progress.statuses.get(name, {}).get("pid") for name in _WEIGHED}
        for name, pid in (pids | {"supervisor": os.getpid()}).items():
            mb = resident_mb(pid) if pid is not None else 0.0
            if mb:
                self.weights[name].append((progress.seconds / 3600.0, mb))


def ray_head(driver: int | None) -> int | None:
    """Process of the head of the cluster that a run's Ray driver has started; None where there is none."""
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # Processes end while we look.
            if comm.read_text() == "gcs_server\n" and os.getsid(int(comm.parent.name)) == driver:
                return int(comm.parent.name)
    return None


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # It may have died meanwhile.
        os.kill(pid, number)


def run_full_stack(
    system: SystemConfig,
    folder: Path,
    *,
    launcher: LauncherName,
    fault_every_s: float,
    seed: int,
    show: Callable[[Progress], None] = lambda _: None,
) -> dict[str, Any]:
    """Run a system with faults at random; figures of the run, of memory, and of its tape decided again.

    Args:
        system: With a log folder and room for a tape.
        folder: Gets the tape.
        launcher: Who runs the planner.
        fault_every_s: Mean time between two faults.
        seed: Of times and kinds.
        show: Called several times a second.
    """
    assert system.log_folder is not None, "the commands are read from the log"
    harm = RandomHarm(every_s=fault_every_s, rng=random.Random(seed), show=show)
    reel = TapeReel(folder / "soak.mcap", system.tape_head(), part_bytes=32 * 2**20)
    with TapeDeck(system.tape_head(), record=reel, flights=None) as deck:
        try:
            report = run_processes(
                system, run_id=f"soak-{os.getpid()}", launcher=launcher, on_progress=harm.look, deck=deck
            ).report
        finally:
            harm.let_go(float("inf"))
    found = replay(*read_parts(reel.files))
    kept = check_limits(read_log(system.log_folder / "commands.jsonl"), system.embodiment, 1.0 / system.control_hz)
    return {
        "seconds": system.seconds,
        "faults": harm.counts,
        "tick": report["tick"],
        "age_s": report["planner"]["age_s"],
        "life": {key: report["planner"]["life"][key] for key in ("state", "restarts", "hangs")},
        "restarts": report["supervisor"]["restarts"],
        "given_up": report["supervisor"]["given_up"],
        "commands": kept.commands,
        "commands_outside_limits": kept.outside,
        "tape": report["tape"] | {"commands_replayed": found.commands, "differing": found.differing},
        "memory": {
            name: {
                "first_mb": samples[0][1],
                "last_mb": samples[-1][1],
                "growth_mb_per_hour": growth_mb_per_hour(samples),
                "samples": samples,
            }
            for name, samples in harm.weights.items()
            if samples
        },
    }
