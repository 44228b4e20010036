"""Something else is asked for first: whoever asks thinks better of it."""

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, ClassVar, Protocol, final, runtime_checkable

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.protocols import Environment

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@runtime_checkable
class Askable(Environment, Protocol):
    """An environment that knows what else could be asked for in its scene: what a change of mind needs."""

    def another_instruction(self, rng: np.random.Generator) -> str:
        """An instruction for the present scene that asks for something else than the episode's own; nothing changes."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ChangeOfMind:
    """The policy is first told to do the same to something else of the scene, and after a while what counts.

    Success, `privileged()` and experts know from the start. A robot is on its way to the wrong thing by then, so that
    words which come late cost success, not time alone. Needs an environment that is `Askable`.
    """

    kind: ClassVar[str] = "change-of-mind"
    least_s: Seconds = 0.0
    """Time from the episode's begin until what counts is told: drawn evenly from this ..."""
    most_s: Seconds = 0.0
    """... to this."""

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if self.least_s > self.most_s:
            raise ValueError(f"least_s {self.least_s:g} is more than most_s {self.most_s:g}")

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not self.most_s

    def drawn_steps(self, rng: np.random.Generator, dt_s: float) -> int:
        """Control steps of `dt_s` in which the other thing is told."""
        return round(rng.uniform(self.least_s, self.most_s) / dt_s)


@final
@plain_dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a policy is told in an episode."""

    lasting: str
    """What counts."""
    first: str = ""
    """What is told before it, during `first_steps` control steps."""
    first_steps: int = 0

    def at(self, step: int) -> str:
        """What is told in a control step."""
        return self.first if step < self.first_steps else self.lasting
