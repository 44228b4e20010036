"""System 1: the actor. Fast: turns the newest subgoal and the robot's state into chunks of motion.

Importing this package pulls in no torch; its members do, when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualsys.actor.action_expert import ActionExpert as ActionExpert
    from dualsys.actor.flow_actor import FlowActor as FlowActor
    from dualsys.actor.joint_expert import JointExpert as JointExpert
    from dualsys.actor.scripted import HoldActor as HoldActor

_HOME = {
    "ActionExpert": "dualsys.actor.action_expert",
    "FlowActor": "dualsys.actor.flow_actor",
    "JointExpert": "dualsys.actor.joint_expert",
    "HoldActor": "dualsys.actor.scripted",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
