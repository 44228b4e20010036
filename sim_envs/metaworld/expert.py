"""The expert of each Meta-World task: the scripted policy that Meta-World ships for it."""

import warnings
from typing import Any, Protocol, final

import numpy as np

from dualsys.messages import FloatArray


class SawyerTask(Protocol):
    """What the expert needs of an environment."""

    @property
    def task(self) -> str:
        """Its full name."""
        ...

    def privileged(self) -> dict[str, FloatArray]:
        """Meta-World's observation, by the name `observation`."""
        ...


@final
class SawyerExpert:
    """Gives the next action for an environment's present moment; remembers nothing."""

    def __init__(self, environment: SawyerTask) -> None:
        """Take the policy of the environment's task."""
        from metaworld.policies import ENV_POLICY_MAP

        self._environment = environment
        self._policy_class: Any = ENV_POLICY_MAP[environment.task.partition("/")[2]]
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._policy = self._policy_class()

    def act(self) -> FloatArray:
        """Action `(4,)` for the next step, clipped to what the task takes."""
        with warnings.catch_warnings():
            # Its steps are to be clipped, it says at every one that is longer than 1.
            warnings.simplefilter("ignore", UserWarning)
            action = self._policy.get_action(self._environment.privileged()["observation"])
        return np.clip(np.asarray(action, dtype=np.float64), -1.0, 1.0)
