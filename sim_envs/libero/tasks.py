"""Which tasks there are, and what the benchmark calls them. Names are ours: suite and number, as evaluations count."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray
from dualsys.sim_envs.libero import benchmark

PREFIX = "libero"
NUM_TASKS = {"spatial": 10, "object": 10, "goal": 10, "10": 10, "90": 90}
"""By suite."""
EPISODE_STEPS = {"spatial": 220, "object": 280, "goal": 300, "10": 520, "90": 400}
"""By suite: the horizons of openpi's and OpenVLA's evaluations, a little longer than the longest demonstration."""
INITIAL_STATES = 50
"""Fixed starts of each task."""
NAMES = tuple(f"{PREFIX}/{suite}-{number}" for suite, count in NUM_TASKS.items() for number in range(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One of what a goal wants, such as `on akita_black_bowl_1 plate_1`."""

    verb: str
    thing: str
    place: str
    """An object or a region; empty where a thing is to be opened, closed or turned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One of the benchmark's tasks."""

    name: str
    """Ours, such as `libero/spatial-0`."""
    suite: str
    number: int
    title: str
    """The benchmark's own, which its files are named by."""

    @property
    def sentence(self) -> str:
        """What a policy is told: the words of the title, as every published evaluation has them."""
        words = self.title.split("_")
        if words[0].isupper():  # the hundred tasks of kitchen, living room and study begin with their scene
            words = words[next(index for index, word in enumerate(words) if word.startswith("SCENE")) + 1 :]
        return " ".join(words)

    @property
    def definition(self) -> Path:
        """The BDDL file: objects, where they may lie, and the goal."""
        return benchmark.folder("bddl_files") / f"libero_{self.suite}" / f"{self.title}.bddl"

    def goal(self) -> tuple[Fact, ...]:
        """What all has to hold."""
        facts = benchmark.parsed(self.definition)["goal_state"]
        return tuple(Fact(verb=verb, thing=thing, place="".join(place)) for verb, thing, *place in facts)

    def initial_states(self) -> FloatArray:
        """The fixed starts `(INITIAL_STATES, 1 + nq + nv)`: time, positions, velocities."""
        path = benchmark.folder("init_states") / f"libero_{self.suite}" / f"{self.title}.pruned_init.npz"
        with np.load(path, allow_pickle=False) as file:
            states: Any = file["states"]
        return np.asarray(states, dtype=np.float64)


def task_called(name: str) -> Task:
    """A task of `NAMES`. Raises `ExtraMissing` where the benchmark isn't installed."""
    suite, _, number = name.removeprefix(f"{PREFIX}/").partition("-")
    titles = benchmark.titles(f"libero_{suite}")
    if len(titles) != NUM_TASKS[suite]:
        raise ConfigError(
            f"the installed LIBERO has {len(titles)} tasks in libero_{suite}, not {NUM_TASKS[suite]}: install the one "
            "that dualsys was tried with, pip install 'dualsys[libero]'"
        )
    return Task(name=name, suite=suite, number=int(number), title=titles[int(number)])
