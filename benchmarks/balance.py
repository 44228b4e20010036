"""How long does the free-standing humanoid stand, with the feedback of its expert and without?

    python -m benchmarks.balance --episodes 50

The same seeds, and with them the same pushes, for each: a fixed posture; the expert; its legs and waist alone, arms and
hands held by somebody else; the same while the arms swing; the expert with the execution noise of demonstrations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.report import write_report
from dualsys.app.execution_noise import ExecutionNoise
from dualsys.app.intervals import Pairs, paired_difference_interval, wilson_interval
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.stand import HumanoidStand
from dualsys.sim_envs.humanoid.stand_episode import ARMS
from dualsys.sim_envs.humanoid.stand_expert import StandExpert
from dualsys.sim_envs.humanoid.whole_body import UPPER
from dualsys.sim_envs.options import EnvironmentOptions

SWING_RAD, SWING_HZ = 0.2, 0.5
NOISE_RAD = 0.01
"""That of demonstrations, where none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceConfig:
    """Success of standing, paired by seed."""

    episodes: int = 50
    """Of each way to stand."""
    seed: int = 8000
    """Seed of the first; 8000 to 9999 are development's, 10000 and above are for claims."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/balance.json`."""


class Standing:
    """The ways to stand: a row of targets `(43,)` for the present moment of one environment."""

    def __init__(self, environment: HumanoidStand) -> None:
        self._environment, self._expert = environment, StandExpert(environment)
        self._noise = ExecutionNoise(NOISE_RAD, environment.control_dt_s)

    def ways(self) -> dict[str, Callable[[], FloatArray]]:
        """By name; the first is what the others are compared with."""
        return {
            "fixed posture": self._fixed,
            "feedback, whole body": self._expert.act,
            "feedback, legs and waist": lambda: self._balanced(0.0),
            "the same, arms swinging": lambda: self._balanced(SWING_RAD),
            "fixed legs, arms swinging": lambda: self._swinging(SWING_RAD),
            "feedback, execution noise": lambda: self._noise.push(self._expert.act()),
        }

    def begin(self, seed: int) -> None:
        """Before an episode."""
        self._noise.reset(seed)

    def _fixed(self) -> FloatArray:
        home: FloatArray = self._environment.privileged()["home"]
        return home

    def _swinging(self, rad: float) -> FloatArray:
        row = self._fixed().copy()
        row[ARMS] += rad * np.sin(2 * np.pi * SWING_HZ * self._environment.observe().stamp_s)
        return row

    def _balanced(self, rad: float) -> FloatArray:
        facts = self._environment.privileged()
        upper = self._swinging(rad)[UPPER]
        return self._expert.balance.command(facts["positions"], facts["velocities"], upper=upper)


def main(config: BalanceConfig) -> None:
    """Play, print, write."""
    environment = HumanoidStand(EnvironmentOptions(images="on-demand"))
    standing = Standing(environment)
    seeds = range(config.seed, config.seed + config.episodes)
    stood = {
        name: [_stands(environment, standing, act, seed) for seed in track(seeds, description=name)]
        for name, act in standing.ways().items()
    }
    environment.close()
    reference = next(iter(stood.values()))
    results = {name: _compared(each, reference) for name, each in stood.items()}
    table = Table("standing", "success", "95 %", "less the fixed posture, points")
    for name, found in results.items():
        low, high = found["difference_95"]
        less = f"{100 * found['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        table.add_row(
            name,
            f"{found['successes']}/{found['episodes']}",
            "{:.3f} .. {:.3f}".format(*found["interval_95"]),
            "" if found["stood"] is reference else less,
        )
    Console().print(table)
    write_report("balance", {"seed": config.seed, "ways": results}, path=config.json)


def _stands(environment: HumanoidStand, standing: Standing, act: Callable[[], FloatArray], seed: int) -> bool:
    environment.reset(seed=seed)
    standing.begin(seed)
    over = False
    while not over:
        *_, terminated, truncated, _ = environment.step(act())
        over = terminated or truncated
    return environment.success


def _compared(stood: list[bool], reference: list[bool]) -> dict[str, Any]:
    count = len(stood)
    return {
        "successes": sum(stood),
        "episodes": count,
        "interval_95": wilson_interval(sum(stood), count),
        "difference": (sum(stood) - sum(reference)) / count,
        "difference_95": paired_difference_interval(*Pairs.of(stood, reference)),
        "stood": stood,
    }


if __name__ == "__main__":
    main(tyro.cli(BalanceConfig))
