"""What does the arm notice when its planner is killed, or hangs?

    python -m benchmarks.planner_faults             # an hour; --resume goes on with one that was broken off

Runs `dualsys run --mode processes` again and again. Each time the planner has been well for a while it gets SIGKILL, or
SIGSTOP, which only the age of its signs of life tells. Printed for each kind of fault, without and with a standby:
ticks missed before and after, the worst gap between two commands, commands outside the arm's limits, and how long until
new subgoals came from another planner (for a hang, that includes the age at which it counts as one). What one would
have without the separation stands in the last column: the ticks that a loop which waits for its planner would miss.
"""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.fault_session import FaultKind, run_session, summarize
from benchmarks.report import RESULTS, exit_unless, write_report
from dualsys.app.run import make_environment, system_config
from dualsys.app.run_config import RunConfig
from dualsys.app.run_live import LiveTable
from dualsys.app.run_parts import checkpoint_parts
from dualsys.checkpoint import Checkpoint
from dualsys.settings import PlannerLifeConfig
from dualsys.telemetry import read_log

RECOVERY_LIMIT_S = 4.0
"""What a planner with a standby may take to be back."""
SESSION_FAULTS = 6
"""Faults of one run; without and with standbys take turns, so that a busy hour of the machine meets both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerFaultsConfig:
    """Kill and stop the planner many times, half of them with standbys."""

    task: str = "humanoid/touch"
    """Task to run."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    kills: int = 100
    """Kills, in all runs together."""
    hangs: int = 20
    """Hangs, in all runs together."""
    seconds: float = 10.0
    """How long the tick is watched before and after each."""
    standbys: int = 1
    """Further planners, loaded and waiting, in every second run; 0: never any."""
    hangs_after_s: float = 2.0
    """Age of the newest sign of life at which a planner counts as hung."""
    launcher: Literal["ray", "subprocess"] = "ray"
    """Who runs the planner."""
    resume: bool = False
    """Go on from the runs that were finished before a run of the same options was broken off."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/planner_faults.json`; the plot lies beside it."""


def main(config: PlannerFaultsConfig) -> None:
    """Run, print, write. Exits with 1 where the arm noticed something."""
    path = config.json or RESULTS / "planner_faults.json"
    finished = path.with_suffix(".runs.jsonl")
    sessions = read_log(finished) if config.resume and finished.exists() else []
    with finished.open("a" if config.resume else "w", encoding="utf-8") as file:
        for number, (standbys, kinds) in list(enumerate(plan(config)))[len(sessions) :]:
            sessions.append(_run(config, number, standbys, kinds))
            file.write(json.dumps(sessions[-1]) + "\n")
            file.flush()
            print(_line(sessions[-1]), flush=True)
    figures = result(config, sessions)
    console = Console()
    console.print(result_table(figures))
    for name, holds in figures["verdict"].items():
        console.print(f"{name.replace('_', ' ')}: {'yes' if holds else 'NO'}")
    print(write_report("planner_faults", figures, path))
    finished.unlink()
    draw(figures, path.with_suffix(".png"))
    exit_unless(figures["verdict"])


def plan(config: PlannerFaultsConfig) -> list[tuple[int, list[FaultKind]]]:
    """Standbys and faults of each run. The hangs are spread evenly, over both arrangements."""
    arrangements = [0] if config.standbys == 0 else [0, config.standbys]
    runs: list[tuple[int, list[FaultKind]]] = []
    for index, standbys in enumerate(arrangements):
        kills, hangs = (_share(count, index, len(arrangements)) for count in (config.kills, config.hangs))
        total = kills + hangs
        kinds: list[FaultKind] = [
            "hang" if (place + 1) * hangs // total > place * hangs // total else "kill" for place in range(total)
        ]
        runs += [(standbys, kinds[begin : begin + SESSION_FAULTS]) for begin in range(0, total, SESSION_FAULTS)]
    half = -(-len(runs) // len(arrangements))
    turns = [runs[index::half] for index in range(half)]
    return [run for turn in turns for run in turn]


def _share(count: int, index: int, parts: int) -> int:
    return (index + 1) * count // parts - index * count // parts


def _run(config: PlannerFaultsConfig, number: int, standbys: int, kinds: list[FaultKind]) -> dict[str, Any]:
    options = RunConfig(
        task=config.task,
        mode="processes",
        checkpoint=config.checkpoint,
        launcher=config.launcher,
        planner_standbys=standbys,
        planner_life=PlannerLifeConfig(hangs_after_s=config.hangs_after_s, healthy_s=min(5.0, config.seconds / 2)),
        seed=8000 + 200 * number,
    )
    environment = make_environment(options)
    embodiment = environment.embodiment
    environment.close()
    checkpoint = Checkpoint.open(config.checkpoint, embodiment=embodiment)
    logs = Path(tempfile.mkdtemp(prefix="planner-faults."))
    try:
        with LiveTable(options.seconds) as table:
            system = system_config(options, checkpoint_parts(options, checkpoint), log=logs)
            return run_session(system, launcher=config.launcher, kinds=kinds, window_s=config.seconds, show=table.show)
    finally:
        shutil.rmtree(logs)


def _line(session: dict[str, Any]) -> str:
    figures = summarize(session["faults"])
    return (
        f"standbys {session['standbys']}, faults {figures['count']}: misses {figures['misses_before']} before, "
        f"{figures['misses_after']} after (median), recovery {_seconds(figures['recovery_p50_s'])} (median), "
        f"{session['limits']['outside']} of {session['limits']['commands']} commands outside limits"
    )


def result(config: PlannerFaultsConfig, sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """All figures, and whether they are what they should be."""
    faults = [fault for session in sessions for fault in session["faults"]]
    arrangements = sorted({fault["standbys"] for fault in faults})
    groups = {
        group_name(kind, standbys): summarize(
            [fault for fault in faults if (fault["kind"], fault["standbys"]) == (kind, standbys)]
        )
        for kind, standbys in product(("kill", "hang"), arrangements)
    }
    everything = summarize(faults)
    with_standby = summarize([fault for fault in faults if fault["standbys"] > 0])
    verdict = {
        "all_faults_done": len(faults) == config.kills + config.hangs,
        "misses_after_at_most_before_plus_2": everything["misses_after"] <= everything["misses_before"] + 2,
        "no_command_outside_limits": sum(session["limits"]["outside"] for session in sessions) == 0,
        "new_subgoals_after_every_fault": everything["recovered"] == len(faults),
    }
    if with_standby["count"]:
        longest_s = with_standby["recovery_max_s"]
        verdict[f"back_within_{RECOVERY_LIMIT_S:g}_s_with_a_standby"] = (
            longest_s is not None and longest_s <= RECOVERY_LIMIT_S
        )
    return {
        "config": asdict(config) | {"json": None},
        "groups": {name: group for name, group in groups.items() if group["count"]},
        "all": everything,
        "commands": sum(session["limits"]["commands"] for session in sessions),
        "commands_outside_limits": sum(session["limits"]["outside"] for session in sessions),
        "verdict": verdict,
        "faults": faults,
        "sessions": [{key: value for key, value in each.items() if key != "faults"} for each in sessions],
    }


def result_table(figures: dict[str, Any], control_hz: float = RunConfig(task="").control_hz) -> Table:
    """A row for each kind of fault and arrangement."""
    window_s = figures["config"]["seconds"]
    table = Table(
        title=f"planner killed and hung; ticks missed in {window_s:g} s before and after",
        caption=f"{figures['commands_outside_limits']} of {figures['commands']} commands outside the limits",
    )
    columns = (
        "fault", "times", "before", "after", "worst gap", "back", "p50", "max", "waiting",
    )  # fmt: skip
    for name in columns:
        table.add_column(name, justify="left" if name == "fault" else "right")
    for name, group in (*figures["groups"].items(), ("all", figures["all"])):
        gap_s, p50_s = group["worst_gap_s"], group["recovery_p50_s"]
        table.add_row(
            name,
            str(group["count"]),
            f"{group['misses_before']:g}",
            f"{group['misses_after']:g}",
            "-" if gap_s is None else f"{1e3 * gap_s:.1f} ms",
            f"{group['recovered']}/{group['count']}",
            _seconds(p50_s),
            _seconds(group["recovery_max_s"]),
            "-" if p50_s is None else f"{int(p50_s * control_hz)}",
        )
    return table


def group_name(kind: str, standbys: int) -> str:
    """What a kind of fault is called in the table."""
    return f"{kind}, {standbys} standby" if standbys == 1 else f"{kind}, {standbys or 'no'} standbys"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def draw(figures: dict[str, Any], path: Path) -> None:
    """Recovery of every fault, and misses before against misses after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    recoveries, misses = figure.subplots(1, 2)
    groups = list(figures["groups"])
    for place, name in enumerate(groups):
        faults = [fault for fault in figures["faults"] if group_name(fault["kind"], fault["standbys"]) == name]
        values = sorted(fault["recovery_s"] for fault in faults if fault["recovery_s"] is not None)
        shares = [index / len(faults) for index in range(len(values) + 1)]
        recoveries.step([0.0, *values], shares, where="post", label=name, color=f"C{place}", marker=".")
        before, after = ([fault[f"misses_{when}"] for fault in faults] for when in ("before", "after"))
        misses.plot(before, after, "o", alpha=0.5, color=f"C{place}", label=name)
    recoveries.set_xlabel("seconds from the fault to a new planner's subgoal")
    recoveries.set_ylabel("share of faults")
    recoveries.set_ylim(0, 1.03)
    recoveries.legend(loc="lower right", fontsize="small")
    largest = max((max(fault["misses_before"], fault["misses_after"]) for fault in figures["faults"]), default=0)
    misses.plot([0, largest + 2], [2, largest + 4], ":", color="#999999", label="before + 2")
    misses.set_xlabel(f"ticks missed {figures['config']['seconds']:g} s before")
    misses.set_ylabel("after")
    misses.legend(loc="best", fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(PlannerFaultsConfig, description=__doc__))
