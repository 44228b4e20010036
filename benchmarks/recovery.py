"""Does it help to notice a failed attempt and begin anew?

    python -m benchmarks.recovery --episodes 200 --seed 10000
    python -m benchmarks.recovery --episodes 200 --seed 10000 --nudge-m 0.06

The shipped controller on the virtual clock, the same seeds without and with `--core.recovery.enabled`: success of both,
the interval of the difference, how often an attempt was called failed, and in how many episodes that would have
succeeded without. With `--nudge-m` somebody moves the block by so much just before the hand closes, to a free place.
"""

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.paired_success import compare
from benchmarks.report import RESULTS, write_report
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import make_episode_parts
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.app.worker_pool import worker_pool
from dualsys.checkpoint import Checkpoint
from dualsys.counters import RECOVERY_COUNTS
from dualsys.messages import Command
from dualsys.settings import CoreConfig, RecoveryConfig

NUDGE_BETWEEN_S = (1.4, 1.6)
"""The hand has come down by then, and is about to close."""
APART_M = 0.08
"""Between the centres of two blocks; where no direction leaves as much, the block stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryBenchmarkConfig:
    """Success without and with recovery, on the same seeds."""

    task: str = "humanoid/pick"
    """What is to be done."""
    checkpoint: str = "humanoid-table"
    """Controller: shipped name or folder."""
    episodes: int = 200
    """Of each."""
    seed: int = 8000
    """Of the first; 10000 and above for claims."""
    actor_latency_s: float = 0.03
    """The actor's latency."""
    nudge_m: float = 0.0
    """How far the block is moved, in a direction and at a time that depend on the seed; 0: it is not."""
    recovery: RecoveryConfig = field(default_factory=lambda: RecoveryConfig(enabled=True))
    """What is compared with none."""
    workers: int = 2
    """Processes."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/recovery.json`."""


class Nudge:
    """Moves the block that is asked for, once, on the table."""

    def __init__(self, environment: Any, seed: int, distance_m: float) -> None:
        rng = np.random.default_rng((seed, 1))
        self._environment = environment
        self._at_s = rng.uniform(*NUDGE_BETWEEN_S)
        angles = rng.permutation(np.linspace(0.0, 2 * np.pi, 16, endpoint=False))
        self._ways = distance_m * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self._done = distance_m == 0

    def __call__(self, command: Command) -> None:
        """After each step."""
        if self._done or command.stamp_s < self._at_s:
            return
        self._done = True
        facts, qpos = self._environment.privileged(), self._environment.physics_state()
        block = facts["target_position"]
        others = [place[:2] for name, place in facts["blocks"].items() if name != facts["target"]]
        (address,) = (at for at in range(len(qpos) - 2) if np.array_equal(qpos[at : at + 3], block))
        for way in self._ways:
            if all(np.linalg.norm(block[:2] + way - other) > APART_M for other in others):
                qpos[address : address + 2] += way
                self._environment.set_state(qpos)
                return


class Player:
    """What a worker does: an episode without or with recovery."""

    def __init__(self, config: RecoveryBenchmarkConfig) -> None:
        self._config = config
        self._parts = {
            name: make_episode_parts(self._evaluation(recovery), config.task)
            for name, recovery in (("without", RecoveryConfig()), ("with", config.recovery))
        }

    def __call__(self, asked: tuple[str, int]) -> EpisodeResult:
        """How it went."""
        name, seed = asked
        environment, controller = self._parts[name]
        return run_episode(environment, controller, seed, on_step=Nudge(environment, seed, self._config.nudge_m))

    def _evaluation(self, recovery: RecoveryConfig) -> EvalConfig:
        return EvalConfig(
            suite_or_task=self._config.task,
            checkpoint=self._config.checkpoint,
            actor_latency_s=self._config.actor_latency_s,
            core=CoreConfig(recovery=recovery),
        )


def main(config: RecoveryBenchmarkConfig) -> None:
    """Play, print, write."""
    seeds = range(config.seed, config.seed + config.episodes)
    asked = [(name, seed) for seed in seeds for name in ("without", "with")]
    with worker_pool(config.workers, partial(Player, config), doing="playing", advice="Ask for fewer --workers") as ask:
        futures = [ask(each) for each in asked]
        played = [each.result() for each in track(futures, description=config.task, console=Console(stderr=True))]
    figures = summary(played[::2], played[1::2])
    Console().print(result_table(config, figures))
    settings = asdict(config) | {"json": None, "checkpoint": Path(config.checkpoint).name}
    weights = Checkpoint.open(config.checkpoint).weights_digest()
    target = config.json or RESULTS / "recovery.json"
    print(write_report("recovery", {"config": settings, "weights": weights, **figures}, target))


def summary(without: list[EpisodeResult], recovering: list[EpisodeResult]) -> dict[str, Any]:
    """Figures of both; `a` is without, `b` with recovery."""
    fired = [each.seed for each in recovering if each.recoveries]
    succeeded = {each.seed for each in without if each.success}
    return {
        **compare({each.seed: each.success for each in without}, {each.seed: each.success for each in recovering}),
        "counts": {name: sum(each.recoveries.get(name, 0) for each in recovering) for name in RECOVERY_COUNTS},
        "episodes_called_failed": len(fired),
        "of_those_that_succeed_without": sum(seed in succeeded for seed in fired),
    }


def result_table(config: RecoveryBenchmarkConfig, figures: dict[str, Any]) -> Table:
    """A line for each, one for the difference, one for what was noticed."""
    count = figures["episodes"]
    nudged = f", block moved by {1e3 * config.nudge_m:g} mm" if config.nudge_m else ""
    latency = f"actor {1e3 * config.actor_latency_s:g} ms"
    table = Table(title=f"{config.task}, {count} episodes from seed {config.seed}, {latency}{nudged}")
    for name in ("recovery", "success", "95 % interval", "solved by it alone"):
        table.add_column(name, justify="right" if name != "recovery" else "left")
    for key, name in (("a", "without"), ("b", "with")):
        low, high = figures[key]["ci95"]
        successes = f"{figures[key]['successes']}/{count}"
        table.add_row(name, successes, _points(low, high), str(figures["pairs"][f"only_{key}"]))
    low, high = figures["difference_ci95"]
    difference = f"{100 * figures['difference']:+.1f} points"
    table.add_row("difference", difference, _points(low, high, "+"), f"p = {figures['mcnemar_p']:.2g}")
    fired, wrongly = figures["episodes_called_failed"], figures["of_those_that_succeed_without"]
    table.caption = f"attempts called failed in {fired} episodes, {wrongly} of which succeed without recovery"
    return table


def _points(low: float, high: float, sign: str = "") -> str:
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"


if __name__ == "__main__":
    main(tyro.cli(RecoveryBenchmarkConfig, description=__doc__))
