"""`DiTExpert`, the velocity field around the transformer of `dualsys.actor.dit`: projectors of each robot, features.

    features -> norm -> self-attention -.
    state -> its robot's projector ---- tokens [state | future tokens | action rows] -> DiT -> its robot's projector
    noisy rows, flow time -> its robot's projector, positions

Flow time runs from noise at 0 to data at 1, as in the originals. Rows and state are as wide as the widest robot's: a
narrower one's are put in front, and zeros behind, in training as in sampling.

Shape legend: B batch, A action rows, U actions padded, X states padded (times their history), K features, C their
width, D width, E a row of all that a flow time does, T = 1 + future tokens + A.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from dualsys.actor.action_expert import Condition
from dualsys.actor.category_layers import Category, CategoryActionEncoder, CategoryMLP
from dualsys.actor.dit import ContextBlock, DiT, KeptContext, KeptTime
from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.flow_matching import Solver, evaluation_times, flow_error, interpolate, skewed_time
from dualsys.actor.heads import Draws, held


class Features(NamedTuple):
    """What a planner saw and read."""

    tokens_BKC: Tensor
    mask_BK: Tensor
    """False where a feature is padding. A row with no True at all is the null subgoal: zeros are read."""
    image_BK: Tensor
    """True where a feature is of an image; read with `text-and-image` only."""


class Begun(NamedTuple):
    """What serves every flow step of a chunk."""

    context: KeptContext
    state_B1D: Tensor


class DiTExpert(nn.Module):
    """Velocity of noisy actions, given features, state and robot. A `dualsys.actor.experts.FlowExpert`."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        width, inner, robots = config.width, config.projector_width, config.num_robots
        self.context_norm = nn.LayerNorm(config.context_width) if config.context_norm else None
        self.context_blocks = nn.ModuleList(ContextBlock(config) for _ in range(config.context_depth))
        self.state_in = CategoryMLP(robots, config.max_states * config.state_history, inner, width)
        self.action_in = CategoryActionEncoder(robots, config.max_actions, width)
        self.action_out = CategoryMLP(robots, inner, inner, config.max_actions)
        self.future_tokens = _learned(config.num_future_tokens, width)
        self.position = _learned(config.max_positions if config.positions else 0, width)
        self.state_mask_token = _learned(1 if config.state_mask_token else 0, width)
        self.transformer = DiT(config)

    def forward(self, x_BAU: Tensor, t_B: Tensor, features: Features, state_BX: Tensor, category: Category) -> Tensor:
        """Velocity `(B, A, U)` at noisy actions `x` and flow time `t` (0 noise, 1 data). As training runs it.

        Sampling takes it apart: `remember` once for a subgoal, `tell` once for a flow time, `begin` once for a chunk,
        then `step`.
        """
        bucket_B = (t_B * self.config.time_buckets).long()
        begun = Begun(self.keep(features), self._dropped(self.state_token(state_BX, category)))
        return self.velocity(x_BAU, bucket_B, self.transformer.modulations(bucket_B), begun, category)

    def loss(self, actions_BAU: Tensor, is_real_BA: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """Squared error `(B, A, U)` of the velocity at a flow time drawn as the originals do.

        Rows behind those that a chunk is made of are zeros, as in their training; they don't count. The robot is the
        configuration's, unless the condition tells each sample's. In training mode layers and states are dropped
        and disturbed as configured, by torch's own generator.
        """
        data_BAU = held(actions_BAU, is_real_BA)
        if kept := self.config.kept_rows:
            data_BAU = torch.cat([data_BAU[:, :kept], torch.zeros_like(data_BAU[:, kept:])], dim=1)
        # Counted in buckets as a float32 time is, whose thousandfold is rounded: 0.57 is in bucket 570.
        t_B = flow_times(self.config, draws.level_N).to(draws.noise_NAU.dtype)
        features = self._features(condition.subgoal_BKC, condition.mask_BK)
        robot = self.config.robot if condition.robot_B is None else condition.robot_B
        noisy_BAU = interpolate(draws.noise_NAU, data_BAU, t_B)
        velocity_BAU = self(noisy_BAU, t_B, features, condition.state_BX, robot)
        return flow_error(velocity_BAU.to(data_BAU.dtype), draws.noise_NAU, data_BAU)

    def context(self, features: Features) -> tuple[Tensor, Tensor]:
        """Features `(B, K, C)` as the transformer reads them, and the mask `(B, K)` of those that exist for it."""
        features = features._replace(tokens_BKC=features.tokens_BKC.to(self._inside))
        mask_BK = features.mask_BK.bool()
        null_B1 = ~mask_BK.any(dim=-1, keepdim=True)
        tokens_BKC = torch.where(null_B1[..., None], torch.zeros_like(features.tokens_BKC), features.tokens_BKC)
        exists_BK = torch.ones_like(mask_BK) if self.config.reads_padding else mask_BK | null_B1
        if self.context_norm is not None:
            tokens_BKC = self.context_norm(tokens_BKC)
        for block in self.context_blocks:
            tokens_BKC = cast(ContextBlock, block)(tokens_BKC, exists_BK)
        return tokens_BKC, exists_BK

    def keep(self, features: Features) -> KeptContext:
        """Keys and values of features; they depend on nothing else, so they serve every flow step and every chunk."""
        context_BKC, exists_BK = self.context(features)
        if self.config.reads == "text-and-image":  # where the originals do mind the mask
            mask_BK = features.mask_BK.bool()
            exists_BK = mask_BK | ~mask_BK.any(dim=-1, keepdim=True)
        return self.transformer.keep(context_BKC, exists_BK, features.image_BK)

    def state_token(self, state_BX: Tensor, category: Category) -> Tensor:
        """Token `(B, 1, D)` of the state."""
        token_B1D: Tensor = self.state_in(state_BX[:, None].to(self._inside), category)
        return token_B1D

    def velocity(self, x_BAU: Tensor, bucket_B: Tensor, time: KeptTime, begun: Begun, category: Category) -> Tensor:
        """Velocity `(B, A, U)`, equal to `forward`, from parts that were made before."""
        rows_BAD = self.action_in(x_BAU.to(self._inside), bucket_B, category)
        if self.position is not None:
            rows_BAD = rows_BAD + self.position[: rows_BAD.shape[1]]
        parts = [begun.state_B1D, rows_BAD]
        if self.future_tokens is not None:
            parts.insert(1, self.future_tokens.expand(len(x_BAU), -1, -1))
        out_BTP = self.transformer(torch.cat(parts, dim=1), time, begun.context)
        out: Tensor = self.action_out(out_BTP[:, -x_BAU.shape[1] :], category)
        return out

    @property
    def num_actions(self) -> int:
        """Width of a row."""
        return self.config.max_actions

    @property
    def num_states(self) -> int:
        """Width of a state."""
        return self.config.max_states

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.transformer.out.weight.device

    @property
    def _inside(self) -> torch.dtype:
        """Of all that is computed; what is given, and the loop that adds velocities up, may be wider."""
        return self.transformer.out.weight.dtype

    @property
    def subgoal_shape(self) -> tuple[int, ...]:
        """`(K, C)`."""
        return self.config.num_subgoal_tokens, self.config.context_width

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> KeptContext:
        """Keys and values of a subgoal whose first tokens are of images. No row of the mask True: the null subgoal."""
        return self.keep(self._features(subgoal_BKC, mask_BK))

    def begin(self, memory: KeptContext, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None) -> Begun:
        """What serves every step of a chunk of `config.robot`; it isn't told how old a subgoal is, and has no eye."""
        del age_B, image_BCHW
        return Begun(memory, self.state_token(state_BX, self.config.robot))

    def tell(self, t_B: Tensor) -> Tensor:
        """All that a flow time of the sampling loop does, `(B, E)`: its bucket, then scales and shifts."""
        if self.config.solver == "euler":
            # Looked up by the step: counted as the originals count, which a float32 time may miss by one.
            buckets = torch.tensor(sampling_buckets(self.config), device=t_B.device)
            bucket_B = buckets[(t_B * self.config.num_inference_steps).round().long()]
        else:
            bucket_B = (t_B * self.config.time_buckets + 1e-3).long()
        time = self.transformer.modulations(bucket_B)
        # In float32 whatever the weights are: bfloat16 has no number 750.
        return torch.cat([part.float() for part in (bucket_B[:, None], *time.blocks_LBE, time.out_BE)], dim=-1)

    def step(self, x_BAU: Tensor, told_BE: Tensor, begun: Begun, prefix_BA: Tensor | None = None) -> Tensor:
        """Velocity `(B, A, U)`. Raises `ValueError` for a prefix: it has not learned to continue one."""
        if prefix_BA is not None:
            raise ValueError("this expert has not learned to continue a prefix")
        widths = [1] + [2 * self.config.width] * (self.config.depth + 1)
        bucket_B1, *parts = torch.split_with_sizes(told_BE, widths, dim=-1)
        bucket_B = bucket_B1[:, 0].long().expand(len(x_BAU))
        *blocks, out_BE = (part.to(begun.state_B1D.dtype) for part in parts)
        return self.velocity(x_BAU, bucket_B, KeptTime(tuple(blocks), out_BE), begun, self.config.robot)

    def _features(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> Features:
        """Of a subgoal, whose first tokens are of images."""
        index_K = torch.arange(subgoal_BKC.shape[1], device=subgoal_BKC.device)
        return Features(subgoal_BKC, mask_BK, (index_K < self.config.num_image_tokens).expand_as(mask_BK))

    def _dropped(self, state_B1D: Tensor) -> Tensor:
        config = self.config
        if not self.training:
            return state_B1D
        if config.state_dropout:
            drop_B11 = torch.rand(len(state_B1D), 1, 1, device=state_B1D.device) < config.state_dropout
            instead = torch.zeros_like(state_B1D) if self.state_mask_token is None else self.state_mask_token
            state_B1D = torch.where(drop_B11, instead, state_B1D)
        if config.state_noise:
            state_B1D = state_B1D + config.state_noise * torch.randn_like(state_B1D)
        return state_B1D


def sampling_buckets(config: DiTConfig) -> list[int]:
    """Of each evaluation of the sampling loop, in order; Euler's in float64, `int(step / steps * buckets)`, as the
    originals count.
    """
    steps = config.num_inference_steps
    if config.solver == "euler":
        return [int(step / steps * config.time_buckets) for step in range(steps)]
    times_E = evaluation_times(steps, Solver(config.solver))
    return [int(float(time) * config.time_buckets + 1e-3) for time in times_E]


def flow_times(config: DiTConfig, level_B: Tensor) -> Tensor:
    """Flow times `(B,)` for training, skewed towards noise, of numbers drawn evenly from [0, 1).

    N1.5's `shifted` ones reach a thousandth below 0.
    """
    if config.time_draw == "scaled":
        return skewed_time(level_B, alpha=config.time_alpha, cutoff=config.time_cutoff)
    beta_B = 1.0 - skewed_time(level_B, alpha=config.time_alpha, cutoff=1.0)
    return (config.time_cutoff - beta_B) / config.time_cutoff


def _learned(count: int, width: int) -> nn.Parameter | None:
    return nn.Parameter(torch.randn(count, width) * 0.02) if count else None
