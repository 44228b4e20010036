"""The velocity field: a diffusion transformer over action tokens that cross-attends to the subgoal.

The layout follows GR00T N1 (arXiv 2503.14734, section 2.1): tokens are [state, action rows]; even blocks attend to the
subgoal's tokens, odd ones to each other; flow time enters through adaptive norms. Two things are added for a planner
that runs elsewhere: the subgoal's age enters beside the flow time, and a learned null subgoal stands in for one that is
missing, expired or dropped in training. An expert with `max_prefix` may be given its first rows as they are, marked,
and samples the rest behind them (training-time real-time chunking, arXiv 2512.05964, which marks by the flow time).

Shape legend: B batch, A action rows, U actions, X states, K subgoal tokens, C their width, D width, T = 1 + A tokens.
"""

from typing import NamedTuple, cast

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.layers import AdaptiveNorm, Attention, Block, sinusoidal_embedding


class Condition(NamedTuple):
    """What the motion depends on, all normalised."""

    state_BX: Tensor
    subgoal_BKC: Tensor
    """For a `JointExpert` a prefix, `(B, 2, layers, heads, K, width)`."""
    mask_BK: Tensor
    """False where a token is padding. A row with no True at all is the null subgoal."""
    age_B: Tensor
    """Age of the subgoal in seconds at the time of the state; unread for the null subgoal."""
    image_BCHW: Tensor | None = None
    """In [-1, 1]; only for experts with fast vision."""
    prefix_BA: Tensor | None = None
    """True where a row is given and free of noise; only for experts that have learned it."""
    robot_B: Tensor | None = None
    """Number of the robot each sample is of; only for experts of several."""


class Memory(NamedTuple):
    """What an expert keeps of a subgoal: it depends on nothing else, so it serves every flow step and every chunk."""

    keys_LBNKH: tuple[Tensor, ...]
    """Of each block that attends to the subgoal."""
    values_LBNKH: tuple[Tensor, ...]
    mask_BK: Tensor
    """False where a token must not be read; all True for the null subgoal."""
    present_B: Tensor
    """False for the null subgoal."""


class Begun(NamedTuple):
    """What serves every flow step of a chunk."""

    memory: Memory
    """Of the subgoal, and of what the actor's own eye sees."""
    state_B1D: Tensor
    aged_BD: Tensor
    """Share of the subgoal's age in the adaptive condition."""


class FastVision(nn.Module):
    """Strided convolutions to tokens; positions are learned because the grid is small and fixed."""

    def __init__(self, config: FastVisionConfig, width: int) -> None:
        super().__init__()
        self.camera = config.camera
        layers: list[nn.Module] = []
        self.num_channels = previous = config.num_channels
        for channels in config.channels:
            layers += [nn.Conv2d(previous, channels, 3, stride=2, padding=1), nn.GELU()]
            previous = channels
        self.layers = nn.Sequential(*layers, nn.Conv2d(previous, width, 1))
        shrink = 2 ** len(config.channels)
        grid = -(-config.camera.height // shrink) * -(-config.camera.width // shrink)
        self.position = nn.Parameter(torch.randn(grid, width) * 0.02)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Tokens `(B, S, D)` of an image in [-1, 1]."""
        tokens_BSD = rearrange(self.layers(image_BCHW), "b d h w -> b (h w) d")
        out: Tensor = tokens_BSD + self.position
        return out


class ActionExpert(nn.Module):
    """Velocity of noisy actions, given state, subgoal and its age."""

    def __init__(
        self, config: FlowActorConfig, *, num_actions: int, num_states: int, num_subgoal_tokens: int, subgoal_dim: int
    ) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.num_actions = num_actions
        self.num_states = num_states
        self.action_in = nn.Linear(num_actions, width)
        self.state_in = nn.Sequential(nn.Linear(num_states, width), nn.GELU(), nn.Linear(width, width))
        self.position = nn.Parameter(torch.randn(1 + config.horizon, width) * 0.02)
        self.prefix_mark = nn.Parameter(torch.zeros(width)) if config.max_prefix else None
        """Tells a row that is given from one that is sampled."""
        self.null_subgoal = nn.Parameter(torch.randn(num_subgoal_tokens, subgoal_dim) * 0.02)
        self.time_mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.age_mlp = nn.Sequential(nn.Linear(width + 1, width), nn.SiLU(), nn.Linear(width, width))
        self.subgoal_in = nn.Linear(subgoal_dim, width)
        self.vision = None if config.vision is None else FastVision(config.vision, width)
        self.blocks = nn.ModuleList(
            Block(width, config.num_heads, context_width=width if index % 2 == 0 else None)
            for index in range(config.depth)
        )
        self.norm_out = AdaptiveNorm(width)
        self.action_out = nn.Linear(width, num_actions)
        nn.init.zeros_(self.action_out.weight)
        nn.init.zeros_(self.action_out.bias)

    def forward(self, x_BAU: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        """Velocity `(B, A, U)` at noisy actions `x` and flow time `t` (0 noise, 1 data). As training runs it.

        Sampling takes it apart by what each part depends on: `remember` once for a subgoal, `look`, `state_token` and
        `age_condition` once for a chunk, then `velocity` in each flow step.
        """
        tokens_BTD = self._tokens(self.action_in(x_BAU), self.state_token(condition.state_BX), condition.prefix_BA)
        out: Tensor = self.action_out(self._through(tokens_BTD, t_B, condition))
        return out

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> Memory:
        """Keys and values of a subgoal. No row of the mask being True, it is the null subgoal."""
        context_BKD, read_BK = self._subgoal_context(subgoal_BKC, mask_BK)
        pairs = [attention.keys_values(context_BKD) for attention in self.cross_attentions()]
        keys, values = (tuple(side) for side in zip(*pairs, strict=True))
        return Memory(keys, values, read_BK, mask_BK.any(dim=-1))

    def look(self, memory: Memory, image_BCHW: Tensor | None) -> Memory:
        """The memory with what the actor's own eye sees beside the subgoal; unchanged for an expert without."""
        if self.vision is None:
            return memory
        seen_BSD = self._see(image_BCHW)
        pairs = [attention.keys_values(seen_BSD) for attention in self.cross_attentions()]
        keys, values = zip(*pairs, strict=True)
        # Not by `_replace`: PyTorch 2.11 fails to compile what reads its result.
        return Memory(
            keys_LBNKH=tuple(torch.cat(both, dim=2) for both in zip(memory.keys_LBNKH, keys, strict=True)),
            values_LBNKH=tuple(torch.cat(both, dim=2) for both in zip(memory.values_LBNKH, values, strict=True)),
            mask_BK=F.pad(memory.mask_BK, (0, seen_BSD.shape[1]), value=True),
            present_B=memory.present_B,
        )

    def begin(self, memory: Memory, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None) -> Begun:
        """What serves every flow step of a chunk."""
        seen = self.look(memory, image_BCHW)
        return Begun(seen, self.state_token(state_BX), self.age_condition(age_B, memory.present_B))

    def tell(self, t_B: Tensor) -> Tensor:
        """Share `(B, D)` of a flow time in the adaptive condition."""
        return self.time_condition(t_B.float())

    def step(self, x_BAU: Tensor, told_BD: Tensor, begun: Begun, prefix_BA: Tensor | None = None) -> Tensor:
        """Velocity `(B, A, U)`, equal to `forward`, from parts that were made before."""
        return self.velocity(x_BAU, told_BD + begun.aged_BD, begun.state_B1D, begun.memory, prefix_BA)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.position.device

    @property
    def subgoal_shape(self) -> tuple[int, ...]:
        """`(K, C)`."""
        return tuple(self.null_subgoal.shape)

    def cross_attentions(self) -> list[Attention]:
        """Those that read the subgoal, in order."""
        return [block.attention for block in self._blocks() if block.cross]

    def state_token(self, state_BX: Tensor) -> Tensor:
        """Token `(B, 1, D)` of the state."""
        token_BD: Tensor = self.state_in(state_BX)
        return token_BD[:, None]

    def time_condition(self, t_B: Tensor) -> Tensor:
        """Share `(B, D)` of the flow time in the adaptive condition."""
        out: Tensor = self.time_mlp(sinusoidal_embedding(t_B, self.config.width, min_period=4e-3, max_period=4.0))
        return out

    def age_condition(self, age_B: Tensor, present_B: Tensor) -> Tensor:
        """Share `(B, D)` of the subgoal's age, and of whether there is one, in the adaptive condition."""
        known_B = present_B.to(age_B.dtype)
        # Periods from 0.1 s (finer than any planner's jitter) to 20 s (beyond any usable age).
        age_BD = sinusoidal_embedding(age_B * known_B, self.config.width, min_period=0.1, max_period=20.0)
        out: Tensor = self.age_mlp(torch.cat([age_BD * known_B[:, None], known_B[:, None]], dim=-1))
        return out

    def velocity(
        self,
        x_BAU: Tensor,
        condition_BD: Tensor,
        state_B1D: Tensor,
        memory: Memory,
        prefix_BA: Tensor | None = None,
    ) -> Tensor:
        """Velocity `(B, A, U)`, equal to `forward`, from parts that were made before."""
        tokens_BTD = self._tokens(self.action_in(x_BAU), state_B1D, prefix_BA)
        kept = iter(zip(memory.keys_LBNKH, memory.values_LBNKH, strict=True))
        for block in self._blocks():
            tokens_BTD = block.advance(tokens_BTD, condition_BD, next(kept) if block.cross else None, memory.mask_BK)
        out: Tensor = self.action_out(self.norm_out(tokens_BTD, condition_BD)[:, 1:])
        return out

    def _blocks(self) -> list[Block]:
        return [cast(Block, block) for block in self.blocks]

    def _through(self, tokens_BTD: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        """Rows `(B, A, D)` after all blocks, of tokens as `_tokens` puts them together."""
        context_BSD, mask_BS = self._context(condition)
        condition_BD = self.time_condition(t_B) + self.age_condition(condition.age_B, condition.mask_BK.any(dim=-1))
        for block in self.blocks:
            tokens_BTD = block(tokens_BTD, condition_BD, context_BSD, mask_BS)
        rows_BAD: Tensor = self.norm_out(tokens_BTD, condition_BD)[:, 1:]
        return rows_BAD

    def _tokens(self, rows_BAD: Tensor, state_B1D: Tensor, prefix_BA: Tensor | None = None) -> Tensor:
        if prefix_BA is not None:
            if self.prefix_mark is None:
                raise ValueError("this expert has not learned to continue a prefix")
            rows_BAD = rows_BAD + prefix_BA[..., None] * self.prefix_mark
        return torch.cat([state_B1D, rows_BAD], dim=1) + self.position

    def _context(self, condition: Condition) -> tuple[Tensor, Tensor]:
        context_BKD, mask_BK = self._subgoal_context(condition.subgoal_BKC, condition.mask_BK)
        if self.vision is None:
            return context_BKD, mask_BK
        seen_BSD = self._see(condition.image_BCHW)
        return torch.cat([context_BKD, seen_BSD], dim=1), F.pad(mask_BK, (0, seen_BSD.shape[1]), value=True)

    def _subgoal_context(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> tuple[Tensor, Tensor]:
        present_B = mask_BK.any(dim=-1)
        null_BKC = repeat(self.null_subgoal, "k c -> b k c", b=present_B.shape[0])
        tokens_BKC = torch.where(present_B[:, None, None], subgoal_BKC, null_BKC)
        return self.subgoal_in(tokens_BKC), mask_BK | ~present_B[:, None]

    def _see(self, image_BCHW: Tensor | None) -> Tensor:
        if image_BCHW is None or self.vision is None:
            raise ValueError("this expert has fast vision and needs an image")
        out: Tensor = self.vision(image_BCHW)
        return out
