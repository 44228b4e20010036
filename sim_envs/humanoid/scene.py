"""The physical scene: a G1 fixed at the pelvis behind a table with coloured blocks, as one compiled `MjModel`.

Compiled once; an episode's positions, colours and lights are then written into the model's and data's arrays.
"""

from typing import Any

import mujoco
import numpy as np

from dualsys.embodiment import CameraSpec
from dualsys.errors import ConfigError, unknown_name
from dualsys.sim_envs.humanoid.meshes import robot_xml
from dualsys.sim_envs.humanoid.robot import JOINT_NAMES

TIMESTEP_S = 0.002
TABLE_TOP_M = 0.70
TABLE_CENTRE_M = (0.44, 0.0)
TABLE_HALF_SIZE_M = (0.29, 0.50, 0.02)
BLOCK_HALF_SIZE_M = (0.02, 0.02, 0.06)
BLOCK_MASS_KG = 0.1
MAX_BLOCKS = 4
BLOCK_REST_M = TABLE_TOP_M + BLOCK_HALF_SIZE_M[2]
BLOCK_TOP_M = TABLE_TOP_M + 2 * BLOCK_HALF_SIZE_M[2]

# Who may touch whom: two geoms collide where one's type meets the other's affinity.
BLOCK_BIT, LEFT_BIT, RIGHT_BIT, TORSO_BIT, TABLE_BIT = 1, 2, 4, 8, 16

HEAD_CAMERA = "head"
CLOSE_CAMERA = "close"
WRIST_CAMERAS = ("left_wrist", "right_wrist")
POLICY_CAMERAS = (HEAD_CAMERA, CLOSE_CAMERA, *WRIST_CAMERAS)
SCENE_CAMERA = "scene"
HEAD_POSITION_M = (0.10, 0.0, 1.30)
HEAD_TARGET_M = (0.32, 0.0, 0.78)
HEAD_FOVY_DEG = 58.0
CLOSE_TARGET_M, CLOSE_FOVY_DEG = (0.33, 0.0, 0.77), 49.0
"""From the head's place, cut to where blocks stand."""
WRIST_POSITION_M, WRIST_TARGET_M, WRIST_FOVY_DEG = (0.02, 0.0, 0.065), (0.14, 0.0, 0.0), 75.0
"""In the frame of a `<side>_wrist_yaw_link`: above the wrist, over the palm, to between the fingers."""
SCENE_POSITION_M = (1.55, 0.75, 1.55)
SCENE_TARGET_M = (0.22, 0.0, 0.88)
SCENE_FOVY_DEG = 40.0


def build_model() -> mujoco.MjModel:
    """Compile the scene. Raises `ExtraMissing` where the robot's meshes cannot be had."""
    spec = mujoco.MjSpec.from_file(str(robot_xml()))
    spec.option.timestep = TIMESTEP_S
    spec.option.iterations = 20
    spec.option.ls_iterations = 20
    _fix_all_but_arms(spec)
    _set_robot_collisions(spec)
    _add_surroundings(spec)
    _add_blocks(spec)
    _add_cameras(spec)
    spec.visual.map.znear = 0.005
    spec.visual.map.zfar = 20.0
    spec.stat.extent = 1.0
    spec.stat.center = [0.3, 0.0, 0.8]
    return spec.compile()


def _delete(spec: Any, element: Any) -> None:
    """MuJoCo up to 3.3 deletes by the element, later versions by the spec."""
    if hasattr(element, "delete"):
        element.delete()
    else:
        spec.delete(element)


def _fix_all_but_arms(spec: Any) -> None:
    """Remove the joints nobody commands (floating base, legs, waist) and what refers to them."""
    for key in list(spec.keys):
        _delete(spec, key)
    for sensor in list(spec.sensors):
        _delete(spec, sensor)
    for actuator in list(spec.actuators):
        if actuator.target not in JOINT_NAMES:
            _delete(spec, actuator)
    for joint in list(spec.joints):
        if joint.name not in JOINT_NAMES:
            _delete(spec, joint)


def _set_robot_collisions(spec: Any) -> None:
    """Arms meet blocks, table, the other arm and (from the elbow on) the torso; legs meet nothing."""
    for light in list(spec.lights):
        _delete(spec, light)
    for geom in spec.geoms:
        if geom.contype == 0 and geom.conaffinity == 0:
            continue
        body = geom.parent.name
        geom.contype = geom.conaffinity = 0
        if body == "torso_link":
            geom.contype = TORSO_BIT
        for side, own, other in (("left", LEFT_BIT, RIGHT_BIT), ("right", RIGHT_BIT, LEFT_BIT)):
            if body.startswith((f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist", f"{side}_hand")):
                near_torso = body.startswith(f"{side}_shoulder")
                geom.contype = own
                geom.conaffinity = BLOCK_BIT | TABLE_BIT | other | (0 if near_torso else TORSO_BIT)


def _add_surroundings(spec: Any) -> None:
    world = spec.worldbody
    texture = spec.add_texture(name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    texture.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    texture.rgb1, texture.rgb2 = [0.55, 0.62, 0.7], [0.2, 0.23, 0.28]
    texture.width, texture.height = 16, 96
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[3, 3, 0.05],
        rgba=[0.42, 0.42, 0.45, 1],
        contype=0,
        conaffinity=0,
    )
    half_thickness = TABLE_HALF_SIZE_M[2]
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=list(TABLE_HALF_SIZE_M),
        pos=[*TABLE_CENTRE_M, TABLE_TOP_M - half_thickness],
        rgba=[0.75, 0.7, 0.62, 1],
        contype=TABLE_BIT,
        conaffinity=BLOCK_BIT,
        friction=[1.0, 0.005, 0.0001],
    )
    light = world.add_light()
    light.name = "lamp"
    light.pos, light.dir = [0.3, 0.0, 3.0], [0.0, 0.0, -1.0]
    _make_directional(light)
    light.diffuse, light.ambient, light.specular = [0.6] * 3, [0.0] * 3, [0.1] * 3
    light.castshadow = False
    spec.visual.headlight.diffuse = [0.3] * 3
    spec.visual.headlight.ambient = [0.3] * 3
    spec.visual.headlight.specular = [0.0] * 3


def _make_directional(light: Any) -> None:
    """MuJoCo up to 3.3 has a flag, later versions a light type."""
    if hasattr(light, "directional"):
        light.directional = True
    else:
        light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL


def _add_blocks(spec: Any) -> None:
    for index in range(MAX_BLOCKS):
        body = spec.worldbody.add_body(name=f"block{index}", pos=[0.3, 0.1 * index, BLOCK_REST_M])
        body.gravcomp = 1.0
        body.add_freejoint(name=f"block{index}")
        body.add_geom(
            name=f"block{index}",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=list(BLOCK_HALF_SIZE_M),
            mass=BLOCK_MASS_KG,
            contype=BLOCK_BIT,
            conaffinity=BLOCK_BIT,
            rgba=[0.5, 0.5, 0.5, 1],
        )


def _add_cameras(spec: Any) -> None:
    for name, position, target, fovy in (
        (HEAD_CAMERA, HEAD_POSITION_M, HEAD_TARGET_M, HEAD_FOVY_DEG),
        (CLOSE_CAMERA, HEAD_POSITION_M, CLOSE_TARGET_M, CLOSE_FOVY_DEG),
        (SCENE_CAMERA, SCENE_POSITION_M, SCENE_TARGET_M, SCENE_FOVY_DEG),
    ):
        camera = spec.worldbody.add_camera(name=name, pos=list(position), fovy=fovy)
        camera.quat = look_at(position, target)
    for name in WRIST_CAMERAS:
        wrist = spec.body(f"{name}_yaw_link")
        camera = wrist.add_camera(name=name, pos=list(WRIST_POSITION_M), fovy=WRIST_FOVY_DEG)
        camera.quat = look_at(WRIST_POSITION_M, WRIST_TARGET_M)


def steps_between(control_hz: float) -> int:
    """Physics steps of one control step. Raises `ConfigError` for a rate that they don't divide."""
    count = 1.0 / (control_hz * TIMESTEP_S)
    if count < 1 - 1e-9 or abs(count - round(count)) > 1e-6:
        highest = 1.0 / TIMESTEP_S
        raise ConfigError(f"control_hz={control_hz} does not divide the physics rate; use {highest:.0f} / n, as 50")
    return round(count)


def camera_specs(names: tuple[str, ...], shape_px: tuple[int, int]) -> tuple[CameraSpec, ...]:
    """Cameras of a policy, of a height and width. Raises `ConfigError` for a name that is none of `POLICY_CAMERAS`."""
    for name in names:
        if name not in POLICY_CAMERAS:
            raise ConfigError(unknown_name("camera", name, POLICY_CAMERAS))
    return tuple(CameraSpec(name=name, height=shape_px[0], width=shape_px[1]) for name in names)


def look_at(position: Any, target: Any) -> list[float]:
    """Quaternion (w, x, y, z) of a camera at `position` that looks at `target`, up towards +z."""
    back = np.subtract(position, target).astype(np.float64)
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(back, right), back], axis=1)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    return [float(value) for value in quaternion]
