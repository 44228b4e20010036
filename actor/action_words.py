"""Rows of motion as words, and back: bins of single numbers, or FAST's compressed ones.

    bins   each number in one of 256 bins between its low and its high end (RT-2, arXiv 2307.15818; OpenVLA's ends are
           the 1st and 99th hundredth, arXiv 2406.09246, section 3.2)
    fast   a cosine transform along time, rounded, slow waves first, merged by byte-pair encoding (FAST,
           arXiv 2501.09747, algorithm 1)

Both clip to the ends' range first, in which rows lie in [-1, 1]. Nothing here raises on words: what makes no sense is
read as far as it goes.

Shape legend: A rows, U actions, S words.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from dualsys.actor.head_config import TokensConfig
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray

_DEFAULT_END = 3.0
"""Deviations from the mean, where no ends are known."""
_FIRST_LETTER = 0x100
"""Of letters that stand for rounded coefficients: beyond ASCII, so that none is white space."""
_LETTERS = 4096


class Read(NamedTuple):
    """What words were read as."""

    rows_AU: FloatArray
    whole: bool
    """False where there were too few or too many numbers: the rest counts as zero, or is left out."""


class ActionWords(Protocol):
    """To words and back."""

    @property
    def size(self) -> int:
        """Of the vocabulary."""
        ...

    @property
    def most(self) -> int:
        """Words of a chunk, at most."""
        ...

    @property
    def is_fixed(self) -> bool:
        """Whether every chunk has as many."""
        ...

    def write(self, rows_AU: FloatArray) -> list[int]:
        """Words of normalised rows."""
        ...

    def read(self, words_S: Sequence[int]) -> Read:
        """Rows of words."""
        ...


class Ends(NamedTuple):
    """Of each action, in normalised units."""

    low_U: FloatArray
    high_U: FloatArray

    def squeeze(self, rows_AU: FloatArray) -> FloatArray:
        """To [-1, 1], clipped."""
        squeezed: FloatArray = np.clip(2 * (rows_AU - self.low_U) / (self.high_U - self.low_U) - 1, -1.0, 1.0)
        return squeezed

    def spread(self, rows_AU: FloatArray) -> FloatArray:
        """Back."""
        spread: FloatArray = self.low_U + (rows_AU + 1) / 2 * (self.high_U - self.low_U)
        return spread


def ends_of(config: TokensConfig, num_actions: int) -> Ends:
    """The configuration's, or three deviations. Raises `ConfigError` for another number of actions."""
    low, high = (
        np.array(end or [sign * _DEFAULT_END] * num_actions, dtype=np.float64)
        for end, sign in ((config.low, -1), (config.high, 1))
    )
    if len(low) != num_actions or len(high) != num_actions or not (high > low).all():
        raise ConfigError(f"low and high are {len(low)} and {len(high)} ends in order of {num_actions} actions")
    return Ends(low, high)


class BinWords:
    """A word for each number, row by row."""

    is_fixed = True

    def __init__(self, config: TokensConfig, num_actions: int) -> None:
        self._ends = ends_of(config, num_actions)
        self.size = config.bins
        self.most = config.horizon * num_actions
        self._shape = (config.horizon, num_actions)

    def write(self, rows_AU: FloatArray) -> list[int]:
        """Bin of each number."""
        squeezed = self._ends.squeeze(rows_AU)
        bins = np.minimum(((squeezed + 1) / 2 * self.size).astype(np.int64), self.size - 1)
        return [int(word) for word in bins.ravel()]

    def read(self, words_S: Sequence[int]) -> Read:
        """Middle of each bin."""
        given = np.clip(np.array(words_S[: self.most], dtype=np.int64), 0, self.size - 1)
        middle = (self.size - 1) // 2
        padded = np.concatenate([given, np.full(self.most - len(given), middle)])
        squeezed = (padded.reshape(self._shape) + 0.5) / self.size * 2 - 1
        return Read(self._ends.spread(squeezed), len(words_S) == self.most)


class FastWords:
    """Cosine coefficients, rounded, as letters that byte-pair encoding merges. Word 0 ends a chunk."""

    is_fixed = False

    def __init__(self, config: TokensConfig, num_actions: int) -> None:
        if not config.merges:
            raise ConfigError("the tokenizer `fast` is fitted to data first: `fit_fast`, which `dualsys train` calls")
        self._ends = ends_of(config, num_actions)
        self._scale, self._offset = config.scale, config.offset
        self._shape = (config.horizon, num_actions)
        self._waves_AA = cosine_waves(config.horizon)
        self._merges: Any = Tokenizer.from_str(config.merges)
        self.size = self._merges.get_vocab_size() + 1
        self.most = config.max_words

    def write(self, rows_AU: FloatArray) -> list[int]:
        """Words, the end's among them; cut where there are more than a chunk may have."""
        letters = _letters(self._waves_AA @ self._ends.squeeze(rows_AU), self._scale, self._offset)
        words = [word + 1 for word in self._merges.encode(letters).ids]
        return [*words[: self.most - 1], 0]

    def read(self, words_S: Sequence[int]) -> Read:
        """Rows up to the end's word; coefficients that are missing are zero, ones too many are left out."""
        words = list(words_S)
        end = words.index(0) if 0 in words else len(words)
        letters = self._merges.decode([min(max(word, 1), self.size - 1) - 1 for word in words[:end]])
        count = self._shape[0] * self._shape[1]
        numbers = np.array([ord(letter) - _FIRST_LETTER - self._offset for letter in letters], dtype=np.float64)
        padded = np.concatenate([numbers[:count], np.zeros(max(0, count - len(numbers)))])
        squeezed = self._waves_AA.T @ (padded.reshape(self._shape) / self._scale)
        whole = len(numbers) == count and end < len(words)
        return Read(self._ends.spread(np.clip(squeezed, -1.0, 1.0)), whole)


def action_words(config: TokensConfig, num_actions: int) -> ActionWords:
    """Those that a configuration names. Raises `ConfigError` for ends that don't fit, or words that weren't fitted."""
    return BinWords(config, num_actions) if config.tokenizer == "bins" else FastWords(config, num_actions)


def fit_ends(config: TokensConfig, rows_NU: FloatArray) -> TokensConfig:
    """With each action's 1st and 99th hundredth over `(n, U)` normalised rows; one that never moves has some room."""
    low, high = np.quantile(rows_NU, [0.01, 0.99], axis=0)
    room = np.maximum(0.0, 0.1 - (high - low)) / 2
    return config.model_copy(update={"low": tuple(map(float, low - room)), "high": tuple(map(float, high + room))})


def fit_fast(config: TokensConfig, chunks_NAU: NDArray[np.floating[Any]]) -> TokensConfig:
    """With merges fitted to `(n, A, U)` normalised chunks, between the configuration's ends."""
    ends = ends_of(config, chunks_NAU.shape[2])
    waves_AA = cosine_waves(config.horizon)
    coefficients = [waves_AA @ ends.squeeze(chunk_AU) for chunk_AU in chunks_NAU.astype(np.float64)]
    offset = _LETTERS // 2  # room for coefficients that no data had, on both sides
    sentences = [_letters(part, config.scale, offset) for part in coefficients]
    merges = Tokenizer(models.BPE())
    cast(Any, merges).pre_tokenizer = pre_tokenizers.Sequence([])
    cast(Any, merges).decoder = decoders.Fuse()
    reach = int(np.ceil(config.scale * np.sqrt(config.horizon))) + 1
    alphabet = [chr(_FIRST_LETTER + offset + number) for number in range(-reach, reach + 1)]
    trainer = trainers.BpeTrainer(
        vocab_size=max(config.vocabulary, len(alphabet)),
        initial_alphabet=alphabet,
        show_progress=False,
        max_token_length=64,
    )
    merges.train_from_iterator(sentences, trainer)
    return config.model_copy(update={"merges": merges.to_str(), "offset": offset})


def cosine_waves(count: int) -> FloatArray:
    """The orthonormal cosine transform (DCT-II) as a matrix `(count, count)`: its transpose undoes it."""
    angle = np.pi / count * np.outer(np.arange(count), np.arange(count) + 0.5)
    waves: FloatArray = np.cos(angle) * np.sqrt(2.0 / count)
    waves[0] /= np.sqrt(2.0)
    return waves


def _letters(coefficients_AU: FloatArray, scale: float, offset: int) -> str:
    """One for each rounded coefficient: all actions of the slowest wave first."""
    rounded = np.clip(np.rint(coefficients_AU * scale).astype(np.int64) + offset, 0, _LETTERS - 1)
    return "".join(chr(_FIRST_LETTER + int(number)) for number in rounded.ravel())
