"""Does the subgoal carry the meaning? The same episodes with the planner blinded, misled, or told something else.

    python -m benchmarks.subgoal_meaning --episodes 200 --seed 10000
    python -m benchmarks.subgoal_meaning --task humanoid/pick-with --episodes 200 --seed 10000

If the actor could find the named block by itself, it would not need the planner: success would stay. So:

    as trained            the planner sees this scene and reads this instruction
    held-out phrasing     words and templates that training never put together
    null planner          the actor gets the null subgoal
    shuffled images       the planner sees another episode's first image with this instruction
    another instruction   the planner is told another block of the scene: that one must be taken, not the named one
    other hand            pick-with: the planner is told the other hand: the block must come up in that one

What the planner is told is altered on its way to it; the environment goes on asking for the named block. So a task of
picking ends, as a failure, once another block is 2 cm up, and what counts is which block came up first, in which hand.
Scenes in which nothing else can be told are left out of `another instruction`: in pick-with those without another block
in reach of the named hand, in bimanual, where one of the two blocks is exchanged for another of its side, those of two.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import comb
from pathlib import Path
from typing import Any, Literal, get_args

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.report import write_report
from dualsys import sim_envs
from dualsys.app.controller import Controller
from dualsys.app.eyes import eyes_for
from dualsys.app.intervals import wilson_interval
from dualsys.app.rollout import run_episode
from dualsys.app.worker_pool import worker_pool
from dualsys.bridge.parts import PartConfig, build_actor, build_planner
from dualsys.checkpoint import Checkpoint
from dualsys.messages import FloatArray, LatentSubgoal, Observation
from dualsys.protocols import Planner
from dualsys.settings import TimingConfig
from dualsys.sim_envs.humanoid.goals import SIDES, side_of
from dualsys.sim_envs.humanoid.judge import OFF_THE_TABLE_M
from dualsys.sim_envs.humanoid.layout import EITHER_HAND_X_M, EITHER_HAND_Y_M
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.humanoid.scene import BLOCK_REST_M

Task = Literal["humanoid/touch", "humanoid/pick", "humanoid/pick-with", "humanoid/bimanual"]
Condition = Literal[
    "as trained", "held-out phrasing", "null planner", "shuffled images", "another instruction", "other hand"
]
DONE: dict[Task, tuple[str, str]] = {
    "humanoid/touch": ("named block touched first", "instructed block touched first"),
    "humanoid/pick": ("named block picked", "instructed block lifted first"),
    "humanoid/pick-with": ("named block picked, named hand", "instructed block lifted first, instructed hand"),
    "humanoid/bimanual": ("both named blocks picked", "instructed blocks up"),
}
"""What is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningConfig:
    """Success of a task with the planner's inputs tampered with."""

    task: Task = "humanoid/touch"
    """What is to be done."""
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
    """File for the figures; default: results/subgoal_meaning.json, for other tasks subgoal_meaning_TASK.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A sentence and what it asks for."""

    instruction: str
    colours: tuple[str, ...]
    """One, in bimanual two."""
    hand: str | None = None
    """In pick-with."""


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


def conditions_of(task: Task) -> tuple[Condition, ...]:
    """Those that mean something in a task."""
    return tuple(each for each in get_args(Condition) if each != "other hand" or task == "humanoid/pick-with")


class Player:
    """What a worker does: episodes, of one condition after the other, by a controller that is misled."""

    _environment: Any
    _controller: Controller

    def __init__(self, config: MeaningConfig) -> None:
        self._config = config
        self._eyes = eyes_for(config.task, Checkpoint.open(config.checkpoint).manifest.embodiment)
        self._other: Any = sim_envs.make(config.task, images="on-demand", **self._eyes)
        self._condition: Condition | None = None
        self._told: Telling | None = None

    def __call__(self, asked: tuple[Condition, int]) -> dict[str, Any] | None:
        """How an episode went, what it asked for and what the planner was told; None where nothing else can be told."""
        condition, seed = asked
        if condition != self._condition:
            self._take_up(condition)
        config, environment = self._config, self._environment
        environment.reset(seed=seed)
        named = asked_for(config.task, environment.instruction)
        self._told = tell(config.task, condition, named, environment.privileged()["blocks"], seed)
        if self._told is None:
            return None
        self._other.reset(seed=config.seed + (seed - config.seed + 1) % config.episodes)
        result = asdict(run_episode(environment, self._controller, seed))
        heights = {colour: place[2] for colour, place in environment.privileged()["blocks"].items()}
        up = [colour for colour, z_m in heights.items() if z_m >= BLOCK_REST_M + OFF_THE_TABLE_M]
        return {**result, "named": asdict(named), "told": asdict(self._told), "up": up}

    def _take_up(self, condition: Condition) -> None:
        if self._condition is not None:
            self._environment.close()
        config = self._config
        phrasing: Any = "held-out" if condition == "held-out phrasing" else "train"
        self._environment = sim_envs.make(config.task, images="on-demand", phrasing=phrasing, **self._eyes)
        manifest = Checkpoint.open(config.checkpoint, embodiment=self._environment.embodiment).manifest
        part = PartConfig(checkpoint=config.checkpoint, name="null" if condition == "null planner" else "")
        planner = TamperedPlanner(build_planner(part, manifest.subgoal), self._change)
        actor = build_actor(PartConfig(checkpoint=config.checkpoint), manifest.embodiment, manifest.subgoal)
        timing = TimingConfig(
            planner_hz=config.planner_hz,
            planner_latency_s=config.planner_latency_s,
            actor_latency_s=config.actor_latency_s,
        )
        self._controller = Controller(planner, actor, timing=timing)
        self._condition = condition

    def _change(self, observation: Observation) -> Observation:
        if self._condition == "shuffled images":
            return replace(observation, images=self._other.observe().images)
        return observation if self._told is None else replace(observation, instruction=self._told.instruction)


def play_all(config: MeaningConfig) -> Iterator[tuple[Condition, list[dict[str, Any]]]]:
    """Each condition's episodes in the order of their seeds, without those in which nothing else can be told."""
    seeds = range(config.seed, config.seed + config.episodes)
    advice = "Ask for fewer --workers if memory is short"
    with worker_pool(config.workers, partial(Player, config), doing="playing", advice=advice) as submit:
        for condition in conditions_of(config.task):
            futures = [submit((condition, seed)) for seed in seeds]
            shown = track(futures, description=condition, console=Console(stderr=True))
            yield condition, [result for future in shown if (result := future.result()) is not None]


def asked_for(task: Task, instruction: str) -> Telling:
    """What one of the grammar's sentences asks for."""
    words = instruction.split()
    colours = tuple(word for word in words if word in COLOURS)
    hand = next((word for word in words if word in SIDES), None) if task == "humanoid/pick-with" else None
    return Telling(instruction=instruction, colours=colours, hand=hand)


def tell(
    task: Task, condition: Condition, named: Telling, blocks_m: Mapping[str, FloatArray], seed: int
) -> Telling | None:
    """What the planner is told where the blocks of these colours stand; None where nothing else can be told."""
    if condition == "other hand":
        return asked_for(task, other_handed(named.instruction))
    if condition != "another instruction":
        return named
    others = sorted(set(blocks_m) - set(named.colours))
    if named.hand is not None:
        others = [colour for colour in others if _is_in_reach(blocks_m[colour], named.hand)]
    if not others:
        return None
    new = others[seed % len(others)]
    side = side_of(blocks_m[new][1])
    of_its_side = [colour for colour in named.colours if side_of(blocks_m[colour][1]) == side]
    old = of_its_side[0] if len(named.colours) > 1 else named.colours[0]
    return asked_for(task, recoloured(named.instruction, old, new))


def _is_in_reach(place_m: FloatArray, hand: str) -> bool:
    """Whether a hand may be asked to take a block here: on its own side, or where either hand reaches."""
    x_m, y_m = place_m[:2]
    return side_of(y_m) == hand or (x_m <= EITHER_HAND_X_M[1] and abs(y_m) <= EITHER_HAND_Y_M[1])


def recoloured(instruction: str, old: str, new: str) -> str:
    """The same sentence with one colour's name for another's."""
    return " ".join(new if word == old else word for word in instruction.split())


def other_handed(instruction: str) -> str:
    """The same sentence with left and right exchanged."""
    exchanged = dict(zip(SIDES, reversed(SIDES), strict=True))
    return " ".join(exchanged.get(word, word) for word in instruction.split())  # type: ignore[call-overload]


def did_as_told(task: Task, result: dict[str, Any]) -> bool:
    """Whether an episode went as the planner was told."""
    info, told = result["info"], result["told"]
    if task == "humanoid/touch":
        return bool(info["touched"] == told["colours"][0])
    if task == "humanoid/bimanual":
        named, asked, up = (set(each) for each in (result["named"]["colours"], told["colours"], result["up"]))
        return bool(result["success"]) if asked == named else asked - named <= up and not (named - asked) & up
    return info["lifted"] == told["colours"][0] and told["hand"] in (None, info["lifted_by"])


def chance_of(task: Task, num_blocks: int) -> float:
    """Of doing as told by taking any block with any hand; in bimanual any two blocks."""
    if task == "humanoid/bimanual":
        return 1.0 / comb(num_blocks, 2)
    return 1.0 / num_blocks / (2 if task == "humanoid/pick-with" else 1)


def summary(task: Task, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates of doing what the environment asks for and what the planner was told."""
    count = len(results)
    if not count:
        return {"episodes": 0}
    named = sum(result["success"] for result in results)
    instructed = sum(did_as_told(task, result) for result in results)
    return {
        "episodes": count,
        "named": named,
        "named_rate": named / count,
        "named_ci95": wilson_interval(named, count),
        "instructed": instructed,
        "instructed_rate": instructed / count,
        "instructed_ci95": wilson_interval(instructed, count),
        "chance": sum(chance_of(task, result["info"]["num_blocks"]) for result in results) / count,
    }


def main(config: MeaningConfig) -> None:
    """Run every condition, print the table, write the file."""
    weights = Checkpoint.open(config.checkpoint).weights_digest()
    figures: dict[str, Any] = {}
    table = Table(title=f"{config.task}, {config.episodes} episodes each from seed {config.seed}")
    for name in ("planner", *DONE[config.task], "1.5 x chance"):
        table.add_column(name)
    for condition, results in play_all(config):
        figures[condition] = row = summary(config.task, results)
        if results:
            cells = (_cell(row, "named"), _cell(row, "instructed"), f"{150 * row['chance']:.1f} %")
            table.add_row(condition, *cells)
        print(condition, json.dumps(row), flush=True)
    Console().print(table)
    settings = asdict(config) | {"checkpoint": Path(config.checkpoint).name, "json": None}
    suffix = "" if config.task == "humanoid/touch" else f"_{config.task.removeprefix('humanoid/')}"
    report = {"config": settings, "controller_weights": weights, "conditions": figures}
    print(write_report(f"subgoal_meaning{suffix}", report, config.json))


def _cell(row: dict[str, Any], kind: str) -> str:
    low, high = row[f"{kind}_ci95"]
    return f"{100 * row[f'{kind}_rate']:.1f} % ({row[kind]}/{row['episodes']}; {100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main(tyro.cli(MeaningConfig, description=__doc__))
