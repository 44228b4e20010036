"""A `DiTExpert` as `FlowActor`, its samplers and its guidance ask for an expert.

Shape legend: B batch, A action rows, U actions padded, X states padded, K subgoal tokens, C their width, D width, E a
row of all that a flow time does.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dualsys.actor.dit import KeptContext
from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.dit_expert import Begun, DiTExpert


class DiTMemory(NamedTuple):
    """What is kept of a subgoal."""

    context: KeptContext
    present_B: Tensor
    """False for the null subgoal."""


class RobotDiT(nn.Module):
    """The expert with `config.robot` chosen."""

    def __init__(self, expert: DiTExpert) -> None:
        super().__init__()
        self.expert = expert
        self.config: DiTConfig = expert.config
        self.num_actions = expert.num_actions
        self.num_states = expert.num_states
        null = torch.zeros(expert.subgoal_shape, device=expert.device)
        self.register_buffer("null_subgoal", null, persistent=False)

    @property
    def position(self) -> Tensor:
        """Where its weights are: read for the device."""
        return self.expert.transformer.out.weight

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> DiTMemory:
        """Keys and values of a subgoal. No row of the mask being True, it is the null subgoal."""
        return DiTMemory(self.expert.remember(subgoal_BKC, mask_BK), mask_BK.any(dim=-1))

    def look(self, memory: DiTMemory, image_BCHW: Tensor | None) -> DiTMemory:
        """As it is: the expert has no eye of its own."""
        del image_BCHW
        return memory

    def state_token(self, state_BX: Tensor) -> Tensor:
        """Token `(B, 1, D)` of the padded state."""
        return self.expert.state_token(state_BX, self.config.robot)

    def time_condition(self, t_B: Tensor) -> Tensor:
        """All that a flow time of the sampling loop does, `(B, E)`."""
        return self.expert.tell(t_B)

    def age_condition(self, age_B: Tensor, present_B: Tensor) -> Tensor:
        """Nothing: the expert isn't told how old a subgoal is."""
        del present_B
        return age_B.new_zeros(1)

    def velocity(
        self,
        x_BAU: Tensor,
        condition_BE: Tensor,
        state_B1D: Tensor,
        memory: DiTMemory,
        prefix_BA: Tensor | None = None,
    ) -> Tensor:
        """Velocity `(B, A, U)`. Raises `ValueError` for a prefix: it has not learned to continue one."""
        return self.expert.step(x_BAU, condition_BE, Begun(memory.context, state_B1D), prefix_BA)
