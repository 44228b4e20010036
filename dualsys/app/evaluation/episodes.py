"""Episodes of an evaluation, one after another or in several processes: the same either way."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rich.progress import track

from dualsys import sim_envs
from dualsys.app.controller import Controller
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.eyes import eyes_for
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.app.worker_pool import worker_pool
from dualsys.bridge.parts import PartConfig
from dualsys.checkpoint import Checkpoint
from dualsys.clearance import clearance_of
from dualsys.errors import ConfigError, unknown_name
from dualsys.protocols import Rendered


def tasks_of(suite_or_task: str) -> list[str]:
    """Tasks of a suite, or the one task. Raises `ConfigError` for an unknown name."""
    if "/" in suite_or_task:
        sim_envs.suite_of(suite_or_task)
        return [suite_or_task]
    suites = sim_envs.suites()
    if suite_or_task not in suites:
        raise ConfigError(unknown_name("suite", suite_or_task, suites))
    return [task for task in sim_envs.task_names() if task.startswith(f"{suite_or_task}/")]


def make_episode_parts(config: EvalConfig, task: str) -> tuple[Rendered, Controller]:
    """Environment and controller of an evaluation."""
    environment: Any = sim_envs.make(
        task,
        seed=config.seed,
        control_hz=config.control_hz,
        images="on-demand",
        phrasing=config.phrasing,
        randomization=config.randomization,
        **eyes_for(task, *Checkpoint.open(config.checkpoint).robots),
    )
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


def _run_in_workers(config: EvalConfig, task: str, seeds: range) -> Iterator[EpisodeResult]:
    advice = "Evaluate again, with fewer --workers if memory is short"
    with worker_pool(config.workers, partial(_runner, config, task), doing="evaluating", advice=advice) as submit:
        for future in [submit(seed) for seed in seeds]:
            yield future.result()


def _runner(config: EvalConfig, task: str) -> Callable[[int], EpisodeResult]:
    return partial(run_episode, *make_episode_parts(config, task))


def _run_seeds(config: EvalConfig, task: str, seeds: range) -> Iterator[EpisodeResult]:
    environment, controller = make_episode_parts(config, task)
    try:
        for seed in seeds:
            yield run_episode(environment, controller, seed)
    finally:
        controller.close()
        environment.close()
