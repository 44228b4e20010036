"""Sizes in a published config.json, held against what can be: said in its words, before anything is built of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from dualsys.app.importing.family import Published
from dualsys.errors import CheckpointError

_MOST = 10**7
"""Of any width, and of words."""
_MOST_ROWS = 1024
"""Of a chunk: as many places as GR00T's actors have; pi0 and SmolVLA have 50 rows."""
_MOST_STEPS = 1000
"""From noise to action: as many as diffusion policies were trained with; pi0 takes 10."""
_LAYERS = ("depth", "num_layers", "num_hidden_layers", "num_vlm_layers", "select_layer")
_ROWS = ("chunk_size", "action_horizon", "chunk")
_STEPS = ("num_inference_steps", "num_steps", "steps", "num_inference_timesteps")
_NUMBERS = ("shape", "max_dim", "action_dim", "max_action_dim", "max_state_dim")
_MOST_NUMBERS = 16_384
"""Of a state or an action, and pixels along the side of a picture."""
_PREFIX = "prefix_length"
_MOST_PREFIX = 8192
"""Tokens that a prefix may be padded to: as many as PaliGemma has places. -1: none."""
_WIDTHS = (
    *("width", "mlp_dim", "num_heads", "num_kv_heads", "head_dim"),
    *("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "attention_head_dim"),
    *("image_size", "patch_size", "scale_factor", "shown_size", "output_dim"),
    *("input_embedding_dim", "backbone_embedding_dim"),
    *("vocab", "vocab_size", "state_history_length"),
    *("tokenizer_max_length", "max_num_embodiments", "num_timestep_buckets", "max_seq_len"),
)
_MAY_BE_NONE = ("num_layers",)
"""Layers that may be 0: GR00T's own attention over features is left out so."""


def require_sizes(published: Published) -> None:
    """Raise `CheckpointError` for a size in config.json that is no whole number, or beyond what can be."""
    tensors = len(published.files.tensors)
    for path, value in _leaves(published.config, ()):
        told = _bounds(path[-1], tensors)
        if told is None or value is None:
            continue
        low, high, why = told
        if not all(_is_whole(size) and low <= size <= high for size in (value if isinstance(value, list) else [value])):
            raise CheckpointError(
                f"{published.folder}/config.json: {'.'.join(path)} is {value!r}, expected a whole number from {low} to "
                f"{high}{why}"
            )


def _is_whole(size: Any) -> bool:
    return isinstance(size, int | float) and not isinstance(size, bool) and size == size // 1


def _bounds(name: str, tensors: int) -> tuple[int, int, str] | None:
    if name in _LAYERS:
        return int(name not in _MAY_BE_NONE), tensors, f" (as many tensors as its files hold: {tensors})"
    if name in _ROWS:
        return 1, _MOST_ROWS, ""
    if name in _STEPS:
        return 1, _MOST_STEPS, ""
    if name in _NUMBERS:
        return 1, _MOST_NUMBERS, ""
    if name == _PREFIX:
        return -1, _MOST_PREFIX, ""
    return (1, _MOST, "") if name in _WIDTHS else None


def _leaves(config: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and _bounds(name, 0) is None:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
