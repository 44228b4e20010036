"""ACT's transformer: an encoder over latent, state and what is seen, a decoder with a query for each row.

Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware" (arXiv 2304.13705), section 4. Modules
are named as in LeRobot's `ACT`, so that such weights load as they are; a subgoal's tokens are ours.

Shape legend: B batch, A rows, U actions, X states, L latent, D width, K subgoal tokens, C their width, S tokens of the
encoder, F channels of a feature map, H W its size.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.actor.head_config import ActConfig

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class Seen(NamedTuple):
    """What stands in an encoder's sequence behind latent and state."""

    tokens_BSD: Tensor
    places_BSD: Tensor
    """Added wherever they are looked for."""
    mask_BS: Tensor
    """False where a token is padding."""


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each normed behind its sum."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        width = config.shape.width
        self.self_attn = nn.MultiheadAttention(width, config.shape.num_heads, batch_first=True)
        self.linear1 = nn.Linear(width, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, width)
        self.activation = _ACTIVATIONS[config.activation]
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x_BSD: Tensor, places_BSD: Tensor, padded_BS: Tensor | None = None) -> Tensor:
        """`(B, S, D)`; `padded` is True where a token must not be read."""
        asked_BSD = x_BSD + places_BSD
        read_BSD = self.self_attn(asked_BSD, asked_BSD, x_BSD, key_padding_mask=padded_BS, need_weights=False)[0]
        x_BSD = self.norm1(x_BSD + read_BSD)
        out: Tensor = self.norm2(x_BSD + self.linear2(self.activation(self.linear1(x_BSD))))
        return out


class DecoderLayer(nn.Module):
    """Queries that read each other, then the encoder."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        width = config.shape.width
        self.self_attn = nn.MultiheadAttention(width, config.shape.num_heads, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, config.shape.num_heads, batch_first=True)
        self.linear1 = nn.Linear(width, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, width)
        self.activation = _ACTIVATIONS[config.activation]
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(
        self, x_BAD: Tensor, rows_BAD: Tensor, encoded_BSD: Tensor, places_BSD: Tensor, padded_BS: Tensor
    ) -> Tensor:
        """`(B, A, D)`."""
        asked_BAD = x_BAD + rows_BAD
        x_BAD = self.norm1(x_BAD + self.self_attn(asked_BAD, asked_BAD, x_BAD, need_weights=False)[0])
        read_BAD = self.multihead_attn(
            x_BAD + rows_BAD,
            encoded_BSD + places_BSD,
            encoded_BSD,
            key_padding_mask=padded_BS,
            need_weights=False,
        )[0]
        x_BAD = self.norm2(x_BAD + read_BAD)
        out: Tensor = self.norm3(x_BAD + self.linear2(self.activation(self.linear1(x_BAD))))
        return out


class Encoder(nn.Module):
    """Layers, one after the other."""

    def __init__(self, config: ActConfig, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(depth))

    def forward(self, x_BSD: Tensor, places_BSD: Tensor, padded_BS: Tensor | None = None) -> Tensor:
        """`(B, S, D)`."""
        for layer in self.layers:
            x_BSD = layer(x_BSD, places_BSD, padded_BS)
        return x_BSD


class Decoder(nn.Module):
    """Layers and a last norm."""

    def __init__(self, config: ActConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.shape.width)

    def forward(
        self, x_BAD: Tensor, rows_BAD: Tensor, encoded_BSD: Tensor, places_BSD: Tensor, padded_BS: Tensor
    ) -> Tensor:
        """`(B, A, D)`."""
        for layer in self.layers:
            x_BAD = layer(x_BAD, rows_BAD, encoded_BSD, places_BSD, padded_BS)
        out: Tensor = self.norm(x_BAD)
        return out


class ActNetwork(nn.Module):
    """Rows from a latent, a state, and pictures' features or a subgoal."""

    def __init__(self, config: ActConfig, *, num_actions: int, num_states: int, subgoal_dim: int) -> None:
        super().__init__()
        width = config.shape.width
        self.config = config
        self.num_actions, self.num_states = num_actions, num_states
        self.vae_encoder = Encoder(config, config.vae_layers)
        self.vae_encoder_cls_embed = nn.Embedding(1, width)
        self.vae_encoder_robot_state_input_proj = nn.Linear(num_states, width)
        self.vae_encoder_action_input_proj = nn.Linear(num_actions, width)
        self.vae_encoder_latent_output_proj = nn.Linear(width, 2 * config.latent_dim)
        self.vae_encoder_pos_enc: Tensor
        self.register_buffer("vae_encoder_pos_enc", row_places(2 + config.horizon, width)[None])
        self.encoder = Encoder(config, config.encoder_layers)
        self.encoder_robot_state_input_proj = nn.Linear(num_states, width)
        self.encoder_latent_input_proj = nn.Linear(config.latent_dim, width)
        self.encoder_1d_feature_pos_embed = nn.Embedding(2, width)
        if config.feature_channels:
            self.encoder_img_feat_input_proj = nn.Conv2d(config.feature_channels, width, 1)
        self.subgoal_in = nn.Linear(subgoal_dim, width) if subgoal_dim else None
        self.age_in = nn.Linear(1, width) if subgoal_dim else None
        self.decoder = Decoder(config)
        self.decoder_pos_embed = nn.Embedding(config.horizon, width)
        self.action_head = nn.Linear(width, num_actions)

    def latent(self, state_BX: Tensor, actions_BAU: Tensor, is_real_BA: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance `(B, L)` of the latent that rows stand for, the real ones alone."""
        first_B1D = self.vae_encoder_cls_embed.weight.expand(len(state_BX), 1, -1)
        state_B1D = self.vae_encoder_robot_state_input_proj(state_BX)[:, None]
        tokens_BSD = torch.cat([first_B1D, state_B1D, self.vae_encoder_action_input_proj(actions_BAU)], dim=1)
        padded_BS = F.pad(~is_real_BA, (2, 0), value=False)
        told_BD = self.vae_encoder(tokens_BSD, self.vae_encoder_pos_enc.expand_as(tokens_BSD), padded_BS)[:, 0]
        mean_BL, log_variance_BL = self.vae_encoder_latent_output_proj(told_BD).chunk(2, dim=-1)
        return mean_BL, log_variance_BL

    def seen_in_features(self, features_BFHW: Tensor) -> Seen:
        """Tokens of a map of features, in raster order."""
        tokens_BSD = rearrange(self.encoder_img_feat_input_proj(features_BFHW), "b d h w -> b (h w) d")
        height, width = features_BFHW.shape[-2:]
        places_SD = picture_places(height, width, self.config.shape.width).to(tokens_BSD)
        counted_BS = torch.ones(tokens_BSD.shape[:2], dtype=torch.bool, device=tokens_BSD.device)
        return Seen(tokens_BSD, places_SD.expand_as(tokens_BSD), counted_BS)

    def seen_in_subgoal(self, subgoal_BKC: Tensor, mask_BK: Tensor, age_B: Tensor) -> Seen:
        """Tokens of a subgoal, its age added; without one there are none."""
        assert self.subgoal_in is not None
        assert self.age_in is not None
        tokens_BSD = self.subgoal_in(subgoal_BKC) + self.age_in(age_B[:, None])[:, None]
        places_SD = row_places(tokens_BSD.shape[1], self.config.shape.width, tokens_BSD.device).to(tokens_BSD)
        return Seen(tokens_BSD, places_SD.expand_as(tokens_BSD), mask_BK)

    def forward(self, latent_BL: Tensor, state_BX: Tensor, seen: Seen) -> Tensor:
        """Rows `(B, A, U)`."""
        batch = len(state_BX)
        own_BSD = torch.stack(
            [self.encoder_latent_input_proj(latent_BL), self.encoder_robot_state_input_proj(state_BX)], dim=1
        )
        tokens_BSD = torch.cat([own_BSD, seen.tokens_BSD], dim=1)
        own_places_BSD = self.encoder_1d_feature_pos_embed.weight.expand(batch, -1, -1)
        places_BSD = torch.cat([own_places_BSD, seen.places_BSD], dim=1)
        padded_BS = torch.cat([torch.zeros_like(seen.mask_BS[:, :1]).expand(-1, 2), ~seen.mask_BS], dim=1)
        encoded_BSD = self.encoder(tokens_BSD, places_BSD, padded_BS)
        rows_BAD = self.decoder_pos_embed.weight.expand(batch, -1, -1)
        decoded_BAD = self.decoder(torch.zeros_like(rows_BAD), rows_BAD, encoded_BSD, places_BSD, padded_BS)
        out: Tensor = self.action_head(decoded_BAD)
        return out


def row_places(count: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sines and cosines in turn `(count, width)`, of the attention paper."""
    index_D = torch.arange(width, device=device)
    place_S1 = torch.arange(count, dtype=torch.float64, device=device)[:, None]
    angle_SD = place_S1 / 10_000.0 ** (2 * (index_D // 2) / width)
    return torch.where(index_D % 2 == 0, angle_SD.sin(), angle_SD.cos()).float()


def picture_places(height: int, width: int, dim: int) -> Tensor:
    """Sines and cosines `(height * width, dim)` of the row, then the column, in raster order (DETR's)."""
    half = dim // 2
    frequency_D = 10_000.0 ** (2 * (torch.arange(half, dtype=torch.float32) // 2) / half)

    def waves(count: int) -> Tensor:
        place_S = torch.arange(1, count + 1, dtype=torch.float32) / (count + 1e-6) * 2 * math.pi
        angle_SD = place_S[:, None] / frequency_D
        return torch.stack([angle_SD[:, 0::2].sin(), angle_SD[:, 1::2].cos()], dim=-1).flatten(1)

    rows_HD, columns_WD = waves(height), waves(width)
    both = [rows_HD[:, None].expand(-1, width, -1), columns_WD[None].expand(height, -1, -1)]
    return torch.cat(both, dim=-1).flatten(0, 1)
