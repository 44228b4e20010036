"""dualsys drives a robot with two brains at two speeds: a slow planner that sees and reads, a fast actor that moves.

This is the public door. Every name is imported when it is first used, so `import dualsys` is light: no torch, ray,
transformers, mujoco, pyarrow or av.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualsys import sim_envs as sim_envs
    from dualsys import testing as testing
    from dualsys.app.controller import Controller as Controller
    from dualsys.embodiment import CameraSpec as CameraSpec
    from dualsys.embodiment import EmbodimentSpec as EmbodimentSpec
    from dualsys.embodiment import Joint as Joint
    from dualsys.embodiment import JointGroup as JointGroup
    from dualsys.embodiment import SubgoalSpec as SubgoalSpec
    from dualsys.errors import DualsysError as DualsysError
    from dualsys.messages import ActionChunk as ActionChunk
    from dualsys.messages import ActionPrefix as ActionPrefix
    from dualsys.messages import Command as Command
    from dualsys.messages import LatentSubgoal as LatentSubgoal
    from dualsys.messages import Observation as Observation

    __version__: str

_HOMES = {
    "ActionChunk": "dualsys.messages",
    "ActionPrefix": "dualsys.messages",
    "CameraSpec": "dualsys.embodiment",
    "Command": "dualsys.messages",
    "Controller": "dualsys.app.controller",
    "DualsysError": "dualsys.errors",
    "EmbodimentSpec": "dualsys.embodiment",
    "Joint": "dualsys.embodiment",
    "JointGroup": "dualsys.embodiment",
    "LatentSubgoal": "dualsys.messages",
    "Observation": "dualsys.messages",
    "SubgoalSpec": "dualsys.embodiment",
}
_MODULES = ("sim_envs", "testing")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"dualsys.{name}")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("dualsys")
    else:
        raise AttributeError(f"module 'dualsys' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_MODULES, "__version__"])
