"""The prefix of the pi family and of SmolVLA: images and words through transformers' class, whose cache is read.

    prefix = [frame | image | frame] of each camera, words, state token, padding

All of it attends to all of it, padding aside; but a state token is seen by nothing before it. Positions count what is
no padding. Nothing of a prefix sees what an actor puts behind it, so it is run once, here, and not with every chunk.

Shape legend: B batch, C cameras, H W image, S prefix length, D width, L layers, N heads of keys, T words, X states.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, DynamicCache

from dualsys.errors import ConfigError
from dualsys.planner.prefix_config import PrefixPlannerConfig

MASKED = -2.3819763e38
"""Added to a score that must not be read (openpi's). Finite, so that a row of them is no NaN."""


class Embedded(NamedTuple):
    """A prefix before the decoder."""

    embedding_BSD: Tensor
    mask_BS: Tensor
    """False where it is padding."""
    readable_BSS: Tensor
    """True where a token (second axis) reads another (third)."""

    @property
    def positions_BS(self) -> Tensor:
        """Place of each token among those that count."""
        return self.mask_BS.cumsum(dim=1) - 1


class Prefix(NamedTuple):
    """A prefix behind the decoder."""

    keys_LBNSH: tuple[Tensor, ...]
    """Of each layer, their positions turned in."""
    values_LBNSH: tuple[Tensor, ...]
    mask_BS: Tensor
    hidden_BSD: Tensor
    """Behind the last norm."""


class PrefixNetwork(nn.Module):
    """Vision-language model and, where there is one, the projector of the state: what is trained and saved."""

    def __init__(self, config: PrefixPlannerConfig) -> None:
        super().__init__()
        self.config = config
        self.model = _build(config)
        width = int(config.architecture["text_config"]["hidden_size"])
        self.state_in = nn.Linear(cast(Any, config.state).padded, width) if config.state_token else None

    def forward(
        self,
        images_CBCHW: Sequence[Tensor],
        seen_CB: Sequence[Tensor],
        tokens_BT: Tensor,
        told_BT: Tensor,
        state_BX: Tensor | None = None,
    ) -> Prefix:
        """Keys and values of each layer.

        Args:
            images_CBCHW: Of each camera, in [-1, 1].
            seen_CB: Of each camera, False where there is no image.
            tokens_BT: Words, padded.
            told_BT: False where a word is padding.
            state_BX: Normalised and padded; for a prefix with a state token.
        """
        return self.decode(self.embed(images_CBCHW, seen_CB, tokens_BT, told_BT, state_BX))

    def embed(
        self,
        images_CBCHW: Sequence[Tensor],
        seen_CB: Sequence[Tensor],
        tokens_BT: Tensor,
        told_BT: Tensor,
        state_BX: Tensor | None = None,
    ) -> Embedded:
        """What the decoder reads; arguments as of `forward`."""
        parts: list[tuple[Tensor, Tensor]] = []
        whole_B = torch.ones_like(told_BT[:, 0], dtype=torch.bool)
        before, behind = self.config.image_frame
        for image_BCHW, seen_B in zip(images_CBCHW, seen_CB, strict=True):
            parts += self._framing(before, whole_B)
            parts.append(_spread(self._see(image_BCHW), seen_B))
            parts += self._framing(behind, whole_B)
        parts.append((self._words(tokens_BT, framing=False), told_BT.bool()))
        block = sum(part.shape[1] for part, _ in parts)
        if self.state_in is not None:
            if state_BX is None:
                raise ValueError("this prefix has a token of the state and needs it")
            parts.append(_spread(self.state_in(state_BX)[:, None], whole_B))
        padding = self.config.padded_length - sum(part.shape[1] for part, _ in parts)
        if padding > 0:
            parts.append(_spread(parts[0][0].new_zeros(len(whole_B), padding, parts[0][0].shape[2]), ~whole_B))
        embedding_BSD, mask_BS = (torch.cat(side, dim=1) for side in zip(*parts, strict=True))
        index_S = torch.arange(mask_BS.shape[1], device=mask_BS.device)
        earlier_SS = (index_S[:, None] >= block) | (index_S < block)
        return Embedded(embedding_BSD, mask_BS, mask_BS[:, :, None] & mask_BS[:, None] & earlier_SS)

    def decode(self, embedded: Embedded) -> Prefix:
        """Through the decoder."""
        decoder = self._decoder
        cache = DynamicCache(config=decoder.config)
        mask_BSS = torch.zeros(
            embedded.readable_BSS.shape, dtype=embedded.embedding_BSD.dtype, device=embedded.mask_BS.device
        ).masked_fill_(~embedded.readable_BSS, MASKED)
        hidden_BSD = decoder(
            inputs_embeds=embedded.embedding_BSD,
            attention_mask=mask_BSS[:, None],
            position_ids=embedded.positions_BS,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        keys, values = zip(*((layer.keys, layer.values) for layer in cast(Any, cache).layers), strict=True)
        return Prefix(keys, values, embedded.mask_BS, hidden_BSD)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    @property
    def _decoder(self) -> Any:
        model = cast(Any, self.model)
        return model.language_model if self.config.family == "paligemma" else model.text_model

    def _see(self, image_BCHW: Tensor) -> Tensor:
        model = cast(Any, self.model)
        if self.config.family == "paligemma":
            tokens_BSD: Tensor = model.multi_modal_projector(model.vision_tower(image_BCHW).last_hidden_state)
        else:
            tokens_BSD = model.connector(model.vision_model(pixel_values=image_BCHW).last_hidden_state)
        return tokens_BSD * tokens_BSD.shape[-1] ** 0.5 if self.config.scale_embeddings else tokens_BSD

    def _words(self, tokens_BT: Tensor, *, framing: bool) -> Tensor:
        """Embeddings. Those of an image's frame are left as they are: LeRobot doesn't scale them."""
        words_BTD: Tensor = self._decoder.get_input_embeddings()(tokens_BT)
        scaled = self.config.scale_embeddings and not framing
        return words_BTD * words_BTD.shape[-1] ** 0.5 if scaled else words_BTD

    def _framing(self, tokens: Sequence[int], whole_B: Tensor) -> list[tuple[Tensor, Tensor]]:
        if not tokens:
            return []
        tokens_BT = torch.tensor(tokens, device=whole_B.device).expand(len(whole_B), -1)
        return [_spread(self._words(tokens_BT, framing=True), whole_B)]


def _spread(tokens_BSD: Tensor, counts_B: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and a mask of as many, the same for each."""
    return tokens_BSD, counts_B.bool()[:, None].expand(-1, tokens_BSD.shape[1])


def _build(config: PrefixPlannerConfig) -> nn.Module:
    """With fresh weights. Raises `ConfigError` for more layers than there are."""
    architecture = {**config.architecture}
    text = {**architecture["text_config"]}
    depth = int(text["num_hidden_layers"])
    layers = config.num_layers or depth
    if layers > depth:
        raise ConfigError(f"num_layers is {layers}, the {config.family}'s decoder has {depth}")
    text["num_hidden_layers"] = layers
    architecture["text_config"] = text
    made = AutoConfig.for_model(config.family, **architecture)
    model: nn.Module = cast(Any, AutoModel).from_config(made, attn_implementation=config.attention)
    return model.float()
