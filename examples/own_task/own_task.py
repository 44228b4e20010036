"""A task of one's own, whole: a planar arm is told which of three balls to reach, and an expert shows how.

Copy it and change it. `pip install ./examples/own_task`, and every command of dualsys knows `arm/reach`. What each
part is for is told in `docs/train.md`.
"""

from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np

from dualsys import EmbodimentSpec, Observation
from dualsys.embodiment import CameraSpec, Joint
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, ImageArray
from dualsys.sim_envs import EnvironmentOptions
from dualsys.sim_envs.images import LazyImages
from dualsys.sim_envs.options import refuse_options
from dualsys.sim_envs.rendering import Renderer

COLOURS = {"red": "0.9 0.1 0.1 1", "green": "0.1 0.6 0.1 1", "blue": "0.1 0.2 0.9 1"}
VERBS = {"train": ("reach the {} ball", "go to the {} ball"), "held-out": ("move over to the {} ball",)}
LINKS_M = (0.2, 0.2)
REACHED_M, HOLD_S, LIMIT_S = 0.025, 0.3, 4.0
NOT_OFFERED = {
    "randomization": "it has one lamp and one place for its camera",
    "episode_steps": f"its limit is {LIMIT_S:g} s",
    "settle_steps": "everything is at rest at the start",
    "image_turn": "its camera is the right way up",
    "reset_kind": "there is one kind",
}
"""Options of `dualsys.sim_envs.make` that mean nothing to it, and why."""
BALLS = "".join(
    f'<body name="{name}" mocap="true"><geom class="ball" rgba="{rgba}"/></body>' for name, rgba in COLOURS.items()
)
XML = f"""
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.002"/>
  <default>
    <joint type="hinge" axis="0 0 1" damping="0.4" armature="0.01"/>
    <position kp="12"/>
    <default class="ball"><geom type="sphere" size="0.025" contype="0" conaffinity="0"/></default>
  </default>
  <worldbody>
    <light pos="0.2 0 2" diffuse="0.5 0.5 0.5"/>
    <camera name="top" pos="0.16 0 0.8" fovy="52"/>
    <geom type="plane" size="1 1 0.1" pos="0 0 -0.03" rgba="0.75 0.72 0.68 1"/>
    <body>
      <joint name="shoulder" range="-2.5 1.8"/>
      <geom type="capsule" fromto="0 0 0.04 {LINKS_M[0]} 0 0.04" size="0.014" rgba="0.3 0.3 0.3 1"/>
      <body pos="{LINKS_M[0]} 0 0">
        <joint name="elbow" range="0 2.6"/>
        <geom type="capsule" fromto="0 0 0.04 {LINKS_M[1]} 0 0.04" size="0.012" rgba="0.3 0.3 0.3 1"/>
        <site name="tip" pos="{LINKS_M[1]} 0 0" size="0.012" rgba="1 1 1 1"/>
      </body>
    </body>
    {BALLS}
  </worldbody>
  <actuator><position name="shoulder" joint="shoulder"/><position name="elbow" joint="elbow"/></actuator>
</mujoco>
"""


class ReachTask:
    """Reach the named ball with the tip and stay at it. Actions are the joints' positions `(2,)` in rad."""

    def __init__(self, options: EnvironmentOptions) -> None:
        """Raises `ConfigError` for what it cannot do: better than to do something else without a word."""
        self._options = options
        self.model = mujoco.MjModel.from_xml_string(XML)
        self.data = mujoco.MjData(self.model)
        substeps = 1.0 / ((options.control_hz or 50.0) * self.model.opt.timestep)
        if abs(substeps - round(substeps)) > 1e-6 or options.cameras not in (None, ("top",)):
            raise ConfigError("arm/reach has one camera, 'top', and control rates of 500 / n Hz; leave both out")
        refuse_options("arm/reach", options, NOT_OFFERED)
        if options.instruction is not None and not any(name in options.instruction for name in COLOURS):
            raise ConfigError(f"{options.instruction!r} names no ball; arm/reach has {', '.join(COLOURS)}")
        self._substeps = round(substeps)
        self.control_dt_s = self._substeps * float(self.model.opt.timestep)
        height, width = options.image_shape
        ranges = zip(("shoulder", "elbow"), self.model.jnt_range.tolist(), strict=True)
        self.embodiment = EmbodimentSpec(
            name="planar-arm",
            joints=tuple(
                Joint(name=name, lower=lower, upper=upper, max_velocity=4.0, max_acceleration=60.0)
                for name, (lower, upper) in ranges
            ),
            state_names=("shoulder", "elbow"),
            cameras=(CameraSpec(name="top", height=height, width=width),),
        )
        self._renderers: dict[tuple[int, int], Renderer] = {}
        self._moment = 0
        self._seed = options.seed
        self.reset(seed=options.seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Balls somewhere in reach, the arm anywhere, one ball named; the same seed gives the same bits."""
        del options
        self._seed = self._seed + 1 if seed is None else seed
        rng = np.random.default_rng(self._seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = self.data.ctrl[:] = rng.uniform([-1.0, 0.4], [1.0, 2.2])
        self.data.mocap_pos[:] = _places(rng)
        self.target = str(rng.choice(list(COLOURS)))
        words = rng.choice(VERBS[self._options.phrasing])
        self.instruction = self._options.instruction or str(words).format(self.target)
        self.target = next((name for name in COLOURS if name in self.instruction), self.target)
        self._held_s = 0.0
        self._moment += 1
        mujoco.mj_forward(self.model, self.data)
        return self._state(), {}

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Hold the joints' targets for one control step."""
        self.data.ctrl[:] = np.clip(action, self.embodiment.lower, self.embodiment.upper)
        mujoco.mj_step(self.model, self.data, self._substeps)
        self._moment += 1
        self._held_s = self._held_s + self.control_dt_s if self._distance_m() < REACHED_M else 0.0
        truncated = not self.success and self.data.time >= LIMIT_S - 1e-9
        return self._state(), float(self.success), self.success, truncated, {"distance_m": self._distance_m()}

    @property
    def success(self) -> bool:
        """Whether the tip has been at the ball for long enough: read from the physics."""
        return self._held_s >= HOLD_S - 1e-9

    def observe(self) -> Observation:
        """The present moment; its pictures are drawn when somebody looks."""
        images = LazyImages(("top",), lambda _: self._picture(self._options.image_shape), lambda: self._moment)
        return Observation(
            stamp_s=float(self.data.time), state=self._state(), images=images, instruction=self.instruction
        )

    def render(self) -> ImageArray:
        """For videos."""
        return self._picture((256, 256))

    def close(self) -> None:
        """Free the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    # What `threads` and `processes` mode need: a twin of the same seed is set to this, and draws.

    def physics_state(self) -> FloatArray:
        """Joint positions `(2,)`: balls do not move."""
        return np.array(self.data.qpos)

    def set_state(self, physics: FloatArray) -> None:
        """Take on another one's joints."""
        self.data.qpos[:] = physics
        mujoco.mj_forward(self.model, self.data)
        self._moment += 1

    # What only a simulator knows: the expert acts on it, the helper losses of a training learn from it.

    @property
    def privileged_columns(self) -> Mapping[str, tuple[str, ...]]:
        """Recorded as `privileged.*`."""
        blocks = tuple(f"{name}_{axis}_m" for name in COLOURS for axis in "xyz")
        return {"target_position": ("x_m", "y_m", "z_m"), "block_positions": blocks}

    def privileged(self) -> Mapping[str, Any]:
        """Where the named ball is, and where all are."""
        places = self.data.mocap_pos.copy()
        return {"target_position": places[list(COLOURS).index(self.target)], "block_positions": places}

    # What corrections need: going back to before a failure.

    def snapshot(self) -> tuple[Any, ...]:
        """The physics, and everything that `reset` draws and `step` counts."""
        state = np.empty(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state, self._seed, self.target, self.instruction, self._held_s

    def restore(self, snapshot: tuple[Any, ...], *, restart_clock: bool = False) -> None:
        """Go back to a moment; with `restart_clock` as the start of an episode of its own."""
        state, self._seed, self.target, self.instruction, self._held_s = snapshot
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self.model, self.data)
        self._moment += 1
        if restart_clock:
            self.data.time, self._held_s = 0.0, 0.0

    def _state(self) -> FloatArray:
        return np.array(self.data.qpos)

    def _distance_m(self) -> float:
        ball = self.privileged()["target_position"]
        return float(np.linalg.norm(self.data.site("tip").xpos[:2] - ball[:2]))

    def _picture(self, size: tuple[int, int]) -> ImageArray:
        if size not in self._renderers:
            self._renderers[size] = Renderer(self.model, height=size[0], width=size[1])
        return self._renderers[size].render(self.data, "top")


class ReachExpert:
    """Turns both joints towards where the named ball is, from wherever they are."""

    def __init__(self, environment: ReachTask) -> None:
        self._environment = environment

    def reset(self) -> None:
        """It has no memory."""

    def act(self) -> FloatArray:
        """Joint targets `(2,)`: at most 0.12 rad ahead of where the joints are."""
        ball = self._environment.privileged()["target_position"]
        q = self._environment.observe().state
        return q + np.clip(_joints_at(ball[:2]) - q, -0.12, 0.12)


class ArmSuite:
    """What `dualsys.sim_envs` asks for tasks."""

    def tasks(self) -> tuple[str, ...]:
        """Full names."""
        return ("arm/reach",)

    def make(self, task: str, options: EnvironmentOptions) -> ReachTask:
        """Build one of `tasks()`."""
        return ReachTask(options)


SUITE = ArmSuite()


def _places(rng: np.random.Generator) -> FloatArray:
    """Three balls `(3, 3)` in a half ring around the shoulder, at least 9 cm apart."""
    while True:
        radius, angle = rng.uniform(0.15, 0.36, 3), rng.uniform(-0.9, 1.4, 3) - 0.25
        places = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(3)], axis=1)
        if min(np.linalg.norm(places[i] - places[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 0.09:
            return places


def _joints_at(place: FloatArray) -> FloatArray:
    """Shoulder and elbow that put the tip at a place `(2,)`: the law of cosines, the elbow to the right."""
    upper, fore = LINKS_M
    distance = np.clip(np.hypot(*place), abs(upper - fore) + 1e-6, upper + fore - 1e-6)
    elbow = np.pi - np.arccos((upper**2 + fore**2 - distance**2) / (2 * upper * fore))
    inner = np.arccos((upper**2 + distance**2 - fore**2) / (2 * upper * distance))
    return np.array([np.arctan2(place[1], place[0]) - inner, elbow])
