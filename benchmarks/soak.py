"""Does it hold for a working day, whatever fails?

    python -m benchmarks.soak                       # 8 h of virtual time, then 20 min of everything
    python -m benchmarks.soak --hours 1 --minutes 0

Virtual time: a point mass with scripted planner and actor. Models answer nonsense in spells, senses freeze or say what
is no number, the clock jumps, somebody pushes the mass or presses the emergency stop. The whole run goes onto a tape in
parts, each of which is decided again and compared to the bit before it is let go.

The full stack: the shipped controller on a humanoid in processes under Ray, killed, hung and paused at random.

Printed: commands outside the limits, commands decided otherwise, and how memory grows over the second half. Exit status
1 where one of them isn't as it should be.
"""

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from benchmarks.memory import growth_mb_per_hour
from benchmarks.report import RESULTS, exit_unless, write_report
from benchmarks.soak_full_stack import run_full_stack
from benchmarks.soak_virtual import VirtualSoak
from dualsys.app.run import make_environment, system_config
from dualsys.app.run_config import RunConfig
from dualsys.app.run_live import LiveTable
from dualsys.app.run_parts import checkpoint_parts
from dualsys.checkpoint import Checkpoint
from dualsys.settings import PlannerLifeConfig

GROWTH_MB = 8.0
"""What memory may grow by over the second half of virtual time."""
GROWTH_MB_PER_HOUR = 100.0
"""The same of a process of the full stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakConfig:
    """Run for hours, with faults at random."""

    hours: float = 8.0
    """Virtual time; 0: none."""
    minutes: float = 20.0
    """Of the full stack; 0: none."""
    virtual_hz: float = 50.0
    """Rate of ticks in virtual time."""
    fault_every_s: float = 20.0
    """Mean time between two faults."""
    task: str = "humanoid/touch"
    """Task of the full stack."""
    launcher: Literal["ray", "subprocess"] = "ray"
    """Who runs the planner."""
    seed: int = 0
    """Of the faults."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/soak.json`; the plot lies beside it."""


def main(config: SoakConfig) -> None:
    """Run, print, write. Exits with 1 where it didn't hold."""
    figures: dict[str, Any] = {"config": asdict(config) | {"json": None}}
    if config.hours:
        figures["virtual"] = _virtual(config)
    if config.minutes:
        figures["full_stack"] = _full_stack(config)
    figures["verdict"] = verdict_of(figures)
    Console().print(table(figures))
    path = config.json or RESULTS / "soak.json"
    print(write_report("soak", figures, path))
    draw(figures, path.with_suffix(".png"))
    exit_unless(figures["verdict"])


def _virtual(config: SoakConfig) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="soak.") as folder, Bar() as bar:
        task = bar.add_task("virtual hours", total=config.hours)
        soak = VirtualSoak(
            Path(folder), control_hz=config.virtual_hz, fault_every_s=config.fault_every_s, seed=config.seed
        )
        blocks = []
        for block in soak.blocks(config.hours):
            blocks.append(block)
            bar.update(task, completed=block["hours"])
        return soak.report() | memory_of(blocks, config.hours)


def memory_of(blocks: list[dict[str, Any]], hours: float) -> dict[str, Any]:
    """What the blocks of a virtual run tell of memory, its growth over the second half, by its slope there."""
    samples = [(block["hours"], block["resident_mb"]) for block in blocks]
    return {"growth_mb": growth_mb_per_hour(samples) * hours / 2, "samples": samples}


def _full_stack(config: SoakConfig) -> dict[str, Any]:
    options = RunConfig(
        task=config.task,
        mode="processes",
        seconds=60.0 * config.minutes,
        planner_life=PlannerLifeConfig(hangs_after_s=2.0),
        seed=8000,
    )
    environment = make_environment(options)
    embodiment = environment.embodiment
    environment.close()
    checkpoint = Checkpoint.open(options.checkpoint, embodiment=embodiment)
    with tempfile.TemporaryDirectory(prefix="soak.") as folder, LiveTable(options.seconds) as live:
        recorded = replace(options, record=Path(folder) / "soak.mcap")
        return run_full_stack(
            system_config(recorded, checkpoint_parts(recorded, checkpoint), log=Path(folder)),
            Path(folder),
            launcher=config.launcher,
            fault_every_s=config.fault_every_s,
            seed=config.seed,
            show=live.show,
        )


def verdict_of(figures: dict[str, Any]) -> dict[str, bool]:
    """Whether it held."""
    verdict: dict[str, bool] = {}
    if "virtual" in figures:
        virtual = figures["virtual"]
        verdict |= {
            "virtual_within_limits": virtual["commands_outside_limits"] == 0,
            "virtual_decided_again": virtual["tape"]["differing"] == 0
            and virtual["tape"]["commands_replayed"] == virtual["ticks"],
            "virtual_memory_flat": virtual["growth_mb"] <= GROWTH_MB,
        }
    if "full_stack" in figures:
        full = figures["full_stack"]
        verdict |= {
            "full_stack_within_limits": full["commands_outside_limits"] == 0,
            "full_stack_decided_again": full["tape"]["differing"] == 0
            and full["tape"]["commands_replayed"] == full["tick"]["count"],
            "full_stack_nobody_given_up": not full["given_up"],
            "full_stack_memory_flat": all(
                grown["growth_mb_per_hour"] <= GROWTH_MB_PER_HOUR for grown in full["memory"].values()
            ),
        }
    return verdict


def table(figures: dict[str, Any]) -> Table:
    """What was run, what was done to it, and what came of it."""
    shown = Table(title="soak", show_header=False)
    if "virtual" in figures:
        virtual = figures["virtual"]
        shown.add_row(
            "virtual time", f"{virtual['hours']:.1f} h, {virtual['ticks']} ticks, {virtual['episodes']} episodes"
        )
        shown.add_row("faults", ", ".join(f"{count} {name}" for name, count in virtual["faults"].items()))
        shown.add_row("outside limits", f"{virtual['commands_outside_limits']} of {virtual['ticks']} commands")
        tape = virtual["tape"]
        shown.add_row("decided again", f"{tape['commands_replayed']} commands, {tape['differing']} differ")
        shown.add_row(
            "tape on disk", f"{tape['mb_on_disk']:.0f} MB, the newest {tape['parts_on_disk']} of {tape['parts']} parts"
        )
        shown.add_row(
            "memory", f"{virtual['samples'][-1][1]:.0f} MB, {virtual['growth_mb']:+.1f} MB over the second half"
        )
        shown.add_section()
    if "full_stack" in figures:
        full = figures["full_stack"]
        tick = full["tick"]
        shown.add_row("full stack", f"{full['seconds'] / 60:.0f} min, {tick['count']} ticks, {tick['misses']} missed")
        shown.add_row("faults", ", ".join(f"{count} {name}" for name, count in full["faults"].items()))
        shown.add_row("started again", ", ".join(f"{name} {count}" for name, count in full["restarts"].items()))
        shown.add_row("outside limits", f"{full['commands_outside_limits']} of {full['commands']} commands")
        shown.add_row(
            "decided again", f"{full['tape']['commands_replayed']} commands, {full['tape']['differing']} differ"
        )
        memory = full["memory"].items()
        shown.add_row("memory, MB", ", ".join(f"{name} {grown['last_mb']:.0f}" for name, grown in memory))
        grown = ", ".join(f"{name} {each['growth_mb_per_hour']:+.0f}" for name, each in memory)
        shown.add_row("growth, MB an hour", grown)
    return shown


def draw(figures: dict[str, Any], path: Path) -> None:
    """Memory over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    virtual, full = figure.subplots(1, 2)
    virtual.plot(*zip(*figures.get("virtual", {}).get("samples", [(0.0, 0.0)]), strict=True), ".-")
    virtual.set_xlabel("virtual hours")
    virtual.set_ylabel("MB")
    for name, grown in figures.get("full_stack", {}).get("memory", {}).items():
        hours, weights = zip(*grown["samples"], strict=True)
        full.plot([60 * hour for hour in hours], weights, label=name)
        full.legend(fontsize="small")
    full.set_xlabel("minutes of the full stack")
    for axes in (virtual, full):
        axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(SoakConfig, description=__doc__))
