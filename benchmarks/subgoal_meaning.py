"""Does the subgoal carry the meaning? The same episodes with the planner blinded, misled, or told something else.

    python -m benchmarks.subgoal_meaning --episodes 200 --seed 10000

If the actor could find the named block by itself, it would not need the planner: success would stay. So:

    as trained            the planner sees this scene and reads this instruction
    held-out phrasing     words and templates that training never put together
    null planner          the actor gets the null subgoal
    shuffled images       the planner sees another episode's first image with this instruction
    another instruction   the planner is told another block of the scene: that one must be touched, not the named one
"""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, get_args

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys import sim_envs
from dualsys.app.controller import Controller
from dualsys.app.intervals import wilson_interval
from dualsys.app.rollout import run_episode
from dualsys.bridge.parts import PartConfig, build_actor, build_planner
from dualsys.checkpoint import Checkpoint
from dualsys.messages import LatentSubgoal, Observation
from dualsys.protocols import Planner
from dualsys.settings import TimingConfig
from dualsys.sim_envs.humanoid.palette import COLOURS

Condition = Literal["as trained", "held-out phrasing", "null planner", "shuffled images", "another instruction"]
TASK = "humanoid/touch"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningConfig:
    """Success of humanoid/touch with the planner's inputs tampered with."""

    episodes: int = 200
    """Episodes of each condition, on the same seeds."""
    seed: int = 8000
    """First seed; 10000 and above only for claims."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    planner_hz: float = 5.0
    """Rate of the planner."""
    planner_latency_s: float = 0.12
    """Its latency."""
    actor_latency_s: float = 0.03
    """The actor's latency."""
    workers: int = 2
    """Processes."""
    json: Path | None = None
    """File for the figures; default: results/subgoal_meaning.json."""


class TamperedPlanner:
    """A planner whose observations are changed on the way in."""

    def __init__(self, planner: Planner, change: Callable[[Observation], Observation]) -> None:
        self._planner, self._change = planner, change

    @property
    def subgoal_spec(self) -> Any:
        """The planner's own."""
        return self._planner.subgoal_spec

    def reset(self, *, seed: int = 0) -> None:
        """Reset the planner."""
        self._planner.reset(seed=seed)

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Plan on the changed observation."""
        return self._planner.plan(self._change(observation))


def run_seeds(config: MeaningConfig, condition: Condition, seeds: list[int]) -> list[dict[str, Any]]:
    """Episodes of one condition."""
    import torch

    torch.set_num_threads(1)
    phrasing: Any = "held-out" if condition == "held-out phrasing" else "train"
    environment: Any = sim_envs.make(TASK, images="on-demand", phrasing=phrasing)
    other: Any = sim_envs.make(TASK, images="on-demand")
    told = ""

    def change(observation: Observation) -> Observation:
        if condition == "shuffled images":
            return replace(observation, images=other.observe().images)
        return replace(observation, instruction=told) if told else observation

    manifest = Checkpoint.open(config.checkpoint, embodiment=environment.embodiment).manifest
    part = PartConfig(checkpoint=config.checkpoint, name="null" if condition == "null planner" else "")
    planner = TamperedPlanner(build_planner(part, manifest.subgoal), change)
    actor = build_actor(PartConfig(checkpoint=config.checkpoint), manifest.embodiment, manifest.subgoal)
    timing = TimingConfig(
        planner_hz=config.planner_hz,
        planner_latency_s=config.planner_latency_s,
        actor_latency_s=config.actor_latency_s,
    )
    results = []
    with Controller(planner, actor, timing=timing) as controller:
        for seed in seeds:
            environment.reset(seed=seed)
            blocks = environment.privileged()
            instructed = blocks["target"]
            if condition == "another instruction":
                instructed = sorted(set(blocks["blocks"]) - {blocks["target"]})[seed % (len(blocks["blocks"]) - 1)]
                told = recoloured(environment.instruction, instructed)
            other.reset(seed=config.seed + (seed - config.seed + 1) % config.episodes)
            result = run_episode(environment, controller, seed)
            results.append({**asdict(result), "instructed": instructed})
    environment.close()
    other.close()
    return results


def recoloured(instruction: str, colour: str) -> str:
    """The same sentence with another colour's name."""
    words = [colour if word in COLOURS else word for word in instruction.split()]
    return " ".join(words)


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates of touching the named and the instructed block."""
    count = len(results)
    named = sum(result["success"] for result in results)
    instructed = sum(result["info"]["touched"] == result["instructed"] for result in results)
    return {
        "episodes": count,
        "named": named,
        "named_rate": named / count,
        "named_ci95": wilson_interval(named, count),
        "instructed": instructed,
        "instructed_rate": instructed / count,
        "instructed_ci95": wilson_interval(instructed, count),
        "chance": sum(1.0 / result["info"]["num_blocks"] for result in results) / count,
    }


def main(config: MeaningConfig) -> None:
    """Run every condition, print the table, write the file."""
    seeds = list(range(config.seed, config.seed + config.episodes))
    figures: dict[str, Any] = {}
    table = Table(title=f"{TASK}, {config.episodes} episodes each from seed {config.seed}")
    for name in ("planner", "named block touched first", "instructed block touched first", "1.5 / blocks"):
        table.add_column(name)
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        for condition in get_args(Condition):
            shares = [seeds[index :: config.workers] for index in range(config.workers)]
            results = [r for share in pool.map(partial(run_seeds, config, condition), shares) for r in share]
            figures[condition] = row = summary(results)
            table.add_row(condition, _cell(row, "named"), _cell(row, "instructed"), f"{150 * row['chance']:.1f} %")
            print(condition, json.dumps(row), flush=True)
    Console().print(table)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
    print(write_report("subgoal_meaning", {"config": settings, "conditions": figures}, config.json))


def _cell(row: dict[str, Any], kind: str) -> str:
    low, high = row[f"{kind}_ci95"]
    return f"{100 * row[f'{kind}_rate']:.1f} % ({row[kind]}/{row['episodes']}; {100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main(tyro.cli(MeaningConfig, description=__doc__))
