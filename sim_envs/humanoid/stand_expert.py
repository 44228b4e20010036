"""The expert of `humanoid/stand`: `balance.py`, told the whole state of the physics."""

from typing import Any, Protocol

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.balance import Balance
from dualsys.sim_envs.humanoid.scene import TIMESTEP_S


class StandingTask(Protocol):
    """What the expert needs of an environment."""

    @property
    def model(self) -> Any:
        """The compiled `mujoco.MjModel`."""
        ...

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one step."""
        ...

    def privileged(self) -> dict[str, Any]:
        """Positions and velocities of the physics."""
        ...


class StandExpert:
    """Keeps the robot on its feet from any moment that is near enough to standing. It remembers nothing."""

    def __init__(self, env: StandingTask) -> None:
        """Work the feedback out for the environment's rate (under a second)."""
        self._env = env
        self.balance = Balance(env.model, steps=round(env.control_dt_s / TIMESTEP_S))
        """Others may use it, with arms of their own."""

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> FloatArray:
        """Joint targets `(43,)` for the next control step."""
        facts = self._env.privileged()
        return self.balance.command(facts["positions"], facts["velocities"])
