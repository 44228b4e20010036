"""Where an episode starts, what counts as its success, and whether that ends it."""

from dataclasses import dataclass
from typing import Any

from dualsys.errors import ConfigError
from dualsys.protocols import Environment
from dualsys.sim_envs.protocols.evaluation_protocol import SuccessRule


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRules:
    """What a benchmark's protocol says of one episode; without any, the task alone decides."""

    success: SuccessRule = "at-end"
    """`ever`: solved at any moment counts; `at-end` and `return`: as it stands when the episode is over."""
    stop_on_success: bool = False
    """Whether the episode is over once it has succeeded, though the task goes on."""
    longest_steps: int | None = None
    """Longest horizon that environments were made with: no other limit counts then, and one that goes on is refused."""
    first_listed: int | None = None
    """Seed whose episode starts from the first of the task's own list of starts, the next from the second, and so on
    around; None: seeds draw the start."""

    def succeeded(self, *, before: bool, now: bool) -> bool:
        """Whether the episode counts as a success, from what was said before and what holds now."""
        return now or (before and self.success == "ever")

    def require_end(self, environment: Environment, steps: int) -> None:
        """Raise `ConfigError` where an environment goes on after the horizon that it was made with."""
        if self.longest_steps is not None and steps >= self.longest_steps:
            raise ConfigError(
                f"{environment.embodiment.name}: an episode went on after {steps} steps, though that is the protocol's "
                "horizon: the task's suite takes episode_steps and does not keep to it; mend the suite"
            )

    def start(self, environment: Environment, seed: int, options: dict[str, Any] | None) -> dict[str, Any] | None:
        """What `reset` is given. Raises `ConfigError` where starts are to be listed ones and the task has no list."""
        if self.first_listed is None:
            return options
        listed = int(getattr(environment, "initial_states", 0))
        if listed < 1:
            raise ConfigError(
                f"{environment.embodiment.name}: episodes are to start from the task's own list, but it has none; "
                "choose a protocol whose starts are drawn from seeds"
            )
        return {**(options or {}), "initial_state": (seed - self.first_listed) % listed}
