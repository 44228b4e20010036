"""A world that stands still while the models think: how most published policies are evaluated."""

from dataclasses import replace

from dualsys.errors import ConfigError
from dualsys.protocols import Actor
from dualsys.settings import CoreConfig, TimingConfig


def frozen_world(timing: TimingConfig, core: CoreConfig, actor: Actor) -> tuple[TimingConfig, CoreConfig]:
    """Timing and core by which plan, act and executing `execution_horizon` rows follow one another.

        planner   plan                    plan                    plan
        actor     act                     act                     act
        rows      0  1  2  3  4  5  6  7  0  1  2  3  4  5  6  7  0 ..      execution horizon 8

    Nothing takes time, so every chunk is made with a subgoal from the very observation that it is made from, and begins
    at its row 0.

    Raises:
        ConfigError: the rows to be executed are more than a chunk has, or last longer than the core lets it get old.
    """
    timing = timing.frozen(horizon=actor.horizon, dt_s=actor.dt_s)
    lasts_s = 1.0 / timing.planner_hz
    if lasts_s > core.chunk.expire_s:
        raise ConfigError(
            f"{timing.execution_horizon} rows of {actor.dt_s:g} s last {lasts_s:g} s, longer than core.chunk.expire_s "
            f"{core.chunk.expire_s:g}: the motion would be held; raise that, or lower the execution horizon"
        )
    return timing, replace(core, actor_hz=timing.planner_hz, first_subgoal_wait_s=0.0)
