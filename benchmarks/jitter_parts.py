"""What `loop_jitter` runs beside its loops: the shipped controller, or burners beside an arm without physics."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dualsys import sim_envs
from dualsys.bridge.own_process import OwnProcess
from dualsys.bridge.parts import PartConfig
from dualsys.bridge.system import SystemConfig
from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import SubgoalSpec
from dualsys.messages import FloatArray
from dualsys.settings import CoreConfig
from dualsys.testing import KnownPlanner, PoseActor, ReachEnvironment, fake_embodiment

JOINTS = 29
FLAT_OUT_HZ = 1000.0
"""Far more than a planner or an actor can do: each begins anew as soon as it is done."""
_HERE = "benchmarks.jitter_parts:"
_SPEC = SubgoalSpec(num_tokens=4, dim=8)


class Undersampled:
    """A task whose physics can't be stepped as often as the tick: it is stepped in every n-th tick."""

    def __init__(self, environment: Any, control_hz: float) -> None:
        self._environment = environment
        self._every = round(control_hz * environment.control_dt_s)
        self._left = self._every
        self.control_dt_s = environment.control_dt_s / self._every

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def step(self, action: FloatArray) -> Any:
        """A step of the task, or nothing yet."""
        self._left -= 1
        if self._left > 0:
            return None, 0.0, False, False, {}
        self._left = self._every
        return self._environment.step(action)


def task(task: str, control_hz: float, seed: int) -> Any:
    """A task at any multiple of its highest rate, drawn by others."""
    highest_hz = min(control_hz, 500.0)
    environment = sim_envs.make(task, seed=seed, control_hz=highest_hz, images="on-demand")
    return environment if highest_hz == control_hz else Undersampled(environment, control_hz)


def arm(control_hz: float) -> ReachEnvironment:
    """An arm without physics that never arrives."""
    pose = np.full(JOINTS, 2.0)
    return ReachEnvironment(fake_embodiment(JOINTS), pose, control_dt_s=1 / control_hz, max_steps=10**9)


def arm_actor() -> PoseActor:
    """Goes to a pose."""
    return PoseActor(fake_embodiment(JOINTS), _SPEC, np.full(JOINTS, 0.5))


def planner() -> KnownPlanner:
    """Counts."""
    return KnownPlanner(_SPEC)


def controller_system(task_name: str, checkpoint_name: str, control_hz: float, **fields: Any) -> SystemConfig:
    """The shipped controller with planner and actor flat out."""
    checkpoint = Checkpoint.open(checkpoint_name)
    options = {"task": task_name, "control_hz": control_hz, "seed": 8000}
    return SystemConfig(
        environment=PartConfig(name=_HERE + "task", options=options),
        planner=PartConfig(checkpoint=checkpoint.folder),
        actor=PartConfig(checkpoint=checkpoint.folder),
        embodiment=checkpoint.manifest.embodiment,
        subgoal=checkpoint.manifest.subgoal,
        core=CoreConfig(actor_hz=FLAT_OUT_HZ),
        planner_hz=FLAT_OUT_HZ,
        control_hz=control_hz,
        seed=8000,
        **fields,
    )


def arm_system(control_hz: float, **fields: Any) -> SystemConfig:
    """The arm; who burns the cores is started beside it."""
    return SystemConfig(
        environment=PartConfig(name=_HERE + "arm", options={"control_hz": control_hz}),
        planner=PartConfig(name=_HERE + "planner"),
        actor=PartConfig(name=_HERE + "arm_actor"),
        embodiment=fake_embodiment(JOINTS),
        subgoal=_SPEC,
        control_hz=control_hz,
        **fields,
    )


def start_burners(folder: Path, count: int) -> list[OwnProcess]:
    """Processes that compute until they are stopped, or until this one ends."""
    log, arguments = folder / "burner.log", [str(os.getpid())]
    burners = [OwnProcess("benchmarks.jitter_parts", arguments, log=log) for _ in range(count)]
    for burner in burners:
        burner.start()
    return burners


def _burn(parent: int) -> None:
    matrix = np.random.default_rng(0).standard_normal((200, 200))
    while os.getppid() == parent:
        end_s = time.monotonic() + 0.1
        while time.monotonic() < end_s:
            matrix @ matrix


if __name__ == "__main__":
    _burn(int(sys.argv[1]))
