"""Episodes told step by step: the task's judge says which step is on, a controller acts, and what its planner sees of
each step is kept. That is what a planner's sense of progress is taught from (`planner/progress_sense.py`).

After a step is done the words for it stay for a while drawn at random, as they will when a head has to notice it.

Shape legend: N moments, K subgoal tokens, C their width, X the state's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualsys.app.controller import Controller
from dualsys.errors import ConfigError
from dualsys.files import replacing
from dualsys.messages import FloatArray, LatentSubgoal, Observation, TokenArray
from dualsys.protocols import Planner

LINGER_S = 1.0
"""Longest time that the words for a step stay after it is done."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ToldMoments:
    """What a planner saw of one step at some moments, in order."""

    tokens_NKC: TokenArray
    state_NX: FloatArray
    stamps_s: FloatArray
    """`(N,)`."""
    done_s: float
    """When the step was done, by the judge; infinity where it never was."""
    step: str

    @property
    def done_N(self) -> NDArray[np.bool_]:
        """Whether the step was done at each moment."""
        return self.stamps_s >= self.done_s


class ToldPlanner:
    """A planner that is told other words than the observation's, and keeps what it sees."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.told = ""
        self.seen: list[tuple[float, FloatArray, TokenArray]] = []

    @property
    def subgoal_spec(self) -> Any:
        """The planner's."""
        return self.planner.subgoal_spec

    def reset(self, *, seed: int = 0) -> None:
        """Begin an episode."""
        self.planner.reset(seed=seed)

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Subgoal for the words that are told."""
        subgoal = self.planner.plan(replace(observation, instruction=self.told))
        self.seen.append((observation.stamp_s, np.array(observation.state), subgoal.tokens))
        return subgoal


def told_episode(
    environment: Any, controller: Controller, planner: ToldPlanner, steps: Sequence[str], rng: np.random.Generator
) -> Iterator[ToldMoments]:
    """Play an episode that has begun; gives what was seen of each of its steps.

    Args:
        environment: Reset to the episode; its `info` has `goals_done`.
        controller: Acts with `planner`; reset.
        planner: Is told the steps.
        steps: What to tell, in order.
        rng: Draws how long words linger.
    """
    over = False
    for number, step in enumerate(steps):
        planner.told, planner.seen = step, []
        done_s, linger_s = np.inf, float(rng.uniform(0.0, LINGER_S))
        while not over or (np.isfinite(done_s) and number + 1 == len(steps)):
            observation = environment.observe()
            if observation.stamp_s >= done_s + linger_s:
                break
            command = controller.step(observation)
            _, _, terminated, truncated, info = environment.step(command.target)
            over = over or bool(terminated or truncated)
            if not np.isfinite(done_s) and info["goals_done"] > number:
                done_s = float(info["time_s"])
        if planner.seen:
            yield _moments(planner.seen, done_s, step)
        if over:
            return


def _moments(seen: list[tuple[float, FloatArray, TokenArray]], done_s: float, step: str) -> ToldMoments:
    stamps, states, tokens = zip(*seen, strict=True)
    return ToldMoments(
        tokens_NKC=np.stack(tokens), state_NX=np.stack(states), stamps_s=np.array(stamps), done_s=done_s, step=step
    )


def save_told(path: Path, episodes: Mapping[int, Sequence[ToldMoments]]) -> None:
    """Write what was seen, by the episode's seed; whole or not at all."""
    arrays: dict[str, Any] = {"seeds": np.array(sorted(episodes), dtype=np.int64)}
    for seed, steps in episodes.items():
        arrays[f"{seed}/steps"] = np.array([moments.step for moments in steps], dtype=np.str_)
        for number, moments in enumerate(steps):
            name = f"{seed}/{number}"
            arrays |= {f"{name}/tokens": moments.tokens_NKC, f"{name}/state": moments.state_NX}
            arrays |= {f"{name}/stamps_s": moments.stamps_s, f"{name}/done_s": np.array(moments.done_s)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_told(path: Path) -> dict[int, list[ToldMoments]]:
    """What `save_told` wrote. Raises `ConfigError` for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {
                int(seed): [_loaded(file, f"{seed}/{i}", str(step)) for i, step in enumerate(file[f"{seed}/steps"])]
                for seed in file["seeds"]
            }
    except (KeyError, ValueError, EOFError) as error:
        raise ConfigError(f"{path} holds no episodes told step by step: {error}. Choose another file") from error


def _loaded(file: Any, name: str, step: str) -> ToldMoments:
    return ToldMoments(
        tokens_NKC=file[f"{name}/tokens"],
        state_NX=file[f"{name}/state"],
        stamps_s=file[f"{name}/stamps_s"],
        done_s=float(file[f"{name}/done_s"]),
        step=step,
    )
