"""A Hugging Face vision-language model as a feature extractor: prompt in, hidden states out, with early exit.

transformers' classes are composed, never copied: the decoder is left by a forward hook that raises at the chosen layer,
which costs only the layers before it and gives the same bits as the full run.

Shape legend: B batch, S prompt length (image and text tokens), D hidden width, C channels, H height, W width.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerBase

from dualsys.errors import ConfigError, unknown_name
from dualsys.planner.config import VLMPlannerConfig

SUPPORTED = ("paligemma",)
"""Model types whose prompt layout is known here."""


class _Exit(Exception):
    def __init__(self, hidden_BSD: Tensor) -> None:
        super().__init__()
        self.hidden_BSD = hidden_BSD


class Backbone(nn.Module):
    """Prompt and image to hidden states `(B, S, D)`."""

    def __init__(self, model: nn.Module, *, exit_layer: int | None) -> None:
        super().__init__()
        config = cast(Any, model).config
        if config.model_type not in SUPPORTED:
            raise ConfigError(unknown_name("planner backbone of model type", config.model_type, SUPPORTED))
        self.model = model
        self.exit_layer = exit_layer
        self.width: int = config.text_config.hidden_size
        self.image_size: int = config.vision_config.image_size
        self.num_image_tokens: int = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
        self.image_token_id: int = config.image_token_id
        depth = len(self._decoder().layers)
        if exit_layer is not None and exit_layer > depth:
            raise ConfigError(f"exit_layer is {exit_layer}, the backbone's decoder has {depth} layers")

    def forward(self, pixels_BCHW: Tensor, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """Hidden states; with an exit layer those leaving that layer, else those after the decoder's last norm."""
        inner = cast(Any, self.model).model  # without the language head, which nobody reads here
        arguments = {
            "pixel_values": pixels_BCHW,
            "input_ids": input_ids_BS,
            "attention_mask": mask_BS,
            # Zeros mark the whole prompt as prefix. Left out, transformers attends causally under some backends.
            "token_type_ids": torch.zeros_like(input_ids_BS),
            "use_cache": False,
        }
        if self.exit_layer is None:
            hidden_BSD: Tensor = inner(**arguments).last_hidden_state
            return hidden_BSD
        with self._leaving_at(self.exit_layer):
            try:
                inner(**arguments)
            except _Exit as left:
                return left.hidden_BSD
        raise RuntimeError(f"decoder layer {self.exit_layer} was never reached")

    @contextmanager
    def _leaving_at(self, layer: int) -> Iterator[None]:
        def leave(_module: nn.Module, _inputs: object, output: object) -> None:
            raise _Exit(cast(Tensor, output[0] if isinstance(output, tuple) else output))

        handle = self._decoder().layers[layer - 1].register_forward_hook(leave)
        try:
            yield
        finally:
            handle.remove()

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    @property
    def word_embedding(self) -> nn.Embedding:
        """Rows by token id."""
        embedding: nn.Embedding = cast(Any, self.model).get_input_embeddings()
        return embedding

    def architecture(self) -> tuple[str, dict[str, Any]]:
        """Model type and the arguments that build it again without a hub."""
        arguments = json.loads(cast(Any, self.model).config.to_json_string(use_diff=False))
        for name in ("_name_or_path", "architectures", "transformers_version"):
            arguments.pop(name, None)
        return arguments.pop("model_type"), arguments

    def _decoder(self) -> Any:
        return cast(Any, self.model).get_decoder()


def build_backbone(config: VLMPlannerConfig, tokenizer: PreTrainedTokenizerBase) -> Backbone:
    """With fresh weights from `architecture`, or pretrained by name or folder.

    Raises:
        ConfigError: for a backbone that isn't supported or can't be had.
    """
    if config.architecture is None:
        return Backbone(_pretrained(config.backbone), exit_layer=config.exit_layer)
    if config.backbone not in SUPPORTED:
        raise ConfigError(unknown_name("planner backbone", config.backbone, SUPPORTED))
    architecture = _with_vocabulary(config.architecture, tokenizer)
    model_config = AutoConfig.for_model(config.backbone, **architecture)
    model: nn.Module = cast(Any, AutoModelForImageTextToText).from_config(model_config)
    return Backbone(model.float(), exit_layer=config.exit_layer)


def _pretrained(name: str) -> nn.Module:
    try:
        model: nn.Module = AutoModelForImageTextToText.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"backbone {name!r} could not be loaded: {error}. Give a folder that holds it, or set `architecture` to "
            f"build one of {', '.join(SUPPORTED)} with fresh weights"
        ) from error
    return model.float()


def _with_vocabulary(architecture: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Vocabulary size and special tokens come from the tokenizer where the architecture doesn't fix them."""
    image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    text = {"vocab_size": len(tokenizer), **special, **architecture["text_config"]}
    return {"image_token_id": image_token_id, **special, **architecture, "text_config": text}


IMAGE_TOKEN = "<image>"
