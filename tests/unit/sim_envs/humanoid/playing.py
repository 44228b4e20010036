"""Episodes of the humanoid suite played by its expert, who may be told something else than what is so."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.goals import TaskName
from dualsys.sim_envs.humanoid.layout import Episode, draw_episode
from dualsys.sim_envs.humanoid.table import HumanoidTable
from dualsys.sim_envs.options import EnvironmentOptions

Change = Callable[[dict[str, Any]], dict[str, Any]]


def make_table(task: TaskName = "touch") -> HumanoidTable:
    return HumanoidTable(EnvironmentOptions(images="on-demand"), task=task)


class Told:
    """The task with its privileged facts changed on the way to the expert."""

    def __init__(self, environment: HumanoidTable, change: Change) -> None:
        self.model, self.control_dt_s = environment.model, environment.control_dt_s
        self.observe = environment.observe
        self._environment, self._change = environment, change

    def privileged(self) -> dict[str, Any]:
        return self._change(self._environment.privileged())


def shifted(error_m: FloatArray) -> Change:
    """Every block believed to be elsewhere."""
    return lambda facts: {**facts, "blocks": {name: place + error_m for name, place in facts["blocks"].items()}}


def with_hands(**tasks: tuple[str, str] | None) -> Change:
    """Other things to do for the hands that are named."""
    return lambda facts: {**facts, "hands": {**facts["hands"], **tasks}}


def unchanged(facts: dict[str, Any]) -> dict[str, Any]:
    return facts


def play_on(environment: HumanoidTable, *, change: Change = unchanged, most_s: float = 100.0) -> dict[str, Any]:
    """Let a new expert act until the episode ends, or for a while; the last `info`, and `ended`."""
    task = Told(environment, change)
    expert = TableExpert(task)
    for _ in range(round(most_s / environment.control_dt_s)):
        *_, terminated, truncated, info = environment.step(expert.act())
        if terminated or truncated:
            break
    return {**info, "terminated": terminated, "truncated": truncated, "ended": terminated or truncated}


def seed_where(task: TaskName, wanted: Callable[[Episode], bool], *, start: int = 8000) -> int:
    """The first seed from `start` whose episode is as wanted."""
    return next(seed for seed in range(start, 10000) if wanted(draw_episode(seed, task=task)))


def qpos_of(environment: HumanoidTable, colour: str) -> slice:
    """Where the pose (position, quaternion) of a block is in `physics_state()`."""
    index = list(environment.privileged()["blocks"]).index(colour)
    start = int(environment.model.joint(f"block{index}").qposadr[0])
    return slice(start, start + 7)


def put_block(environment: HumanoidTable, colour: str, pose: FloatArray) -> None:
    """Place a block at a position and quaternion `(7,)`."""
    state = environment.physics_state()
    state[qpos_of(environment, colour)] = pose
    environment.set_state(state)


def height_m(environment: HumanoidTable, colour: str) -> float:
    return float(environment.privileged()["blocks"][colour][2])


def rows_of(environment: HumanoidTable, expert: TableExpert, count: int) -> FloatArray:
    """The expert's next rows `(count, 28)`, done."""
    rows = []
    for _ in range(count):
        rows.append(expert.act())
        environment.step(rows[-1])
    return np.array(rows)
