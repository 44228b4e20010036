"""Sets an episode's blocks and light on the compiled scene, without recompiling it."""

from typing import Any

import mujoco
import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid import scene
from dualsys.sim_envs.humanoid.layout import Episode, Light
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.humanoid.pushes import Pushes, pushed_by

PARKED_M = (0.0, 0.0, -3.0)
"""Where blocks wait that an episode doesn't use: under the floor, weightless."""


class Stage:
    """The blocks and lights of one model and its data."""

    def __init__(self, model: Any, data: Any) -> None:
        """Find the elements to be set."""
        self._model, self._data = model, data
        self._bodies = [model.body(f"block{i}").id for i in range(scene.MAX_BLOCKS)]
        self._geoms = [model.geom(f"block{i}").id for i in range(scene.MAX_BLOCKS)]
        self._addresses = [int(model.joint(f"block{i}").qposadr[0]) for i in range(scene.MAX_BLOCKS)]
        self._head = [model.camera(name).id for name in (scene.HEAD_CAMERA, scene.CLOSE_CAMERA)]
        self._head_positions: FloatArray = np.array(model.cam_pos[self._head])
        self._table, self._floor = model.geom("table").id, model.geom("floor").id
        self._lamp = model.light("lamp").id
        self._colours: list[str] = []
        self._pushes: Pushes | None = None

    def set(self, episode: Episode) -> None:
        """Reset the physics and place the episode's blocks, lights and shades."""
        mujoco.mj_resetData(self._model, self._data)
        self._colours = [block.colour for block in episode.blocks]
        self._pushes = episode.pushes
        for index, address in enumerate(self._addresses):
            pose = self._data.qpos[address : address + 7]
            used = index < len(episode.blocks)
            self._model.body_gravcomp[self._bodies[index]] = 0.0 if used else 1.0
            if not used:
                pose[:] = (PARKED_M[0], PARKED_M[1] + index, PARKED_M[2], 1.0, 0.0, 0.0, 0.0)
                continue
            block = episode.blocks[index]
            half = block.yaw_rad / 2
            pose[:] = (block.x_m, block.y_m, scene.BLOCK_REST_M, np.cos(half), 0.0, 0.0, np.sin(half))
            self._model.geom_rgba[self._geoms[index], :3] = COLOURS[block.colour]
        self._set_light(episode.light)

    def advance(self) -> None:
        """One physics step, pushed where the episode says so."""
        with pushed_by(self._pushes, self._model, self._data):
            mujoco.mj_step(self._model, self._data)

    def block_positions(self) -> dict[str, FloatArray]:
        """Centres of the episode's blocks `(3,)`, metres, by colour."""
        addresses = self._addresses[: len(self._colours)]
        return {
            colour: np.array(self._data.qpos[address : address + 3])
            for colour, address in zip(self._colours, addresses, strict=True)
        }

    def place_geometry(self) -> None:
        """Bring bodies, cameras and lights to the present positions: a physics step leaves them one step behind."""
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def _set_light(self, light: Light) -> None:
        model = self._model
        model.light_dir[self._lamp] = light.direction
        model.light_diffuse[self._lamp] = light.lamp_diffuse
        model.vis.headlight.diffuse[:] = light.head_diffuse
        model.vis.headlight.ambient[:] = light.ambient
        model.geom_rgba[self._table, :3] = light.table_rgb
        model.geom_rgba[self._floor, :3] = light.floor_rgb
        model.cam_pos[self._head] = self._head_positions + light.camera_shift_m
