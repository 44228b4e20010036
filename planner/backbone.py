"""A Hugging Face vision-language model as a feature extractor: prompt in, hidden states out, with early exit.

transformers' classes are composed, never copied: the decoder is left behind the chosen layer (`early_exit.py`), which
costs only the layers up to it and gives the same bits as the full run. What differs from family to family is in
`families.py`.

Shape legend: B batch, S prompt length (image and text tokens), D hidden width, C channels, H height, W width.
"""

import json
import re
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, DynamicCache, PreTrainedTokenizerBase

from dualsys.embodiment import PrefixSpec
from dualsys.errors import ConfigError, some_of
from dualsys.planner.config import VLMPlannerConfig
from dualsys.planner.early_exit import output_of
from dualsys.planner.families import Family, Mark, family_of
from dualsys.planner.tiny_architectures import TINY, VARIANTS, tiny_architecture

TINY_IMAGE_PX = 96
"""Side of the pictures of a family's tiny architecture, where nothing else is said."""
_UNREAD = re.compile(r"lm_head\.|\.vision_(?:tower|model)\.(?:vision_model\.)?head\.")
"""Weights of a model that nobody reads here: heads of words, and of pictures as a whole."""


class Backbone(nn.Module):
    """Prompt and image to hidden states `(B, S, D)`."""

    def __init__(self, model: nn.Module, *, exit_layer: int | None, image_size: int | None = None) -> None:
        super().__init__()
        config = cast(Any, model).config
        self.family: Family = family_of(config.model_type)
        self.model = model
        self.exit_layer = exit_layer
        self.width: int = config.text_config.hidden_size
        self.image_size: int = self.family.image_size(config, image_size)
        self.image_side: int = self.image_size // self.family.stride(config)
        """Tokens in a row of the picture, and rows."""
        self.num_image_tokens: int = self.image_side**2
        self.image_token_id: int = config.image_token_id
        mean, deviation = (torch.tensor(channels)[:, None, None] for channels in self.family.scale(config))
        # From [-1, 1] at once: (x + 1) / 2, less the mean, over the deviation.
        self.gain_C11: Tensor
        self.offset_C11: Tensor
        self.register_buffer("gain_C11", 0.5 / deviation, persistent=False)
        self.register_buffer("offset_C11", (0.5 - mean) / deviation, persistent=False)
        depth = len(self._decoder().layers)
        if exit_layer is not None and exit_layer > depth:
            raise ConfigError(f"exit_layer is {exit_layer}, the backbone's decoder has {depth} layers")

    def forward(self, pixels_BCHW: Tensor, input_ids_BS: Tensor, mask_BS: Tensor) -> Tensor:
        """Hidden states; with an exit layer those leaving that layer, else those after the decoder's last norm.

        What a model adds behind a layer, as Qwen3-VL its deepstack features, isn't in them: `hidden_states` of
        transformers are the same, but for the last layer's, which are behind the norm there.

        Args:
            pixels_BCHW: Squares of `image_size`, in [-1, 1]; `(B, I, C, H, W)` for several pictures a prompt.
            input_ids_BS: Prompts that begin as `prompt_head` does, padded behind.
            mask_BS: 0 where a prompt is padding.
        """
        arguments = self._arguments(pixels_BCHW, input_ids_BS, mask_BS) | {"use_cache": False}
        return self._run(arguments)

    def keys_values(
        self, pixels_BCHW: Tensor, input_ids_BS: Tensor, mask_BS: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Keys, positions turned in, and values of each layer that runs, `(B, N, S, H)`; arguments as of `forward`.

        Raises:
            ConfigError: for layers that keep none.
        """
        self.prefix_spec()
        cache = DynamicCache()
        self._run(self._arguments(pixels_BCHW, input_ids_BS, mask_BS) | {"use_cache": True, "past_key_values": cache})
        layers = cast(Any, cache).layers[: self.num_layers]
        return tuple(layer.keys for layer in layers), tuple(layer.values for layer in layers)

    def _run(self, arguments: dict[str, Any]) -> Tensor:
        inner = cast(Any, self.model).model  # without the language head, which nobody reads here
        if self.exit_layer is None:
            hidden_BSD: Tensor = inner(**arguments).last_hidden_state
            return hidden_BSD
        return output_of(self._decoder().layers[self.exit_layer - 1], lambda: inner(**arguments))

    def _arguments(self, pixels_BCHW: Tensor, input_ids_BS: Tensor, mask_BS: Tensor) -> dict[str, Any]:
        if pixels_BCHW.ndim == 5:
            pixels_BCHW = pixels_BCHW.flatten(0, 1)
        scaled_BCHW = pixels_BCHW * self.gain_C11 + self.offset_C11
        return {
            "input_ids": input_ids_BS,
            "attention_mask": mask_BS,
            **self.family.pixels(scaled_BCHW, cast(Any, self.model).config),
            **self.family.kinds(input_ids_BS == self.image_token_id),
        }

    def prompt_head(self, tokenizer: PreTrainedTokenizerBase, *, pictures: int = 1) -> list[int]:
        """Tokens of a prompt up to its words: the beginning, the pictures' places, the family's marks.

        Raises:
            ConfigError: for a tokenizer without one of the marks.
        """
        begin = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
        placed = self.picture_place(tokenizer) * pictures
        return [*placed, *begin] if self.family.begins_behind_image else [*begin, *placed]

    def picture_place(self, tokenizer: PreTrainedTokenizerBase) -> list[int]:
        """Tokens that stand for one picture, marks included. Raises as `prompt_head` does."""
        family, config = self.family, cast(Any, self.model).config
        row = [self.image_token_id] * self.image_side
        rows_end = [] if family.row_break is None else [_number(family.row_break, tokenizer, config)]
        picture = (row + rows_end) * (self.image_side - 1) + row
        before, behind = (
            [_number(mark, tokenizer, config) for mark in marks] for marks in (family.before, family.behind)
        )
        return [*before, *picture, *behind]

    @property
    def num_layers(self) -> int:
        """Layers of the decoder that run."""
        return self.exit_layer or len(self._decoder().layers)

    def prefix_spec(self) -> PrefixSpec:
        """Shape of the keys and values of the layers that run. Raises `ConfigError` where one keeps none."""
        text = cast(Any, self.model).config.text_config
        kinds = list(getattr(text, "layer_types", None) or [])[: self.num_layers]
        without = sorted({kind for kind in kinds if not kind.endswith("attention") or kind.startswith("linear")})
        if without:
            raise ConfigError(
                f"cut `prefix`: layers of kind {', '.join(without)} keep no keys and values; take `readout` or "
                "`features`"
            )
        own = text.num_hidden_layers - getattr(text, "num_kv_shared_layers", 0)
        if self.num_layers > own:
            raise ConfigError(
                f"cut `prefix`: layers {own} and up share keys and values of lower ones; take an exit_layer of {own} "
                "or less, `readout` or `features`"
            )
        shapes = [_keys_shape(text, layer) for layer in range(self.num_layers)]
        alike = next((layer for layer, shape in enumerate(shapes) if shape != shapes[0]), None)
        if alike is not None:
            raise ConfigError(
                f"cut `prefix`: keys are {shapes[0]} (heads, width) below layer {alike} and {shapes[alike]} in it; "
                f"take an exit_layer of {alike} or less, `readout` or `features`"
            )
        heads, head_dim = shapes[0]
        return PrefixSpec(layers=self.num_layers, heads=heads, head_dim=head_dim)

    def tune_last_layers(self, count: int) -> None:
        """Freeze all but the last `count` layers that run of the decoder. Raises `ConfigError` for fewer."""
        layers = self._decoder().layers[: self.exit_layer]
        if count > len(layers):
            raise ConfigError(f"tune_layers is {count}, {len(layers)} layers of the backbone's decoder run")
        self.requires_grad_(False)
        for layer in layers[len(layers) - count :]:
            layer.requires_grad_(True)

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


def _keys_shape(text: Any, layer: int) -> tuple[int, int]:
    """Heads of keys and their width in a layer; transformers of before `per_layer_config` knew one for all."""
    own = text.per_layer_config[layer] if hasattr(text, "per_layer_config") else text
    return own.num_key_value_heads, getattr(own, "head_dim", None) or own.hidden_size // own.num_attention_heads


def build_backbone(config: VLMPlannerConfig, tokenizer: PreTrainedTokenizerBase) -> Backbone:
    """With fresh weights from `architecture` or a family's tiny one, or pretrained by name or folder.

    Raises:
        ConfigError: for a backbone that isn't supported or can't be had.
    """
    if config.architecture is None and config.backbone not in TINY:
        return Backbone(_pretrained(config.backbone), exit_layer=config.exit_layer, image_size=config.image_size)
    model_type = VARIANTS.get(config.backbone, config.backbone)
    family = family_of(model_type)
    architecture, image_size = config.architecture, config.image_size
    if architecture is None:
        image_size = image_size or TINY_IMAGE_PX
        architecture = tiny_architecture(config.backbone, image_size)
    made = AutoConfig.for_model(model_type, **_with_vocabulary(architecture, family, tokenizer))
    model: nn.Module = cast(Any, AutoModelForImageTextToText).from_config(made)
    return Backbone(model.float(), exit_layer=config.exit_layer, image_size=image_size)


def _pretrained(name: str) -> nn.Module:
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"backbone {name!r} could not be loaded: {error}. Give a folder that holds it, or one of "
            f"{', '.join(TINY)}, which are built small, with fresh weights"
        ) from error
    family_of(config.model_type).scale(config)  # refused before gigabytes are read
    model: nn.Module
    try:
        model, loaded = cast(Any, AutoModelForImageTextToText).from_pretrained(
            name, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigError(f"backbone {name!r} could not be loaded: {error}") from error
    # transformers draws at random what isn't there or doesn't fit, and says so in passing.
    drawn = (*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"]))
    if wrong := sorted(key for key in drawn if not _UNREAD.search(key)):
        raise ConfigError(
            f"backbone {name!r}: {len(wrong)} of its weights are missing or of another shape: {some_of(wrong, 3)}; "
            "copy the whole folder again"
        )
    return model.float()


def _with_vocabulary(
    architecture: dict[str, Any], family: Family, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """Vocabulary size and special tokens come from the tokenizer where the architecture doesn't fix them."""
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    marks = {mark.field: _number(mark, tokenizer, None) for mark in family.marks if mark.field}
    image = {"image_token_id": tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)}
    text = {"vocab_size": len(tokenizer), **special, **architecture["text_config"]}
    if "hidden_size_per_layer_input" in text:
        text = {"vocab_size_per_layer_input": text["vocab_size"], **text}
    return {**image, **marks, **special, **architecture, "text_config": text}


def _number(mark: Mark, tokenizer: PreTrainedTokenizerBase, config: Any) -> int:
    """Of a mark's token: the configuration's, where that knows it, else the tokenizer's."""
    known = getattr(config, mark.field, None) if mark.field else None
    if known is not None:
        return int(known)
    number = tokenizer.convert_tokens_to_ids(mark.token)
    if not isinstance(number, int) or number == tokenizer.unk_token_id:
        raise ConfigError(
            f"the tokenizer has no token {mark.token!r}, which this family puts around a picture; "
            f"train it with `marks`, or take the model's own"
        )
    return number


def marks_of(backbone: str) -> tuple[str, ...]:
    """Tokens that a tokenizer for a family's tiny architecture needs. Raises `ConfigError` for an unknown family."""
    return tuple(mark.token for mark in _family_by_name(backbone).marks)


def takes_any_size(backbone: str) -> bool:
    """Whether a family's encoder takes pictures of any size. Raises `ConfigError` for an unknown family."""
    return _family_by_name(backbone).takes_any_size


def _family_by_name(backbone: str) -> Family:
    return family_of(VARIANTS.get(backbone, backbone))


IMAGE_TOKEN = "<image>"
