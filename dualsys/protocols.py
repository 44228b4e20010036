"""What planners, actors, robots, environments, experts and clocks must offer. Implement one, register it, run it.

Nothing here is inherited from: a class conforms by having the members. `dualsys.testing.check_planner` and its
siblings tell whether yours does.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.messages import (
    ActionChunk,
    ActionPrefix,
    Command,
    FloatArray,
    Guidance,
    ImageArray,
    LatentSubgoal,
    Observation,
)

if TYPE_CHECKING:
    from dualsys.chunk_policies import Placed


@runtime_checkable
class Planner(Protocol):
    """System 2: sees the scene and the words, emits what to do next. Slow, in its own process."""

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """What `plan` returns."""
        ...

    def reset(self, *, seed: int = 0) -> None:
        """Forget the past episode."""
        ...

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Subgoal for an observation. Its host assigns sequence, epoch and emission stamp."""
        ...


@runtime_checkable
class BatchPlanner(Protocol):
    """A planner that can serve several robots at once: each subgoal comes from its own observation and nothing else.

    Whoever serves several robots never calls `reset`: such a planner remembers nothing from one plan to the next, so
    that neither another robot nor the episode or the attempt before can be seen in what it plans. One that remembers
    has no `plan_batch`: it serves one robot, and is reset for each of its attempts.
    """

    def plan_batch(self, observations: Sequence[Observation]) -> list[LatentSubgoal]:
        """A subgoal for each of one or more observations, in their order: what `plan` gives, but for rounding.

        What it raises is about the batch; its host then asks with each observation alone.
        """
        ...


@runtime_checkable
class Actor(Protocol):
    """System 1: turns the newest subgoal and the robot's state into a chunk of motion. Fast."""

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The robot it drives."""
        ...

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """What `act` accepts."""
        ...

    @property
    def horizon(self) -> int:
        """Rows in a chunk (`action_horizon`)."""
        ...

    @property
    def dt_s(self) -> float:
        """Time between rows."""
        ...

    def reset(self, *, seed: int = 0) -> None:
        """Forget the past episode and seed the noise."""
        ...

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Chunk whose row 0 is meant for `observation.stamp_s`. `subgoal=None` is the null subgoal."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """An actor that can do in advance what depends on a subgoal alone: its host calls this between two requests.

    What `act` returns must not depend on whether it was called, nor with which subgoals.
    """

    def prepare(self, subgoal: LatentSubgoal) -> None:
        """Make ready for an `act` with this subgoal."""
        ...


@runtime_checkable
class Accelerated(Protocol):
    """An actor that can be run by several engines: what `--actor-backend` needs.

    Where `with_backend` has a parameter `precision` (`dualsys.settings.Precision`), it takes `--actor-precision`, too.
    """

    def with_backend(self, backend: str) -> Actor:
        """The same actor on another engine (`dualsys.settings.ActorBackend`). Raises `DualsysError` where it can't."""
        ...


@runtime_checkable
class Robot(Protocol):
    """Something that senses and moves: hardware, or a simulation on the wall clock."""

    @property
    def embodiment(self) -> EmbodimentSpec:
        """What it senses and takes."""
        ...

    def observe(self) -> Observation:
        """Newest observation; must not block."""
        ...

    def command(self, command: Command) -> None:
        """Send a command; must not block."""
        ...

    def close(self) -> None:
        """Let go of the hardware. Idempotent."""
        ...


@runtime_checkable
class Environment(Protocol):
    """A simulated task: gymnasium's five-tuple, and what a language-conditioned task needs beside it."""

    @property
    def embodiment(self) -> EmbodimentSpec:
        """What it senses and takes."""
        ...

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one `step`."""
        ...

    @property
    def instruction(self) -> str:
        """What to do in this episode."""
        ...

    @property
    def success(self) -> bool:
        """Whether the task is solved, read from the physics."""
        ...

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; the same seed gives the same bits."""
        ...

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated, info."""
        ...

    def observe(self) -> Observation:
        """The present moment as a message. Images render on first access and only until the next `step`."""
        ...

    def close(self) -> None:
        """Free the renderer. Idempotent."""
        ...


@runtime_checkable
class Rendered(Environment, Protocol):
    """An environment that people can look at: what videos need."""

    def render(self) -> ImageArray:
        """Picture of the scene `(h, w, 3)` uint8 RGB, of the same size every time."""
        ...


@runtime_checkable
class Mirrored(Environment, Protocol):
    """An environment that another one of the same seed can mirror, and so be drawn elsewhere than it is stepped.

    What `threads` and `processes` mode need of a task with cameras: their tick never renders.
    """

    def physics_state(self) -> FloatArray:
        """Enough of the simulator's state to draw it from, in one dimension."""
        ...

    def set_state(self, physics: FloatArray, /) -> None:
        """Take on another one's `physics_state()`."""
        ...


@runtime_checkable
class Privileged(Environment, Protocol):
    """An environment that tells what no policy may see: for experts, and for the helper losses of a training."""

    @property
    def privileged_columns(self) -> Mapping[str, Sequence[str]]:
        """Facts that recordings keep as `privileged.<name>`, each with the names of its components.

        Training knows three: `target_position` (x, y, z in metres) or, where hands share the work, `hand_targets`
        (x, y, z of each), and `block_positions` (x, y, z of each kind of object).
        """
        ...

    def privileged(self) -> Mapping[str, Any]:
        """Facts of the present moment, those of the columns among them: arrays of any shape, NaN for what is absent."""
        ...


@runtime_checkable
class Rewindable(Environment, Protocol):
    """An environment that can be set back: what corrections need, since the expert steps in before a failure."""

    def snapshot(self) -> Any:
        """The present moment, whole: physics, episode, and what has been judged so far."""
        ...

    def restore(self, snapshot: Any, *, restart_clock: bool = False) -> None:
        """Go back to a moment; with `restart_clock` as the start of an episode of its own."""
        ...


@runtime_checkable
class Perturbable(Environment, Protocol):
    """An environment whose simulation may be changed from outside: what perturbations of physics and looks need."""

    def simulation(self) -> tuple[Any, Any]:
        """MuJoCo's `MjModel` and `MjData`, current until the next `reset`; cameras of a policy are named as theirs."""
        ...


@runtime_checkable
class Expert(Protocol):
    """Solves a task with knowledge that no policy has. Built from its environment, which it may look into."""

    def reset(self) -> None:
        """Begin from the environment's present moment: after a reset, or anywhere in an episode that was set back."""
        ...

    def act(self) -> FloatArray:
        """Target `(nu,)` for the next step. Looks at the present moment anew: what was last asked may not have come."""
        ...


@runtime_checkable
class ChunkPolicy(Protocol):
    """How a new chunk takes over. Pure; called by the decision core. Ours are drawn in `dualsys.chunk_policies`."""

    @property
    def guidance(self) -> Guidance | None:
        """How the actor is to continue the rows that run while it computes; None: it isn't told of them."""
        ...

    def first_row(self, consumed_rows: float) -> float:
        """Row, not below 0 and possibly between two, given the rows consumed since the chunk's observation.

        A row beyond the chunk's last refuses the chunk as too late.
        """
        ...

    def join(self, arrived: "Placed", playing: "Placed", earlier: "Iterable[Placed]") -> FloatArray:
        """Rows to play in place of the new chunk's, `(horizon, nu)` as they are; not asked where nothing played before.

        Args:
            arrived: The new chunk, at its first row.
            playing: What was played up to now, at the row that is due.
            earlier: The chunks before as they came, oldest first, each at the row due now; those run out are left out.
                Made as they are drawn, once: most policies need none.
        """
        ...


@runtime_checkable
class Clock(Protocol):
    """A source of time in seconds."""

    def now_s(self) -> float:
        """Seconds since the clock's own origin; never goes back."""
        ...

    def sleep_until_s(self, deadline_s: float) -> None:
        """Return at the deadline, at once when it has passed."""
        ...
