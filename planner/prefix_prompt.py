"""Words of a prefix: the pi family's prompts and SmolVLA's, and pi0.5's state in 256 bins."""

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from dualsys.messages import FloatArray
from dualsys.planner.prefix_config import PrefixPlannerConfig, StateConfig

NUM_BINS = 256


def normalized_state(state: FloatArray, config: StateConfig) -> FloatArray:
    """`(padded,)`: a robot's state as the model is told it, with zeros behind."""
    told: FloatArray = np.zeros(config.padded)
    told[: len(config.offset)] = (state - np.array(config.offset)) / np.array(config.scale)
    return told


def state_bins(state: FloatArray) -> list[int]:
    """Bin of each number among 256 even ones over [-1, 1]; below it -1, above it 255, as openpi counts."""
    edges = np.linspace(-1.0, 1.0, NUM_BINS + 1)[:-1]
    return [int(index) for index in np.digitize(state, bins=edges) - 1]


def prompt_text(instruction: str, state: FloatArray | None, config: PrefixPlannerConfig) -> str:
    """What the tokenizer is given.

    `words`: the instruction and a newline. `words-and-state`: pi0.5's, `Task: ..., State: 128 127 ...;` and `Action:`.
    """
    if config.prompt == "words":
        words = _tidied(instruction) if _tidies(config) else instruction
        return words if words.endswith("\n") else f"{words}\n"
    if state is None:
        raise ValueError("this prompt tells the state and needs it")
    told = " ".join(map(str, state_bins(state)))
    return f"Task: {_tidied(instruction)}, State: {told};\nAction: "


def prompt_tokens(text: str, tokenizer: PreTrainedTokenizerBase, config: PrefixPlannerConfig) -> list[int]:
    """Tokens of a text, cut at the most there may be. The newline behind tidied words is a token of its own."""
    parts = [text]
    if config.prompt == "words" and _tidies(config):
        parts = [text[:-1], "\n"]
    tokens: list[int] = [int(tokenizer.bos_token_id)] if config.begin else []
    for part in parts:
        tokens += tokenizer.encode(part, add_special_tokens=False)
    return tokens[: config.max_text_tokens]


def padded_prompts(rows: Sequence[Sequence[int]], length: int) -> tuple[list[list[int]], list[list[bool]]]:
    """Tokens with zeros behind, and which of them count."""
    tokens = [[*row, *[0] * (length - len(row))] for row in rows]
    return tokens, [[index < len(row) for index in range(length)] for row in rows]


def _tidies(config: PrefixPlannerConfig) -> bool:
    return config.begin and config.tidy


def _tidied(instruction: str) -> str:
    return instruction.strip().replace("_", " ").replace("\n", " ")
