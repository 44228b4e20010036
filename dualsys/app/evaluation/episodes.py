"""Episodes of an evaluation, one after another or in several processes: the same either way."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rich.progress import track

from dualsys import sim_envs
from dualsys.app.controller import Controller
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.idle import idle_controller, is_idle
from dualsys.app.evaluation.scene import scene_of
from dualsys.app.evaluation.tasks import tasks_of as tasks_of
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.app.worker_pool import worker_pool
from dualsys.bridge.parts import PartConfig
from dualsys.clearance import clearance_of
from dualsys.protocols import Rendered


def make_episode_parts(config: EvalConfig, task: str) -> tuple[Rendered, Controller]:
    """Environment and controller of an evaluation."""
    environment: Any = sim_envs.make(
        task,
        seed=config.seed,
        control_hz=config.control_hz,
        images="on-demand",
        phrasing=config.phrasing,
        randomization=config.randomization,
        perturbations=config.perturb,
        **scene_of(config, task),
    )
    if is_idle(config, environment):
        return environment, idle_controller(config, environment)
    controller = Controller.from_checkpoint(
        config.checkpoint,
        embodiment=environment.embodiment,
        planner=PartConfig(name=config.planner, precision=config.planner_precision),
        actor=PartConfig(name=config.actor, backend=config.actor_backend, precision=config.actor_precision),
        timing=config.timing(1.0 / environment.control_dt_s),
        core=config.core,
        safety=config.safety,
        clearance=clearance_of(environment, config.safety),
    )
    return environment, controller


def episodes(config: EvalConfig, task: str) -> Iterator[EpisodeResult]:
    """Run a task's episodes, with progress on the terminal; results come in the order of their seeds."""
    seeds = range(config.seed, config.seed + config.episodes)
    results = _run_seeds(config, task, seeds) if config.workers == 1 else _run_in_workers(config, task, seeds)
    yield from track(results, total=len(seeds), description=task)


def play_episode(config: EvalConfig, environment: Rendered, controller: Controller, seed: int) -> EpisodeResult:
    """One episode of an evaluation, with its parts. The same everywhere, whatever was played with them before."""
    return run_episode(environment, controller, seed, rules=config.rules())


def _run_in_workers(config: EvalConfig, task: str, seeds: range) -> Iterator[EpisodeResult]:
    advice = "Evaluate again, with fewer --workers if memory is short"
    with worker_pool(config.workers, partial(_runner, config, task), doing="evaluating", advice=advice) as submit:
        for future in [submit(seed) for seed in seeds]:
            yield future.result()


def _runner(config: EvalConfig, task: str) -> Callable[[int], EpisodeResult]:
    return partial(play_episode, config, *make_episode_parts(config, task))


def _run_seeds(config: EvalConfig, task: str, seeds: range) -> Iterator[EpisodeResult]:
    environment, controller = make_episode_parts(config, task)
    try:
        for seed in seeds:
            yield play_episode(config, environment, controller, seed)
    finally:
        controller.close()
        environment.close()
