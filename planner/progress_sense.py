"""How far a step is, and whether it is done: from the subgoal, which says where the step's block is, and the robot's
state, which says where its hands are.

Shape legend: B batch, K subgoal tokens, C their width, X the robot's states.
"""

import torch
from einops import repeat
from torch import Tensor, nn

from dualsys.planner.subtask_config import SubtaskConfig

LONGEST_S = 3.0


class ProgressSense(nn.Module):
    """Subgoal, state and velocity to two logits."""

    def __init__(self, config: SubtaskConfig) -> None:
        super().__init__()
        width = config.sense_width
        self.token_in = nn.Linear(config.token_dim, width)
        self.place = nn.Parameter(torch.randn(32, width) * 0.3)
        self.state_in = nn.Sequential(nn.Linear(2 * config.state_size + 1, width), nn.GELU(), nn.Linear(width, width))
        layer = nn.TransformerEncoderLayer(
            width, config.num_heads, 2 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.mixer = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        self.out = nn.Linear(width, 2)
        self.state_mean_X: Tensor
        self.state_deviation_X: Tensor
        self.register_buffer("state_mean_X", torch.zeros(config.state_size))
        self.register_buffer("state_deviation_X", torch.ones(config.state_size))

    def forward(self, tokens_BKC: Tensor, state_BX: Tensor, velocity_BX: Tensor, since_B: Tensor) -> Tensor:
        """Logits `(B, 2)` of the share of the step that lies behind, and of its being done.

        Args:
            tokens_BKC: The subgoal, of no more than 32 tokens.
            state_BX: Proprioception, SI units.
            velocity_BX: Its change per second.
            since_B: Seconds for which the step has been on.
        """
        posture_BX = (state_BX - self.state_mean_X) / self.state_deviation_X
        # Beyond the longest step of training time says no more.
        felt_BY = torch.cat([posture_BX, velocity_BX, since_B.clamp(max=LONGEST_S)[:, None] / LONGEST_S], dim=-1)
        felt_B1W = self.state_in(felt_BY)[:, None]
        seen_BKW = self.token_in(tokens_BKC) + repeat(
            self.place[: tokens_BKC.shape[1]], "k w -> b k w", b=len(tokens_BKC)
        )
        mixed_BNW = self.mixer(torch.cat([felt_B1W, seen_BKW], dim=1))
        out: Tensor = self.out(mixed_BNW[:, 0])
        return out
