"""What differs between the two tasks: scene, words, objects, and the package's own rule of reward.

Scenes, reward and the drawing of objects are gym-aloha's code, called; its tasks draw three pictures of 640 x 480 in
every step, which is left out here.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.errors import ExtraMissing
from dualsys.messages import FloatArray
from dualsys.sim_envs import rendering

INSTALL_HINT = "install it with: pip install 'dualsys[aloha]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One of the two tasks."""

    name: str
    instruction: str
    xml: str
    """File in the package's `assets`."""
    task_class: str
    """Of `gym_aloha.tasks.sim`: how actions are taken and what reward is given."""
    objects: tuple[str, ...]
    """Free bodies, in the order of their poses."""
    grasped: tuple[str | None, str | None]
    """What the left and the right hand take from the table."""
    draw: Callable[[int], FloatArray]
    """Poses `(7 n,)` of the objects from a seed: positions in metres, then quaternions."""


def _draw_cube(seed: int) -> FloatArray:
    return np.asarray(_module("utils").sample_box_pose(seed), dtype=np.float64)


def _draw_peg_and_socket(seed: int) -> FloatArray:
    return np.asarray(np.concatenate(_module("utils").sample_insertion_pose(seed)), dtype=np.float64)


SCENES = (
    Scene(
        name="transfer-cube",
        instruction="pick up the red cube with the right arm and hand it to the left arm",
        xml="bimanual_viperx_transfer_cube.xml",
        task_class="TransferCubeTask",
        objects=("box",),
        grasped=(None, "box"),
        draw=_draw_cube,
    ),
    Scene(
        name="insertion",
        instruction="pick up the blue socket with the left arm and the red peg with the right arm, "
        "then put the peg into the socket",
        xml="bimanual_viperx_insertion.xml",
        task_class="InsertionTask",
        objects=("peg", "socket"),
        grasped=("socket", "peg"),
        draw=_draw_peg_and_socket,
    ),
)


def scene_named(name: str) -> Scene:
    """The scene of a task, by the second part of its name."""
    return next(scene for scene in SCENES if scene.name == name)


def compile_physics(scene: Scene) -> Any:
    """The compiled scene, a `dm_control.mujoco.Physics`. Raises `ExtraMissing`."""
    folder = Path(_module("constants").ASSETS_DIR)
    return importlib.import_module("dm_control.mujoco").Physics.from_xml_path(str(folder / scene.xml))


def load_task(scene: Scene) -> Any:
    """The package's task, a `dm_control.suite.base.Task`. Raises `ExtraMissing`."""
    return getattr(_module("tasks.sim"), scene.task_class)()


def place(scene: Scene, task: Any, physics: Any, seed: int) -> None:
    """Begin an episode: arms at the package's start, objects where the seed has them."""
    _module("tasks.sim").BOX_POSE[0] = scene.draw(seed)  # the package's own way to tell its tasks
    with physics.reset_context():
        task.initialize_episode(physics)


@functools.cache
def _module(name: str) -> Any:
    if importlib.util.find_spec("gym_aloha") is None:
        raise ExtraMissing(f"the aloha suite needs gym-aloha, which is not installed: {INSTALL_HINT}")
    # dm_control tries every window system on import, GLFW first and with a warning; ours is the one it may have.
    return rendering.import_drawing(f"gym_aloha.{name}")
