"""Rows by denoising diffusion: the flow expert's transformer, or Diffusion Policy's U-Net, told a level of noise.

Shape legend: B N batch, A action rows, U actions, X states, K subgoal tokens, C their width, G a condition, E steps.
"""

from typing import Any

import torch
from torch import Tensor, nn

from dualsys.actor.action_expert import ActionExpert, Condition
from dualsys.actor.conditional_unet import ConditionalUNet
from dualsys.actor.diffusion import believed_data, kept_shares, noised, step_back, target, visited_levels, within
from dualsys.actor.head_config import DiffusionConfig
from dualsys.actor.heads import Draws, held


class TransformerDenoiser(nn.Module):
    """The flow expert's transformer; a level is told as the flow time that has as much noise."""

    def __init__(self, config: DiffusionConfig, trunk: ActionExpert) -> None:
        super().__init__()
        self.levels = config.train_steps
        self.trunk = trunk
        self.num_actions, self.num_states = trunk.num_actions, trunk.num_states

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> Any:
        """Keys and values of a subgoal."""
        return self.trunk.remember(subgoal_BKC, mask_BK)

    def begin(self, memory: Any, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None) -> Any:
        """What serves every step of a chunk."""
        return self.trunk.begin(memory, state_BX, age_B, image_BCHW)

    def step(self, x_BAU: Tensor, level_B: Tensor, begun: Any) -> Tensor:
        """`(B, A, U)`."""
        return self.trunk.step(x_BAU, self.trunk.tell(self._time(level_B)), begun)

    def forward(self, x_NAU: Tensor, level_N: Tensor, condition: Condition) -> Tensor:
        """`(N, A, U)`, as training runs it."""
        out: Tensor = self.trunk(x_NAU, self._time(level_N), condition)
        return out

    def _time(self, level_B: Tensor) -> Tensor:
        return 1.0 - level_B.float() / self.levels


class UNetDenoiser(nn.Module):
    """Diffusion Policy's U-Net, conditioned on state, age and the whole subgoal as one vector."""

    def __init__(self, config: DiffusionConfig, *, num_actions: int, num_states: int, subgoal: tuple[int, int]) -> None:
        super().__init__()
        assert config.unet is not None
        self.num_actions, self.num_states = num_actions, num_states
        self.null_subgoal = nn.Parameter(torch.randn(subgoal) * 0.02)
        # An age, and whether there is a subgoal at all, stand behind it.
        condition = num_states + subgoal[0] * subgoal[1] + 2
        self.network = ConditionalUNet(config.unet, num_actions=num_actions, condition=condition)

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> tuple[Tensor, Tensor]:
        """The subgoal as a vector, and whether there is one."""
        present_B1 = mask_BK.any(dim=-1, keepdim=True)
        tokens_BKC = torch.where(present_B1[..., None], subgoal_BKC * mask_BK[..., None], self.null_subgoal)
        return tokens_BKC.flatten(1), present_B1.to(subgoal_BKC.dtype)

    def begin(
        self, memory: tuple[Tensor, Tensor], state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        """The condition."""
        del image_BCHW
        subgoal_BG, present_B1 = memory
        return torch.cat([state_BX, subgoal_BG, age_B[:, None] * present_B1, present_B1], dim=-1)

    def step(self, x_BAU: Tensor, level_B: Tensor, begun: Tensor) -> Tensor:
        """`(B, A, U)`."""
        out: Tensor = self.network(x_BAU, level_B, begun)
        return out.contiguous()  # as the noise lies: a compiled step is traced anew for rows that lie otherwise

    def forward(self, x_NAU: Tensor, level_N: Tensor, condition: Condition) -> Tensor:
        """`(N, A, U)`, as training runs it."""
        memory = self.remember(condition.subgoal_BKC, condition.mask_BK)
        return self.step(x_NAU, level_N, self.begin(memory, condition.state_BX, condition.age_B, None))


class DiffusionHead(nn.Module):
    """Levels of noise, from the most to none."""

    def __init__(self, config: DiffusionConfig, network: TransformerDenoiser | UNetDenoiser) -> None:
        super().__init__()
        self.config = config
        self.network = network
        self.num_actions, self.num_states = network.num_actions, network.num_states
        self._kept = kept_shares(config.schedule, config.train_steps)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> Any:
        """What the network keeps of a subgoal."""
        return self.network.remember(subgoal_BKC, mask_BK)

    def rows(
        self, memory: Any, noise_BAU: Tensor, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        """`(B, A, U)`; with `eta`, fresh noise is drawn by a generator that the given noise seeds."""
        fresh = self.fresh_noise(noise_BAU)
        return self.denoise(self.network, memory, noise_BAU, fresh, state_BX, age_B, image_BCHW)

    def fresh_noise(self, noise_BAU: Tensor) -> Tensor | None:
        """Of each step `(steps, B, A, U)`, made from the noise that a chunk begins with; None where there is none."""
        if not self.config.eta:
            return None
        generator = _seeded_by(noise_BAU)
        drawn = [torch.randn(noise_BAU.shape, generator=generator) for _ in range(self.config.num_inference_steps)]
        return torch.stack(drawn).to(noise_BAU)

    def denoise(
        self,
        network: Any,
        memory: Any,
        noise_BAU: Tensor,
        fresh_EBAU: Tensor | None,
        state_BX: Tensor,
        age_B: Tensor,
        image_BCHW: Tensor | None,
    ) -> Tensor:
        """`(B, A, U)`, through `begin` and `step` of the head's network, or of compiled ones."""
        config = self.config
        begun = network.begin(memory, state_BX, age_B, image_BCHW)
        levels = visited_levels(config.train_steps, config.num_inference_steps)
        x_BAU = noise_BAU
        for index, (level, lower) in enumerate(zip(levels, [*levels[1:], -1], strict=True)):
            kept = float(self._kept[level])
            told_BAU = network.step(x_BAU, torch.full_like(age_B, level), begun)
            data_BAU = believed_data(config.prediction, x_BAU, told_BAU, kept)
            data_BAU, left_BAU = within(x_BAU, data_BAU, kept, config.clip, config.eta)
            fresh = None if fresh_EBAU is None else fresh_EBAU[index]
            kept_next = float(self._kept[lower]) if lower >= 0 else 1.0
            x_BAU = step_back(data_BAU, left_BAU, kept, kept_next, config.eta, fresh)
        return x_BAU

    def loss(self, actions_NAU: Tensor, is_real_NA: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """Squared error of what the network tells `(N, A, U)`."""
        actions_NAU = held(actions_NAU, is_real_NA)
        level_N = (draws.level_N * self.config.train_steps).long()
        kept_N = self._kept[level_N.cpu()].to(actions_NAU)
        x_NAU = noised(actions_NAU, draws.noise_NAU, kept_N)
        told_NAU = self.network(x_NAU, level_N, condition)
        error_NAU: Tensor = told_NAU.float() - target(self.config.prediction, actions_NAU, draws.noise_NAU, kept_N)
        return error_NAU.square()


def _seeded_by(noise: Tensor) -> torch.Generator:
    seed = int.from_bytes(noise.detach().cpu().contiguous().numpy().tobytes()[:7], "little")
    return torch.Generator().manual_seed(seed)
