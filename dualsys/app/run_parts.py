"""Planner and actor of a run: a checkpoint's, a policy's of another program, or two that do nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualsys import sim_envs
from dualsys.actor.outside.answers import NO_SUBGOAL
from dualsys.app.idle import NOTHING, hold_part, null_part, unread_part
from dualsys.app.run_config import RunConfig
from dualsys.app.who_drives import is_idle
from dualsys.bridge.parts import PartConfig
from dualsys.checkpoint import Checkpoint, portable_checkpoint
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.stored_kinds import require_kinds

_HOLD_DT_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """How both are built, in whatever process, and the robot and the subgoals that they have in common."""

    planner: PartConfig
    actor: PartConfig
    embodiment: EmbodimentSpec
    subgoal: SubgoalSpec


def parts_for(config: RunConfig, environment: Any) -> RunParts:
    """The parts that a run asks for, for its environment's robot.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or for another robot.
        ConfigError: a planner or an actor needs another kind of checkpoint.
    """
    robot = environment.embodiment
    if config.policy:
        return _policy_parts(config, robot)
    if is_idle(planner=config.planner, actor=config.actor):
        planner = null_part(precision=config.planner_precision)
        actor = hold_part(robot, _HOLD_DT_S, backend=config.actor_backend, precision=config.actor_precision)
        return RunParts(planner=planner, actor=actor, embodiment=robot, subgoal=NOTHING)
    checkpoint = Checkpoint.open(config.checkpoint, embodiment=robot)
    require_kinds(checkpoint, planner=config.planner, actor=config.actor)
    return checkpoint_parts(config, checkpoint)


def checkpoint_parts(config: RunConfig, checkpoint: Checkpoint) -> RunParts:
    """A checkpoint's, with what is asked for in place of either."""
    return RunParts(
        planner=PartConfig(
            name=config.planner,
            checkpoint=portable_checkpoint(config.checkpoint),
            precision=config.planner_precision,
        ),
        actor=PartConfig(
            name=config.actor,
            checkpoint=checkpoint.folder,
            backend=config.actor_backend,
            precision=config.actor_precision,
        ),
        embodiment=checkpoint.manifest.embodiment,
        subgoal=checkpoint.manifest.subgoal,
    )


def _policy_parts(config: RunConfig, robot: EmbodimentSpec) -> RunParts:
    """Both systems are the policy: a planner that nobody reads stands in. Its rows are the task's own period apart,
    where its server doesn't say: the run's ticks may be faster than what it was trained at.
    """
    own = sim_envs.make(config.task, images="on-demand")
    dt_s = own.control_dt_s
    own.close()
    keys = str(Path(config.policy_keys).resolve()) if config.policy_keys.endswith(".toml") else config.policy_keys
    options = {"address": config.policy, "keys": keys, "embodiment": robot.model_dump(mode="json"), "dt_s": dt_s}
    return RunParts(
        planner=unread_part(NO_SUBGOAL),
        actor=PartConfig(name="dualsys.app.outside_policy:policy_actor", options=options),
        embodiment=robot,
        subgoal=NO_SUBGOAL,
    )
