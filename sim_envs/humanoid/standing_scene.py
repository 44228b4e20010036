"""A G1 that stands free on a floor, as one compiled `MjModel`, and how it stands when nothing disturbs it."""

from functools import cache
from typing import Any

import mujoco
import numpy as np

from dualsys.embodiment import CameraSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.meshes import robot_xml
from dualsys.sim_envs.humanoid.scene import HEAD_CAMERA, SCENE_CAMERA, TIMESTEP_S, look_at
from dualsys.sim_envs.humanoid.whole_body import Body, stance

FEET = ("left_ankle_roll_link", "right_ankle_roll_link")
SETTLE_STEPS = 3000
"""Physics steps after which a robot that was put into its stance moves no more."""
_HEAD_POSITION_M, _HEAD_TARGET_M, _HEAD_FOVY_DEG = (0.10, 0.0, 0.46), (0.9, 0.0, 0.0), 58.0
"""In the frame of `torso_link`: from the face, ahead and down."""
_SCENE_POSITION_M, _SCENE_TARGET_M, _SCENE_FOVY_DEG = (2.3, 1.3, 1.3), (0.0, 0.0, 0.65), 45.0


def build_model() -> mujoco.MjModel:
    """Compile the scene. Raises `ExtraMissing` where the robot's meshes cannot be had."""
    spec = mujoco.MjSpec.from_file(str(robot_xml()))
    spec.option.timestep = TIMESTEP_S
    world = spec.worldbody
    texture = spec.add_texture(name="tiles", type=mujoco.mjtTexture.mjTEXTURE_2D)
    texture.builtin = mujoco.mjtBuiltin.mjBUILTIN_CHECKER
    texture.rgb1, texture.rgb2, texture.width, texture.height = [0.42] * 3, [0.34] * 3, 64, 64
    material = spec.add_material(name="tiles")
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    material.texrepeat, material.texuniform = [2, 2], True
    world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[4, 4, 0.05], material="tiles")
    light = world.add_light()
    light.name, light.pos, light.dir = "lamp", [0.5, 0.3, 3.0], [0.0, 0.0, -1.0]
    light.diffuse, light.castshadow = [0.5] * 3, False
    head = spec.body("torso_link").add_camera(name=HEAD_CAMERA, pos=list(_HEAD_POSITION_M), fovy=_HEAD_FOVY_DEG)
    head.quat = look_at(_HEAD_POSITION_M, _HEAD_TARGET_M)
    scene = world.add_camera(name=SCENE_CAMERA, pos=list(_SCENE_POSITION_M), fovy=_SCENE_FOVY_DEG)
    scene.quat = look_at(_SCENE_POSITION_M, _SCENE_TARGET_M)
    spec.visual.map.znear, spec.visual.map.zfar = 0.005, 20.0
    spec.stat.extent = 1.0
    return spec.compile()


def camera_specs(names: tuple[str, ...], shape_px: tuple[int, int]) -> tuple[CameraSpec, ...]:
    """Cameras of a policy, of this height and width. Raises `ConfigError` for a name other than `head`."""
    for name in names:
        if name != HEAD_CAMERA:
            raise ConfigError(unknown_name("camera", name, (HEAD_CAMERA,)))
    return tuple(CameraSpec(name=name, height=shape_px[0], width=shape_px[1]) for name in names)


@cache
def _at_rest() -> FloatArray:
    """Positions `(nq,)` of the robot at rest in its stance, the servos' targets being the stance."""
    model = build_model()
    data, body = mujoco.MjData(model), Body(model)
    data.qpos[body.positions] = data.ctrl[body.actuators] = stance()
    mujoco.mj_kinematics(model, data)
    soles = np.isin(model.geom_bodyid, [model.body(name).id for name in FEET]) & (model.geom_contype > 0)
    data.qpos[body.base_position + 2] -= float(np.min(data.geom_xpos[soles, 2] - model.geom_size[soles, 0]))
    mujoco.mj_step(model, data, SETTLE_STEPS)
    return np.array(data.qpos)


def place_at_rest(model: Any, data: Any, body: Body) -> None:
    """Reset the physics and put the robot into its stance, standing still."""
    mujoco.mj_resetData(model, data)
    data.qpos[:] = _at_rest()
    data.ctrl[body.actuators] = stance()
    mujoco.mj_forward(model, data)
