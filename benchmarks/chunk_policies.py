"""What does each chunk policy cost and save as inference takes longer?

    python -m benchmarks.chunk_policies --episodes 50 --seed 10000

The shipped controller on the virtual clock, its chunks 0 to 12 rows late, under every chunk policy, on the same seeds:
how often it succeeds, how far the target jumps where a new chunk begins, and how jerky the commands are behind the
safety gate. `naive` is what a controller without a policy does. A policy that the actor was not made for is left out by
name. What the file of the results holds for the same settings is not done again with --resume.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.paired_success import compare
from benchmarks.report import RESULTS, write_report
from dualsys import sim_envs
from dualsys.actor.flow_actor import FlowActor
from dualsys.app.controller import Controller
from dualsys.app.eyes import eyes_for
from dualsys.app.intervals import wilson_interval
from dualsys.app.rollout import run_episode
from dualsys.app.worker_pool import worker_pool
from dualsys.bridge.parts import PartConfig, build_actor
from dualsys.checkpoint import Checkpoint
from dualsys.chunk_policies import build_policy
from dualsys.guidance import Guided
from dualsys.messages import Command, FloatArray
from dualsys.settings import CoreConfig, TimingConfig

POLICIES = (
    "naive",
    "skip-by-delay",
    "temporal-ensemble",
    "cross-fade",
    "freeze-and-ramp",
    "roll-forward",
    "real-time-chunking",
    "real-time-chunking-jacobian",
    "trained-prefix",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPoliciesConfig:
    """Success, seams and jerk of chunk policies against the actor's latency."""

    task: str = "humanoid/pick"
    """What is to be done."""
    checkpoint: str = "humanoid-table"
    """Controller: shipped name or folder."""
    policies: tuple[str, ...] = POLICIES
    """Registered names."""
    delays_rows: tuple[int, ...] = (0, 2, 4, 6, 8, 10, 12)
    """Rows of the chunk by which it comes late."""
    planner_latency_s: float = 0.12
    """Of the planner, at its 5 Hz."""
    episodes: int = 50
    """Of each policy at each delay."""
    seed: int = 8000
    """Of the first; 10000 and above for claims."""
    workers: int = 2
    """Processes."""
    resume: bool = False
    """Keep what the file holds for the same settings."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/chunk_policies.json`; plots lie beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An episode's outcome and how smooth it was."""

    seed: int
    success: bool
    seams: tuple[float, ...]
    """Jumps of the target's farthest joint at each new chunk, in radians."""
    jerk: float
    """Root mean square over joints and ticks of the third difference of the commands, in rad/s^3."""


Cell = tuple[str, int]


class Player:
    """What a worker does: an episode under a policy at a delay."""

    _controller: Controller

    def __init__(self, config: ChunkPoliciesConfig) -> None:
        self._config = config
        eyes = eyes_for(config.task, Checkpoint.open(config.checkpoint).manifest.embodiment)
        self._environment: Any = sim_envs.make(config.task, images="on-demand", **eyes)
        self._cell: Cell | None = None

    def __call__(self, asked: tuple[Cell, int]) -> Played:
        """How it went."""
        cell, seed = asked
        if cell != self._cell:
            self._controller, self._cell = self._make_controller(*cell), cell
        commands: list[Command] = []
        result = run_episode(self._environment, self._controller, seed, on_step=commands.append)
        return Played(
            seed=seed,
            success=result.success,
            seams=tuple(seams_of(commands)),
            jerk=jerk_of(np.stack([each.target for each in commands]), self._environment.control_dt_s),
        )

    def _make_controller(self, policy: str, delay_rows: int) -> Controller:
        config = self._config
        latency_s = delay_rows * 0.02
        timing = TimingConfig(planner_hz=5.0, planner_latency_s=config.planner_latency_s, actor_latency_s=latency_s)
        return Controller.from_checkpoint(config.checkpoint, core=CoreConfig(chunk_policy=policy), timing=timing)


def seams_of(commands: list[Command]) -> list[float]:
    """Jumps where a chunk began in the place of another."""
    begun = (now for before, now in pairwise(commands) if -1 != before.chunk_sequence != now.chunk_sequence)
    return [command.seam for command in begun]


def jerk_of(targets_TU: FloatArray, dt_s: float) -> float:
    """Root mean square of the third difference over time, a unit of the joints per s^3."""
    return float(np.sqrt(np.mean(np.square(np.diff(targets_TU, 3, axis=0))))) / dt_s**3


def summary(played: list[Played]) -> dict[str, Any]:
    """A cell's figures."""
    seams = np.array([seam for each in played for seam in each.seams])
    successes = sum(each.success for each in played)
    return {
        "episodes": len(played),
        "successes": successes,
        "ci95": wilson_interval(successes, len(played)),
        "seam_mean_rad": float(seams.mean()) if len(seams) else 0.0,
        "seam_p95_rad": float(np.quantile(seams, 0.95)) if len(seams) else 0.0,
        "jerk_rms_rad_s3": float(np.mean([each.jerk for each in played])),
        "success_of_seed": {str(each.seed): each.success for each in played},
    }


def main(config: ChunkPoliciesConfig) -> None:
    """Play, print, write, draw."""
    target = config.json or RESULTS / "chunk_policies.json"
    left_out = {name: why for name in config.policies if (why := _why_not(config, name))}
    cells = [(name, rows) for name in config.policies if name not in left_out for rows in config.delays_rows]
    settings = {key: value for key, value in asdict(config).items() if key not in ("json", "workers", "resume")}
    settings["checkpoint"] = Path(config.checkpoint).name
    weights = Checkpoint.open(config.checkpoint).weights_digest()
    head = {"config": json.loads(json.dumps(settings)), "weights": weights, "left_out": left_out}
    done = _known(target, head) if config.resume else {}
    for cell, figures in _play(config, [cell for cell in cells if _key(cell) not in done]):
        done[_key(cell)] = figures
        write_report("chunk_policies", head | {"cells": done}, target)
    figures = {_key(cell): done[_key(cell)] for cell in cells}
    report = head | {"cells": figures, "against_naive": _against_naive(figures, cells)}
    Console().print(_table(figures, config))
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    print(write_report("chunk_policies", report, target))
    _draw(figures, config, target.with_suffix(".png"))


def _why_not(config: ChunkPoliciesConfig, policy: str) -> str:
    """Why a policy can't be played, empty where it can."""
    guidance = build_policy(policy).guidance
    manifest = Checkpoint.open(config.checkpoint).manifest
    actor = build_actor(PartConfig(checkpoint=config.checkpoint), manifest.embodiment, manifest.subgoal)
    offered = actor.guidances if isinstance(actor, Guided) else frozenset()
    kind = "the flow actor" if isinstance(actor, FlowActor) else type(actor).__name__
    return "" if guidance is None or guidance in offered else f"{kind} of {config.checkpoint} has not learned it"


def _known(target: Path, head: dict[str, Any]) -> dict[str, Any]:
    if not target.is_file():
        return {}
    found = json.loads(target.read_text())
    same = all(found.get(key) == value for key, value in head.items())
    return dict(found["cells"]) if same else {}


def _play(config: ChunkPoliciesConfig, cells: list[Cell]) -> Any:
    seeds = range(config.seed, config.seed + config.episodes)
    make: Callable[[], Callable[[tuple[Cell, int]], Played]] = partial(Player, config)
    advice = "Go on with --resume"
    with worker_pool(config.workers, make, doing="playing", advice=advice) as submit:
        for cell in cells:
            futures = [submit((cell, seed)) for seed in seeds]
            shown = track(futures, description=_key(cell), console=Console(stderr=True))
            yield cell, summary([future.result() for future in shown])


def _key(cell: Cell) -> str:
    return f"{cell[0]} {cell[1]}"


def _against_naive(figures: dict[str, Any], cells: list[Cell]) -> dict[str, Any]:
    """Differences in success to `naive` at the same delay, paired by seed."""
    pairs = {}
    for name, rows in cells:
        other = figures.get(f"naive {rows}")
        if name != "naive" and other is not None:
            found = compare(_outcomes(other), _outcomes(figures[_key((name, rows))]))
            pairs[_key((name, rows))] = {key: found[key] for key in ("difference", "difference_ci95", "mcnemar_p")}
    return pairs


def _outcomes(figures: dict[str, Any]) -> dict[int, bool]:
    return {int(seed): success for seed, success in figures["success_of_seed"].items()}


def _table(figures: dict[str, Any], config: ChunkPoliciesConfig) -> Table:
    title = (
        f"{config.task}, {config.episodes} episodes each from seed {config.seed}: successes, seam (mrad), jerk (rad/s3)"
    )
    table = Table("policy", *(f"{20 * rows} ms" for rows in config.delays_rows), title=title)
    for name in config.policies:
        cells = [figures[key] for rows in config.delays_rows if (key := _key((name, rows))) in figures]
        if cells:
            table.add_row(name, *map(_shown, cells))
    return table


def _shown(figures: dict[str, Any]) -> str:
    return f"{figures['successes']}, {1e3 * figures['seam_mean_rad']:.0f}, {figures['jerk_rms_rad_s3']:.0f}"


def _draw(figures: dict[str, Any], config: ChunkPoliciesConfig, target: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    shown = (("success (%)", _percent), ("mean seam (rad)", _seam), ("jerk, RMS (rad/s^3)", _jerk))
    for axis, (title, value) in zip(axes, shown, strict=True):
        for name in config.policies:
            points = [
                (20 * rows, figures[key]) for rows in config.delays_rows if (key := _key((name, rows))) in figures
            ]
            if points:
                axis.plot([x for x, _ in points], [value(cell) for _, cell in points], marker="o", ms=3, label=name)
        axis.set(title=title, xlabel="inference delay (ms)")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.suptitle(_title(config))
    figure.savefig(target, dpi=110)


def _title(config: ChunkPoliciesConfig) -> str:
    return f"{config.task}, {config.episodes} episodes each from seed {config.seed}"


def _percent(cell: dict[str, Any]) -> float:
    return 100.0 * float(cell["successes"]) / float(cell["episodes"])


def _seam(cell: dict[str, Any]) -> float:
    return float(cell["seam_mean_rad"])


def _jerk(cell: dict[str, Any]) -> float:
    return float(cell["jerk_rms_rad_s3"])


if __name__ == "__main__":
    main(tyro.cli(ChunkPoliciesConfig, description=__doc__))
