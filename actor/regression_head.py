"""Every row in one pass: parallel decoding with an L1 loss (OpenVLA-OFT, arXiv 2502.19645; RT-1's is its ancestor).

The transformer is the flow expert's. Its rows' places are empty, and its flow time stands at 0.

Shape legend: B N batch, A action rows, U actions, X states.
"""

from typing import Any

import torch
from torch import Tensor, nn

from dualsys.actor.action_expert import ActionExpert, Condition
from dualsys.actor.head_config import RegressionConfig
from dualsys.actor.heads import Draws


class RegressionHead(nn.Module):
    """Rows as the transformer's output."""

    def __init__(self, config: RegressionConfig, trunk: ActionExpert) -> None:
        super().__init__()
        self.config = config
        self.trunk = trunk
        self.num_actions, self.num_states = trunk.num_actions, trunk.num_states

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.trunk.device

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> Any:
        """Keys and values of a subgoal."""
        return self.trunk.remember(subgoal_BKC, mask_BK)

    def rows(
        self, memory: Any, noise_BAU: Tensor, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        """`(B, A, U)`; the noise is not read."""
        begun = self.trunk.begin(memory, state_BX, age_B, image_BCHW)
        return self.trunk.step(torch.zeros_like(noise_BAU), self.trunk.tell(torch.zeros_like(age_B)), begun)

    def loss(self, actions_NAU: Tensor, is_real_NA: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """Absolute or squared error `(N, A, U)`."""
        del is_real_NA  # rows that are told read no row
        told_NAU = self.trunk(torch.zeros_like(actions_NAU), torch.zeros_like(draws.level_N), condition)
        error_NAU: Tensor = told_NAU.float() - actions_NAU
        return error_NAU.abs() if self.config.loss == "l1" else error_NAU.square()
