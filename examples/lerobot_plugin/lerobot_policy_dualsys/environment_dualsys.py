"""`--env.type=dualsys --env.task=humanoid/touch`: any task of dualsys in LeRobot's words, for any policy."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig

from dualsys import sim_envs


@EnvConfig.register_subclass("dualsys")
@dataclass
class DualsysEnv(EnvConfig):  # type: ignore[misc]
    """A task; what a policy sees of it is the task's state and cameras."""

    task: str | None = "humanoid/touch"
    fps: int = 50
    """Told to videos; the task keeps its own rate."""
    episode_length: int = 1000
    """Steps after which LeRobot ends an episode that the task hasn't ended."""
    image_size: int = 96

    def __post_init__(self) -> None:
        """Look at the task."""
        task = DualsysTask(self.task or "humanoid/touch", self.episode_length, self.image_size)
        self.fps = task.metadata["render_fps"]
        self.features = {"action": PolicyFeature(type=FeatureType.ACTION, shape=task.action_space.shape)}
        self.features_map = {"action": "action"}
        robot = task.embodiment
        self._add("agent_pos", FeatureType.STATE, "observation.state", (robot.num_states,))
        for camera in robot.cameras:
            shape = (camera.height, camera.width, 3)
            self._add(f"pixels/{camera.name}", FeatureType.VISUAL, f"observation.images.{camera.name}", shape)
        task.close()

    def _add(self, key: str, kind: Any, name: str, shape: Any) -> None:
        self.features[key] = PolicyFeature(type=kind, shape=shape)
        self.features_map[key] = name

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """Of `DualsysTask`."""
        return {"task": self.task, "episode_length": self.episode_length, "image_size": self.image_size}

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, Any]]:
        """As LeRobot asks for them: by suite and number."""
        kwargs = self.gym_kwargs
        makers = [lambda: DualsysTask(**kwargs) for _ in range(n_envs)]
        if use_async_envs and n_envs > 1:
            vector: Any = gymnasium.vector.AsyncVectorEnv(
                makers, autoreset_mode=AutoresetMode.SAME_STEP, context="forkserver"
            )
        else:
            vector = gymnasium.vector.SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        return {"dualsys": {0: vector}}


class DualsysTask(gymnasium.Env[dict[str, Any], Any]):
    """A task with LeRobot's names: `agent_pos`, `pixels`, `is_success`, `task_description`."""

    def __init__(self, task: str, episode_length: int, image_size: int) -> None:
        self._environment: Any = sim_envs.make(task, images="on-demand", image_size=image_size)
        self._max_episode_steps = episode_length
        self.task = task
        self.render_mode = "rgb_array"
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / self._environment.control_dt_s)}
        self.embodiment = robot = self._environment.embodiment
        self.action_space = spaces.Box(robot.lower, robot.upper, dtype=np.float64)
        pixels: dict[str, spaces.Space[Any]] = {
            c.name: spaces.Box(0, 255, (c.height, c.width, 3), dtype=np.uint8) for c in robot.cameras
        }
        self.observation_space = spaces.Dict(
            {
                "agent_pos": spaces.Box(-np.inf, np.inf, (robot.num_states,), dtype=np.float64),
                "pixels": spaces.Dict(pixels),
            }
        )

    @property
    def task_description(self) -> str:
        """What to do in this episode."""
        return str(self._environment.instruction)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; LeRobot's own options are not the task's."""
        super().reset(seed=seed)
        self._environment.reset(seed=seed)
        return self._observation(), {"is_success": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """A control step."""
        _, reward, terminated, truncated, _ = self._environment.step(np.asarray(action, np.float64))
        success = bool(self._environment.success)
        return self._observation(), float(reward), terminated, truncated, {"is_success": success}

    def render(self) -> Any:
        """Picture of the scene."""
        return self._environment.render()

    def close(self) -> None:
        """Free the renderer."""
        self._environment.close()

    def _observation(self) -> dict[str, Any]:
        seen = self._environment.observe()
        return {"agent_pos": seen.state, "pixels": {c.name: seen.images[c.name] for c in self.embodiment.cameras}}
