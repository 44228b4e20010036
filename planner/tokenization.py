"""Tokenizers of planners that are trained here: byte-level BPE, so no word is ever unknown."""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from dualsys.errors import CheckpointError
from dualsys.planner.backbone import IMAGE_TOKEN

FILES = ("tokenizer.json", "tokenizer_config.json")
"""Of a tokenizer: its words, its settings."""
_SENTENCEPIECE = "tokenizer.model"
SPECIAL = ("<pad>", "<bos>", "<eos>", IMAGE_TOKEN)


def train_tokenizer(
    sentences: Iterable[str], *, vocabulary_size: int = 512, marks: Sequence[str] = ()
) -> PreTrainedTokenizerBase:
    """Byte-level BPE over sentences, and a family's marks. Deterministic for the same sentences in the same order."""
    tokenizer = Tokenizer(models.BPE())
    cast(Any, tokenizer).pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    cast(Any, tokenizer).decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL, *marks],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    wrapped: PreTrainedTokenizerBase = cast(Any, PreTrainedTokenizerFast)(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=[IMAGE_TOKEN, *marks],
    )
    return wrapped


def extended_tokenizer(known: PreTrainedTokenizerBase, sentences: Iterable[str]) -> PreTrainedTokenizerBase:
    """A tokenizer that says what `known` says, and each new word of some sentences in one token of its own.

    Tokens keep their numbers, new ones follow: a model's word embedding only grows.
    """
    words = sorted({word for sentence in sentences for word in sentence.split()})
    new = [word for word in words if len(known.encode(word, add_special_tokens=False)) > 1]
    tokenizer = copy.deepcopy(known)
    tokenizer.add_tokens([AddedToken(word, single_word=True, lstrip=True, normalized=False) for word in new])
    return tokenizer


def load_tokenizer(folder: str | Path, *, only_here: bool = False) -> PreTrainedTokenizerBase:
    """A tokenizer saved with a checkpoint, or that of a pretrained model by name; code beside it is never run.

    Args:
        folder: Of its files, or its name.
        only_here: Whether no hub is asked: a name counts where its files were fetched before.

    Raises:
        CheckpointError: there is none, or its files make no sense: the one that doesn't is named.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(folder), trust_remote_code=False, local_files_only=only_here
        )
    # The two libraries raise whatever a file's values lead to, even plain `Exception`.
    except Exception as error:
        told = " ".join(str(error).split())
        if Path(folder).is_dir() and any((Path(folder) / name).is_file() for name in FILES):
            raise CheckpointError(
                f"{_malformed(Path(folder))} is no tokenizer's ({type(error).__name__}: {told}); copy it again"
            ) from error
        if Path(folder).is_dir() and not (Path(folder) / _SENTENCEPIECE).is_file():
            raise CheckpointError(f"no {', '.join(FILES)} or {_SENTENCEPIECE} in {folder}") from error
        raise CheckpointError(f"no tokenizer in {folder}: {told}") from error
    return tokenizer


def _malformed(folder: Path) -> Path:
    """Which of the files can't be read; the settings where the words can."""
    words, settings = (folder / name for name in FILES)
    try:
        Tokenizer.from_file(str(words))
    except Exception:
        return words if words.is_file() else settings
    return settings if settings.is_file() else words
