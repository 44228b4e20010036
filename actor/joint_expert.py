"""The velocity field of pi0, pi0.5 and SmolVLA: rows of motion that attend to a planner's prefix beside themselves.

    prefix (keys, values of each layer) ----.--------.--------.
    state token, where it isn't the prefix's: once a chunk ---|
    noisy rows, flow time: each step -> layer -> layer -> layer -> norm -> velocity

The originals run prefix, state and rows as one sequence under a mask. None sees what stands behind it, so each is run
by itself against what stands before it, with equal results: the prefix at the planner, whose cache comes here as a
subgoal; the state once for a chunk; the rows in each flow step. Without a subgoal, rows attend to themselves alone.

Flow time is ours, noise at 0 and data at 1. Weights that count it the other way are given `1 - t`, and their velocity
is turned: here and nowhere else.

Shape legend: B batch, A action rows, U actions padded, X states padded, L layers, M heads of keys, S prefix length,
H head width, D width, E width of all that a flow time does, P the two sides of a prefix, keys and values.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.actor.action_expert import Condition
from dualsys.actor.attention import additive, require_backend
from dualsys.actor.flow_matching import flow_error, interpolate, skewed_time
from dualsys.actor.heads import Draws, held
from dualsys.actor.joint_config import JointExpertConfig
from dualsys.actor.joint_layers import JointLayer, KeysValues, RMSNorm, Rotation
from dualsys.actor.layers import sinusoidal_embedding


class PrefixMemory(NamedTuple):
    """What an expert keeps of a subgoal: it depends on nothing else, so it serves every flow step and every chunk."""

    layers: tuple[KeysValues, ...]
    """What each layer reads."""
    mask_BS: Tensor | None
    """False where it must not be read; None: all is read."""
    length_B: Tensor
    """Tokens that count: where rows' positions begin. 0 for the null subgoal."""


class Begun(NamedTuple):
    """What serves every flow step of a chunk."""

    layers: tuple[KeysValues, ...]
    """Of each layer, the state's keys and values behind the prefix's where it is joint."""
    joint_mask: Tensor | None
    """For layers that attend to prefix and rows, additive."""
    cross_mask: Tensor | None
    """For layers that attend to the prefix alone."""
    joint_rotation: Rotation
    cross_rotation: Rotation


class JointExpert(nn.Module):
    """Velocity of noisy actions, given a prefix and, where it is a token of its own, the state."""

    def __init__(self, config: JointExpertConfig) -> None:
        super().__init__()
        require_backend(config.attention)
        width = config.width
        self.config = config
        self.num_actions = config.max_actions
        self.num_states = config.max_states
        self.state_in = nn.Linear(config.max_states, width) if config.state_token else None
        self.action_in = nn.Linear(config.max_actions, width)
        self.time_in = nn.Linear(2 * width if config.time == "fused" else width, width)
        self.time_out = nn.Linear(width, width)
        self.layers = nn.ModuleList(JointLayer(config, joint=config.is_joint(index)) for index in range(config.depth))
        self.norm_out = RMSNorm(config)
        self.action_out = nn.Linear(width, config.max_actions)

    def forward(self, x_BAU: Tensor, t_B: Tensor, prefix_BPLMSH: Tensor, mask_BS: Tensor, state_BX: Tensor) -> Tensor:
        """Velocity `(B, A, U)` at noisy actions `x` and flow time `t` (0 noise, 1 data). As training runs it.

        Sampling takes it apart by what each part depends on: `remember` once for a subgoal, `begin` once for a chunk,
        `tell` once for a flow time, then `step`.
        """
        return self.step(x_BAU, self.tell(t_B), self.begin(self.remember(prefix_BPLMSH, mask_BS), state_BX))

    def loss(self, actions_BAU: Tensor, is_real_BA: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """Squared error `(B, A, U)` of the velocity at a flow time drawn as the originals do.

        Theirs is `0.999 b + 0.001` from data to noise with `b ~ Beta(1.5, 1)`: ours is one less that. Of a
        level in float64 it is any time of theirs exactly; in float32 it may miss one by 6e-8, which a period of 4e-3,
        the shortest, shows.
        """
        data_BAU = held(actions_BAU, is_real_BA)
        t_B = skewed_time(draws.level_N, alpha=1.5, cutoff=0.999)
        noisy_BAU = interpolate(draws.noise_NAU, data_BAU, t_B).to(draws.noise_NAU.dtype)
        velocity_BAU = self(noisy_BAU, t_B, condition.subgoal_BKC, condition.mask_BK, condition.state_BX)
        return flow_error(velocity_BAU.to(data_BAU.dtype), draws.noise_NAU, data_BAU)

    def remember(self, prefix_BPLMSH: Tensor, mask_BS: Tensor) -> PrefixMemory:
        """What is read of a prefix. No row of the mask being True, it is the null subgoal.

        A single one's padding is left out, where that needs no look at another device's memory: what isn't there needs
        no mask. The result is the same but for the order of sums.
        """
        mask_BS = mask_BS.bool()
        prefix_BPLMSH = prefix_BPLMSH.to(self._inside)
        read_BS: Tensor | None = mask_BS
        if len(mask_BS) == 1 and mask_BS.device.type == "cpu" and not torch.compiler.is_compiling():
            if not bool(mask_BS.all()):
                prefix_BPLMSH = prefix_BPLMSH[:, :, :, :, mask_BS[0]]
            read_BS = None
        every = self.config.prefix_every
        layers = tuple(
            layer.attention.remember(KeysValues(*prefix_BPLMSH[:, :, index * every].unbind(dim=1)), read_BS)
            for index, layer in enumerate(self.decoder_layers())
        )
        return PrefixMemory(layers, read_BS, mask_BS.sum(dim=-1))

    def begin(
        self,
        memory: PrefixMemory,
        state_BX: Tensor,
        age_B: Tensor | None = None,
        image_BCHW: Tensor | None = None,
    ) -> Begun:
        """What serves every flow step of a chunk. Age and image are left unread: the originals know neither."""
        del age_B, image_BCHW
        config, length_B, kept = self.config, memory.length_B, memory.layers
        joint_mask = cross_mask = None if memory.mask_BS is None else additive(memory.mask_BS[:, None, None])
        if self.state_in is not None:
            kept, own_mask = self._with_state(self.state_in(state_BX)[:, None].to(self._inside), memory, joint_mask)
            joint_mask, length_B = own_mask, length_B + 1
        index_A = torch.arange(config.horizon, device=length_B.device)
        return Begun(
            layers=kept,
            joint_mask=self._mask(joint_mask, kept, index_A),
            cross_mask=cross_mask,
            joint_rotation=self.rotation(length_B[:, None] + index_A),
            cross_rotation=self.rotation(index_A[None]),
        )

    def tell(self, t_B: Tensor) -> Tensor:
        """All that a flow time does, `(B, E)`: its embedding, or the norms' modulations. In float32 or float64 time.

        The embedding is made in float64, of a time in float32, as in the originals: the shortest period is 4e-3.
        """
        config = self.config
        time_B = (1.0 - t_B.double() if config.time_direction == "to-noise" else t_B.double()).float()
        wave_BD = sinusoidal_embedding(
            time_B, config.width, min_period=config.min_period, max_period=config.max_period
        ).to(self.action_in.weight.dtype)
        if config.time == "fused":
            return wave_BD
        condition_BD = self.condition(wave_BD)
        return torch.cat([cast(nn.Linear, norm.to_modulation)(condition_BD) for norm in self._norms()], dim=-1)

    def condition(self, wave_BD: Tensor) -> Tensor:
        """Condition `(B, D)` of adaptive norms, of the flow time's embedding."""
        return F.silu(self.time_out(F.silu(self.time_in(wave_BD))))

    def step(self, x_BAU: Tensor, told_BE: Tensor, begun: Begun, prefix_BA: Tensor | None = None) -> Tensor:
        """Velocity `(B, A, U)`, equal to `forward`, from parts that were made before.

        Raises:
            ValueError: for a prefix of rows: it has not learned to continue one.
        """
        if prefix_BA is not None:
            raise ValueError("this expert has not learned to continue a prefix")
        return self.velocity(self.through_layers(self.rows(x_BAU, told_BE).to(self._inside), told_BE, begun), told_BE)

    def through_layers(self, x_BTD: Tensor, told_BE: Tensor, begun: Begun) -> Tensor:
        """Tokens behind the last layer."""
        modulations, _ = self._modulations(told_BE)
        for layer, kept, modulation in zip(self.decoder_layers(), begun.layers, modulations, strict=True):
            joint = layer.attention.joint
            mask, rotation = (
                (begun.joint_mask, begun.joint_rotation) if joint else (begun.cross_mask, begun.cross_rotation)
            )
            x_BTD, _ = layer(x_BTD, kept, rotation, mask, modulation)
        return x_BTD

    def velocity(self, x_BAD: Tensor, told_BE: Tensor) -> Tensor:
        """`(B, A, U)`, of rows behind the last layer."""
        normed_BAD, _ = self.norm_out(x_BAD, self._modulations(told_BE)[1])
        velocity_BAU: Tensor = self.action_out(normed_BAD.to(self.action_out.weight.dtype))
        return -velocity_BAU if self.config.time_direction == "to-noise" else velocity_BAU

    def rows(self, x_BAU: Tensor, told_BE: Tensor) -> Tensor:
        """Tokens `(B, A, D)` of noisy rows."""
        rows_BAD: Tensor = self.action_in(x_BAU)
        if self.config.time == "adaptive":
            return rows_BAD
        told_BAD = told_BE[:, None].expand(len(rows_BAD), rows_BAD.shape[1], -1)
        fused_BAD: Tensor = self.time_out(F.silu(self.time_in(torch.cat([rows_BAD, told_BAD], dim=-1))))
        return fused_BAD

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.action_in.weight.device

    @property
    def _inside(self) -> torch.dtype:
        """Of tokens between layers: that of the layers' products, which `original_precision` makes a narrower one."""
        inside: torch.dtype = self.decoder_layers()[0].attention.to_out.weight.dtype
        return inside

    @property
    def subgoal_shape(self) -> tuple[int, ...]:
        """`(2, L, M, S, H)`; of any length, here of eight tokens."""
        prefix = self.config.prefix
        return 2, prefix.layers, prefix.heads, 8, prefix.head_dim

    def _with_state(
        self, token_B1D: Tensor, memory: PrefixMemory, mask: Tensor | None
    ) -> tuple[tuple[KeysValues, ...], Tensor | None]:
        """What rows read of prefix and state, and its mask: the state through all layers, seeing the prefix alone."""
        rotation = self.rotation(memory.length_B[:, None])
        start = self.rotation(torch.zeros_like(memory.length_B)[:, None])
        own_mask = None if mask is None else F.pad(mask, (0, 1))
        layers = []
        for layer, kept in zip(self.decoder_layers(), memory.layers, strict=True):
            joint = layer.attention.joint
            token_B1D, own = layer(
                token_B1D, kept, rotation if joint else start, own_mask if joint else mask, (None, None)
            )
            layers.append(kept if own is None else kept.followed_by(own))
        return tuple(layers), own_mask

    def _mask(self, mask: Tensor | None, kept: tuple[KeysValues, ...], index_A: Tensor) -> Tensor | None:
        """Of layers that attend to prefix and rows, `(B, 1, 1 or A, S + A)`, from the prefix's."""
        joint = [side.keys for layer, side in zip(self.decoder_layers(), kept, strict=True) if layer.attention.joint]
        count = len(index_A)
        if not joint or (mask is None and not self.config.causal):
            return None
        if mask is None:
            mask = joint[0].new_zeros(1, 1, 1, joint[0].shape[2], dtype=torch.float32)
        if not self.config.causal:
            return F.pad(mask, (0, count))
        own = cast(Tensor, additive(index_A[:, None] >= index_A)).expand(len(mask), 1, -1, -1)
        return torch.cat([mask.expand(-1, -1, count, -1), own], dim=-1)

    def _modulations(self, told_BE: Tensor) -> tuple[list[tuple[Tensor | None, Tensor | None]], Tensor | None]:
        """Of each layer's two norms, and of the last one; None where norms aren't adaptive."""
        if self.config.time == "fused":
            return [(None, None)] * self.config.depth, None
        parts = told_BE.chunk(2 * self.config.depth + 1, dim=-1)
        return list(zip(parts[:-1:2], parts[1:-1:2], strict=True)), parts[-1]

    def _norms(self) -> list[RMSNorm]:
        layers = ((layer.norm_attention, layer.norm_feed_forward) for layer in self.decoder_layers())
        return [*(norm for pair in layers for norm in pair), self.norm_out]

    def rotation(self, positions_BT: Tensor) -> Rotation:
        """Of keys and queries at these positions."""
        return Rotation.of(positions_BT, self.config.prefix.head_dim, self.config.rope_base)

    def decoder_layers(self) -> list[JointLayer]:
        """In order."""
        return [cast(JointLayer, layer) for layer in self.layers]
