"""A `DiTExpert` as one robot's flow: what samplers, guidance and `FlowActor` ask of an expert.

Two things differ from what these know. The flow time isn't a condition of one width: what it does to every block is one
long row, made once for each step. And rows and state are as wide as the widest robot's; the narrow one's are put in
front, and zeros behind, as in training.

Shape legend: B batch, A action rows, U actions padded, X states padded, K subgoal tokens, C their width, D width, E a
row of all that a flow time does.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dualsys.actor.dit import KeptContext, KeptTime
from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.dit_expert import DiTExpert, Features


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
        self.num_actions = expert.config.max_actions
        self.num_states = expert.config.max_states
        config, device = expert.config, self.position.device
        self.register_buffer("buckets", torch.tensor(expert.sampling_buckets(), device=device), persistent=False)
        null = torch.zeros(config.num_subgoal_tokens, config.context_width, device=device)
        self.register_buffer("null_subgoal", null, persistent=False)

    @property
    def position(self) -> Tensor:
        """Where its weights are: read for the device."""
        return self.expert.transformer.out.weight

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> DiTMemory:
        """Keys and values of a subgoal whose first tokens are of images. No row of the mask True: the null subgoal."""
        index_K = torch.arange(subgoal_BKC.shape[1], device=subgoal_BKC.device)
        image_BK = (index_K < self.config.num_image_tokens).expand_as(mask_BK)
        context = self.expert.remember(Features(subgoal_BKC, mask_BK, image_BK))
        return DiTMemory(context, mask_BK.any(dim=-1))

    def look(self, memory: DiTMemory, image_BCHW: Tensor | None) -> DiTMemory:
        """As it is: the expert has no eye of its own."""
        del image_BCHW
        return memory

    def state_token(self, state_BX: Tensor) -> Tensor:
        """Token `(B, 1, D)` of the padded state."""
        return self.expert.state_token(state_BX, self.config.robot)

    def time_condition(self, t_B: Tensor) -> Tensor:
        """All that a flow time of the sampling loop does, `(B, E)`: its bucket, then scales and shifts."""
        bucket_B = self._bucket(t_B)
        told = self.expert.tell(bucket_B)
        return torch.cat([bucket_B[:, None].to(told.out_BE.dtype), *told.blocks_LBE, told.out_BE], dim=-1)

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
        if prefix_BA is not None:
            raise ValueError("this expert has not learned to continue a prefix")
        bucket_B1, *blocks, out_BE = torch.split_with_sizes(condition_BE, self._widths, dim=-1)
        time = KeptTime(tuple(blocks), out_BE)
        bucket_B = bucket_B1[:, 0].long().expand(len(x_BAU))
        return self.expert.velocity(x_BAU, bucket_B, time, state_B1D, memory.context, self.config.robot)

    @property
    def _widths(self) -> list[int]:
        return [1] + [2 * self.config.width] * (self.config.depth + 1)

    def _bucket(self, t_B: Tensor) -> Tensor:
        """Bucket of a time of the loop; Euler's are looked up, because they were counted exactly."""
        if self.config.solver != "euler":
            return (t_B * self.config.time_buckets + 1e-3).long()
        step_B = (t_B * self.config.num_inference_steps).round().long()
        buckets: Tensor = self.get_buffer("buckets")
        return buckets[step_B]
