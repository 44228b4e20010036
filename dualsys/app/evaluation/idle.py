"""A controller that does nothing, for tasks that no checkpoint is for: the baseline of a suite, and its smoke test."""

from dualsys.actor.scripted import HoldActor
from dualsys.app.controller import Controller
from dualsys.app.evaluation.config import EvalConfig
from dualsys.checkpoint import Checkpoint
from dualsys.clearance import clearance_of
from dualsys.embodiment import SubgoalSpec
from dualsys.planner.scripted import NullPlanner
from dualsys.protocols import Environment

_NOTHING = SubgoalSpec(num_tokens=1, dim=1)


def is_idle(config: EvalConfig, environment: Environment) -> bool:
    """Whether `--planner null --actor hold` is asked for, and the checkpoint has no robot like the task's.

    Neither part reads weights, so none are needed.
    """
    if (config.planner, config.actor) != ("null", "hold"):
        return False
    return environment.embodiment.name not in {robot.name for robot in Checkpoint.open(config.checkpoint).robots}


def idle_controller(config: EvalConfig, environment: Environment) -> Controller:
    """Holds the pose it sees, or gives no effort where actions are none of a pose."""
    return Controller(
        NullPlanner(_NOTHING),
        HoldActor(environment.embodiment, _NOTHING, dt_s=environment.control_dt_s),
        timing=config.timing(1.0 / environment.control_dt_s),
        core=config.core,
        safety=config.safety,
        clearance=clearance_of(environment, config.safety),
    )
