"""`FlowExpert`: what samplers, guidance and `FlowActor` ask of a velocity field; and which there are, by name.

A field is taken apart by what each part depends on, so that nothing is computed twice:

    remember   the subgoal            once for each subgoal, ahead of time
    begin      state, age, image      once for each chunk
    tell       the flow time          once for each step of the loop, kept from chunk to chunk
    step       the noisy rows         in each step

Shape legend: B batch, A action rows, U actions, X states, K tokens of a subgoal, E all that a flow time does.
"""

from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.head_config import (
    ActConfig,
    AnyHeadConfig,
    DiffusionConfig,
    HeadConfig,
    RegressionConfig,
    TokensConfig,
)
from dualsys.actor.joint_config import JointExpertConfig
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import CheckpointError, SpecMismatch, unknown_name

FlowConfig: TypeAlias = FlowActorConfig | JointExpertConfig | DiTConfig
ExpertConfig: TypeAlias = FlowConfig | AnyHeadConfig

CONFIGS: dict[str, type[ExpertConfig]] = {
    "flow": FlowActorConfig,
    "joint": JointExpertConfig,
    "dit": DiTConfig,
    "regression": RegressionConfig,
    "diffusion": DiffusionConfig,
    "act": ActConfig,
    "tokens": TokensConfig,
}
"""By the name that a checkpoint and the registry know them under."""


class FlowExpert(Protocol):
    """A velocity field over action rows."""

    @property
    def config(self) -> Any:
        """Read are `horizon`, `dt_s`, `num_inference_steps`, `solver`, `noise`, `smoothing_window`, `max_prefix` and
        `vision`, as `FlowActorConfig` describes them.
        """
        ...

    @property
    def num_actions(self) -> int:
        """Width of a row; a robot with fewer has zeros behind, which are sampled with the rest."""
        ...

    @property
    def num_states(self) -> int:
        """Width of a state; a robot with fewer has zeros behind."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        ...

    @property
    def subgoal_shape(self) -> tuple[int, ...]:
        """Of a subgoal's array without its batch; the last axis but one is that of tokens; a prefix has any number."""
        ...

    def remember(self, subgoal: Tensor, mask_BK: Tensor) -> Any:
        """What it keeps of a subgoal: tokens `(B, K, C)`, or keys and values `(B, 2, layers, heads, K, width)`.

        No row of the mask being True, it is the null subgoal.
        """
        ...

    def begin(self, memory: Any, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None) -> Any:
        """What serves every step of a chunk."""
        ...

    def tell(self, t_B: Tensor) -> Tensor:
        """All that a flow time (0 noise, 1 data; float32 or float64) does, `(B, E)`."""
        ...

    def step(self, x_BAU: Tensor, told_BE: Tensor, begun: Any, prefix_BA: Tensor | None = None) -> Tensor:
        """Velocity `(B, A, U)`; `prefix` is True where a row is given, for experts that have learned it."""
        ...


def config_of(name: str) -> type[ExpertConfig]:
    """Class of an expert's configuration. Raises `CheckpointError` for an unknown name."""
    if name not in CONFIGS:
        raise CheckpointError(unknown_name("action expert", name, CONFIGS))
    return CONFIGS[name]


def name_of(config: ExpertConfig) -> str:
    """Name that an expert of such a configuration is stored under."""
    return next(name for name, kind in CONFIGS.items() if isinstance(config, kind))


def build_expert(config: ExpertConfig, *, embodiment: EmbodimentSpec, subgoal_spec: SubgoalSpec) -> nn.Module:
    """A `FlowExpert` or a `Head`, with fresh weights.

    Raises:
        SpecMismatch: robot or subgoals don't fit the configuration.
    """
    if isinstance(config, HeadConfig):
        from dualsys.actor.head_building import build_head

        _require_tokens(subgoal_spec)
        return build_head(config, embodiment=embodiment, subgoal_spec=subgoal_spec)
    if isinstance(config, JointExpertConfig):
        from dualsys.actor.joint_expert import JointExpert

        if subgoal_spec.prefix != config.prefix:
            raise SpecMismatch(
                f"the expert reads a prefix of {config.prefix!r}, subgoals carry {subgoal_spec.prefix!r}"
            )
        _require_room(config, embodiment)
        return JointExpert(config)
    if isinstance(config, DiTConfig):
        from dualsys.actor.dit_expert import DiTExpert

        if (subgoal_spec.num_tokens, subgoal_spec.dim) != (config.num_subgoal_tokens, config.context_width):
            raise SpecMismatch(
                f"the expert reads {config.num_subgoal_tokens} features of width {config.context_width}, subgoals "
                f"carry {subgoal_spec.num_tokens} of {subgoal_spec.dim}"
            )
        if config.state_history != 1:
            raise SpecMismatch(f"the expert reads {config.state_history} successive states; an actor is given one")
        _require_room(config, embodiment)
        return DiTExpert(config)
    from dualsys.actor.action_expert import ActionExpert

    if config.robots:
        raise SpecMismatch(f"the expert is of {len(config.robots)} robots, not of one; build a ManyRobotActor")
    _require_tokens(subgoal_spec)
    return ActionExpert(
        config,
        num_actions=embodiment.num_actions,
        num_states=embodiment.num_states,
        num_subgoal_tokens=subgoal_spec.num_tokens,
        subgoal_dim=subgoal_spec.dim,
    )


def _require_tokens(subgoal_spec: SubgoalSpec) -> None:
    if subgoal_spec.dim == 0:
        raise SpecMismatch(f"the expert reads tokens, subgoals carry none: {subgoal_spec!r}")


def _require_room(config: JointExpertConfig | DiTConfig, embodiment: EmbodimentSpec) -> None:
    if embodiment.num_states > config.max_states or embodiment.num_actions > config.max_actions:
        raise SpecMismatch(
            f"embodiment {embodiment.name!r} has {embodiment.num_states} states and {embodiment.num_actions} "
            f"actions; the expert takes {config.max_states} and {config.max_actions} at most"
        )
