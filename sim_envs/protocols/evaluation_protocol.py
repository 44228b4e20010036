"""What an evaluation of a benchmark is: which tasks, from where, for how long, seen how, and what counts."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dualsys.errors import ConfigError, unknown_name
from dualsys.sim_envs.options import ImageTurn, ResetKind

SuccessRule = Literal["ever", "at-end", "return"]
"""What counts: solved at any moment, solved at the last, or no success but the sum of the rewards."""
Averaging = Literal["tasks", "episodes"]
Unit = Literal["all", "group", "task"]

Count = Annotated[int, Field(ge=1)]


class EvaluationProtocol(BaseModel):
    """A benchmark's way to be evaluated. Raises `pydantic.ValidationError` for what means nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """What `--protocol` is given: the file's name."""
    title: str
    source: str
    """Where it is written: repository, file and version."""
    tasks: tuple[str, ...] = Field(min_length=1)
    """Full names, or patterns of them (`libero/spatial-*`)."""
    unit: Unit = "all"
    """The least that is an evaluation by this protocol: all tasks, a group of them, or any one."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Names of parts whose averages are told beside the whole's, and their tasks or patterns."""
    episodes: Count
    """Of each task."""
    first_seed: Annotated[int, Field(ge=0)]
    """Seed of the first episode; the others follow."""
    initial_states: bool = False
    """Whether episode `k` starts from the `k`-th of the task's own list of starts."""
    horizon_steps: Count | dict[str, Count] | None = None
    """Control steps of an episode, or those by task or pattern; None: the task's own limit."""
    settle_steps: Annotated[int, Field(ge=0)] = 0
    """Steps without action after a reset, before the episode begins."""
    image_size: Count | tuple[Count, Count] | None = None
    """Pixels as rendered: of both sides, or height and width; None: the suite's own."""
    image_turn: ImageTurn = "none"
    """How images are turned before a policy sees them."""
    cameras: tuple[str, ...] | None = None
    """Those a policy sees; None: the task's own."""
    reset_kind: ResetKind | None = None
    success: SuccessRule
    stop_on_success: bool = False
    """Whether an episode is over once it has succeeded."""
    control_hz: Annotated[float, Field(gt=0)] | None = None
    """Rate of actions; None: the task's own."""
    execution_horizon: Count | None = None
    """Rows of a chunk that are played before the next one is asked for; None: the policy's own affair."""
    averaging: Averaging = "tasks"
    """Whether the headline is the mean of the tasks' rates, or of all episodes alike."""
    differences: tuple[str, ...] = ()
    """What is done otherwise here than by the source, in sentences."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.unit == "group" and not self.groups:
            raise ValueError("its unit is a group, but it names no groups")
        if self.execution_horizon is not None and self.control_hz is None:
            raise ValueError("execution_horizon counts rows of control_hz, which is not given")
        bare = [name for name in self.tasks if self.horizon_of(name) is None]
        if isinstance(self.horizon_steps, dict) and bare:
            raise ValueError(f"horizon_steps has none for {', '.join(bare)}")
        if self.success == "return" and self.stop_on_success:
            raise ValueError("nothing succeeds where the return counts: stop_on_success must be false")
        return self

    def has(self, task: str) -> bool:
        """Whether a task is one of its own."""
        return _matches(task, self.tasks)

    def tasks_among(self, known: Iterable[str], *, group: str = "") -> tuple[str, ...]:
        """Its tasks, or those of a group, among those that exist, in their order.

        Raises `ConfigError` for an unknown group.
        """
        patterns = self.tasks if not group else self._group(group)
        return tuple(task for task in known if self.has(task) and _matches(task, patterns))

    def require_known(self, suite: str, known: Sequence[str]) -> None:
        """Raise `ConfigError` for a task or pattern of a suite that none of its tasks is: nothing would be played.

        Args:
            suite: Its name.
            known: All its tasks.
        """
        horizons = self.horizon_steps if isinstance(self.horizon_steps, dict) else {}
        named = {"tasks": self.tasks, **{f"groups.{name}": group for name, group in self.groups.items()}}
        for key, patterns in {**named, "horizon_steps": tuple(horizons)}.items():
            for pattern in patterns:
                is_theirs = pattern.partition("/")[0] == suite
                if is_theirs and not any(fnmatchcase(task, pattern) for task in known):
                    raise ConfigError(f"{key} of the protocol {self.name}: {unknown_name('task', pattern, known)}")

    def groups_of(self, task: str) -> tuple[str, ...]:
        """Names of the groups a task is in."""
        return tuple(name for name, patterns in self.groups.items() if _matches(task, patterns))

    def horizon_of(self, task: str) -> int | None:
        """Control steps of a task's episodes; None: the task's own limit."""
        if not isinstance(self.horizon_steps, dict):
            return self.horizon_steps
        return next((steps for pattern, steps in self.horizon_steps.items() if fnmatchcase(task, pattern)), None)

    @property
    def longest_steps(self) -> int | None:
        """The longest of its horizons; None where they are the tasks' own."""
        return max(self.horizon_steps.values()) if isinstance(self.horizon_steps, dict) else self.horizon_steps

    @property
    def chunk_hz(self) -> float | None:
        """Rate at which chunks are asked for, where the source fixes it."""
        if self.execution_horizon is None or self.control_hz is None:
            return None
        return self.control_hz / self.execution_horizon

    def _group(self, name: str) -> tuple[str, ...]:
        if name not in self.groups:
            raise ConfigError(unknown_name(f"group of {self.name}", name, self.groups))
        return self.groups[name]


def _matches(task: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(task, pattern) for pattern in patterns)
