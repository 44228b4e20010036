"""What an evaluation plays: environments, controllers, one episode."""

from pathlib import Path
from typing import Any, cast

from dualsys import sim_envs
from dualsys.app.controller import Controller
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.scene import scene_of
from dualsys.app.idle import NOTHING, hold_part, null_part
from dualsys.app.outside_policy import outside_controller
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.app.who_drives import is_idle
from dualsys.bridge.parts import PartConfig, build_actor, build_planner
from dualsys.clearance import clearance_of
from dualsys.files import replacing
from dualsys.protocols import Rendered


def make_episode_parts(config: EvalConfig, task: str) -> tuple[Rendered, Controller]:
    """Environment and controller of an evaluation."""
    environment = make_environment(config, task)
    return environment, _make_controller(config, environment)


def make_environment(config: EvalConfig, task: str) -> Rendered:
    """Environment of an evaluation."""
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
    return cast(Rendered, environment)


def _make_controller(config: EvalConfig, environment: Rendered) -> Controller:
    timing = config.timing(1.0 / environment.control_dt_s)
    if config.policy:
        return outside_controller(
            config.policy, config.policy_keys, environment, timing=timing, core=config.core, safety=config.safety
        )
    robot = environment.embodiment
    if is_idle(planner=config.planner, actor=config.actor):
        backend, precision = config.actor_backend, config.actor_precision
        actor = hold_part(robot, environment.control_dt_s, backend=backend, precision=precision)
        return Controller(
            build_planner(null_part(precision=config.planner_precision), NOTHING),
            build_actor(actor, robot, NOTHING),
            timing=timing,
            core=config.core,
            safety=config.safety,
            clearance=clearance_of(environment, config.safety),
        )
    return Controller.from_checkpoint(
        config.checkpoint,
        embodiment=robot,
        planner=PartConfig(name=config.planner, precision=config.planner_precision),
        actor=PartConfig(name=config.actor, backend=config.actor_backend, precision=config.actor_precision),
        timing=timing,
        core=config.core,
        safety=config.safety,
        clearance=clearance_of(environment, config.safety),
    )


def play_episode(config: EvalConfig, environment: Rendered, controller: Controller, seed: int) -> EpisodeResult:
    """One episode of an evaluation, with its parts. The same everywhere, whatever was played with them before."""
    return run_episode(environment, controller, seed, rules=config.rules())


def film_of_episode(
    config: EvalConfig, environment: Rendered, controller: Controller, seed: int, path: Path
) -> EpisodeResult:
    """The same before a camera. Raises `CannotWrite` where the video can't be; there is a whole one or none."""
    from dualsys.app.film import film_episode

    with replacing(path) as partial:
        return film_episode(environment, controller, seed, partial, rules=config.rules())
