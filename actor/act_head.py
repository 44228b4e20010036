"""ACT behind the actor protocol: rows from a state and a subgoal, in training through a latent of the rows themselves.

Shape legend: B N batch, A action rows, U actions, X states, L latent, K subgoal tokens, C their width.
"""

import torch
from torch import Tensor, nn

from dualsys.actor.act_network import ActNetwork
from dualsys.actor.action_expert import Condition
from dualsys.actor.head_config import ActConfig
from dualsys.actor.heads import Draws


class ActHead(nn.Module):
    """The latent is zero when it acts: the prior's mean."""

    def __init__(self, config: ActConfig, network: ActNetwork) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.num_actions, self.num_states = network.num_actions, network.num_states

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing is made ahead: the age, which is told later, is mixed into the tokens."""
        return subgoal_BKC, mask_BK

    def rows(
        self,
        memory: tuple[Tensor, Tensor],
        noise_BAU: Tensor,
        state_BX: Tensor,
        age_B: Tensor,
        image_BCHW: Tensor | None,
    ) -> Tensor:
        """`(B, A, U)`; neither noise nor picture is read."""
        latent_BL = state_BX.new_zeros(len(state_BX), self.config.latent_dim)
        out: Tensor = self.network(latent_BL, state_BX, self.network.seen_in_subgoal(*memory, age_B))
        return out

    def loss(self, actions_NAU: Tensor, is_real_NA: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """Absolute error `(N, A, U)`, and the latent's divergence from the prior, the same for each of its numbers."""
        mean_NL, log_variance_NL = self.network.latent(condition.state_BX, actions_NAU, is_real_NA)
        noise_NL = draws.noise_NAU.flatten(1)[:, : self.config.latent_dim]
        latent_NL = mean_NL + (log_variance_NL / 2).exp() * noise_NL
        seen = self.network.seen_in_subgoal(condition.subgoal_BKC, condition.mask_BK, condition.age_B)
        told_NAU = self.network(latent_NL, condition.state_BX, seen)
        divergence_N = divergence(mean_NL, log_variance_NL)
        error_NAU: Tensor = (told_NAU.float() - actions_NAU).abs()
        return error_NAU + self.config.kl_weight * divergence_N[:, None, None]


def divergence(mean_NL: Tensor, log_variance_NL: Tensor) -> Tensor:
    """Kullback-Leibler divergence `(N,)` of a diagonal normal from the standard one."""
    return -0.5 * (1 + log_variance_NL - mean_NL.square() - log_variance_NL.exp()).sum(dim=-1)
