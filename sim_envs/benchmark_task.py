"""What a task of somebody else's benchmark is like, and how its own code is driven."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, Unit
from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray
from dualsys.sim_envs.options import EnvironmentOptions, ImageTurn, refuse_options, require_instruction, require_rate

NOT_HONOURED = {
    "phrasing": "it is told one sentence",
    "randomization": "it has one look",
    "reset_kind": "a reset sets the scene back and draws it anew, there is one kind",
}
"""Options that no such task can honour, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What a task is like, known before it is built."""

    task: str
    """`suite/task`."""
    robot: str
    """Name of the embodiment."""
    instruction: str
    action_names: tuple[str, ...]
    """Each from -1 to 1."""
    state_names: tuple[str, ...]
    columns: Mapping[str, Sequence[str]]
    """What only the simulator knows: names of `Simulation.facts()`, and of their components."""
    control_hz: float
    episode_steps: int
    """The benchmark's own horizon."""
    cameras: Mapping[str, ImageTurn]
    """By name, how a picture is turned to be the right way up; the first is the policy's where none is asked for."""
    policy_cameras: int = 1
    """How many are the policy's where none are asked for, from the first on."""
    handed_out: ImageTurn = "none"
    """How the benchmark's own code turns the pictures that it hands out, off the right way up: a policy's are alike."""
    hidden_groups: tuple[int, ...] = ()
    """Groups of geoms that it doesn't draw."""
    no_action: FloatArray
    """The benchmark's own no-op `(nu,)`, for `settle_steps`."""
    action_units: Mapping[str, Unit] = field(default_factory=dict)
    """Units by action, "1" where none is given."""
    initial_states: int = 0
    """How many the benchmark lists."""
    success_stays: bool = True
    """Whether the first success ends an episode, and counts whatever comes after; else the present moment counts, and
    an episode has the horizon's length."""
    not_honoured: Mapping[str, str] = field(default_factory=lambda: NOT_HONOURED)


class Simulation(Protocol):
    """A task as its benchmark's own code steps and judges it."""

    @property
    def model(self) -> Any:
        """`mujoco.MjModel`; another one after a `begin` that compiled the scene anew."""
        ...

    @property
    def data(self) -> Any:
        """`mujoco.MjData` of that model."""
        ...

    def begin(self, seed: int, initial_state: int | None) -> None:
        """Start an episode, drawn from a seed or taken from the benchmark's list."""
        ...

    def advance(self, action: FloatArray) -> tuple[float, bool, dict[str, Any]]:
        """One control step: reward, success now, and what else the benchmark says."""
        ...

    def state(self) -> FloatArray:
        """What a policy may sense `(nx,)`, of its own."""
        ...

    def facts(self) -> dict[str, FloatArray]:
        """What only the simulator knows."""
        ...

    def picture_state(self) -> FloatArray:
        """Enough to draw the scene from, in another simulation of the same seed."""
        ...

    def mirror(self, picture_state: FloatArray) -> None:
        """Take on another one's `picture_state()`."""
        ...

    def save(self) -> Any:
        """The present moment, whole."""
        ...

    def load(self, moment: Any) -> None:
        """Go back to a moment of this simulation, to the bit."""
        ...


def require_its_own(facts: TaskFacts, options: EnvironmentOptions) -> None:
    """Raise `ConfigError` for a choice that the benchmark doesn't leave."""
    refuse_options(facts.task, options, facts.not_honoured)
    require_instruction(facts.task, options.instruction, facts.instruction)
    require_rate(facts.task, options.control_hz, facts.control_hz)
    for camera in options.cameras or ():
        if camera not in facts.cameras:
            raise ConfigError(unknown_name("camera", camera, facts.cameras))


def embodiment_of(facts: TaskFacts, cameras: Sequence[str], shape_px: tuple[int, int]) -> EmbodimentSpec:
    """The robot with the cameras asked for, of this height and width."""
    return EmbodimentSpec(
        name=facts.robot,
        joints=tuple(
            Joint(name=name, lower=-1.0, upper=1.0, unit=facts.action_units.get(name, "1"))
            for name in facts.action_names
        ),
        state_names=facts.state_names,
        cameras=tuple(CameraSpec(name=name, height=shape_px[0], width=shape_px[1]) for name in cameras),
    )
