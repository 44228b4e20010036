"""`LanguageHead`: a planner says the step it is at, in words, and how far it is.

    instruction, step before -> WordDecoder   -> words of the next step (greedy, bounded)
    subgoal, state           -> ProgressSense -> progress, and whether the step is done

Both stand beside a frozen planner: its latents keep their bits. `subtask_planner.py` has the flow.

Shape legend: B batch, S tokens read, T tokens written, V vocabulary, E width of the backbone's word embedding.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, TokenArray
from dualsys.planner.progress_sense import ProgressSense
from dualsys.planner.subtask_config import SubtaskConfig
from dualsys.planner.word_decoder import INSTRUCTION, PADDING, STEP, WordDecoder

_IGNORED = -100
"""Of what is to be said: nothing."""


class Reading(NamedTuple):
    """What is read before words are written, padded."""

    ids_BS: Tensor
    kind_BS: Tensor
    place_BS: Tensor


class LanguageHead(nn.Module):
    """The trained parts, the words they are made of, and the tokenizer.

    Args:
        config: Sizes, bounds and threshold.
        words_VE: Weights of the backbone's word embedding: read, not trained, not saved.
        tokenizer: The planner's. Where it has no token for a beginning, or pads with that of the end, others stand in.

    Raises:
        ConfigError: it has none for beginning, end and padding.
    """

    def __init__(self, config: SubtaskConfig, words_VE: Tensor, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.config, self.tokenizer = config, tokenizer
        self.words = WordDecoder(config)
        self.sense = ProgressSense(config)
        self.words_VE: Tensor
        self.register_buffer("words_VE", words_VE.detach().clone(), persistent=False)
        marks = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        known = [int(number) for number in marks if number is not None]
        if not known:
            raise ConfigError("the planner's tokenizer has no token for beginning, end or padding; words need one")
        self._begin, self._end, self._pad = (known[0] if number is None else int(number) for number in marks)

    def reading(self, instructions: Sequence[str], steps: Sequence[str]) -> Reading:
        """Tokens of instructions and of the steps before; `""`: there was none yet."""
        rows = []
        for instruction, step in zip(instructions, steps, strict=True):
            told = [self._begin, *self._ids(instruction)[: self.config.max_instruction_tokens]]
            before = [self._begin, *self._ids(step)[: self.config.max_step_tokens]]
            rows.append((told, before))
        longest = max(len(told) + len(before) for told, before in rows)
        ids, kinds, places = [], [], []
        for told, before in rows:
            rest = longest - len(told) - len(before)
            ids.append([*told, *before, *[self._pad] * rest])
            kinds.append([INSTRUCTION] * len(told) + [STEP] * len(before) + [PADDING] * rest)
            places.append([*range(len(told)), *range(len(before)), *[0] * rest])
        device = self.words_VE.device
        return Reading(*(torch.tensor(rows, device=device) for rows in (ids, kinds, places)))

    def writing(self, steps: Sequence[str]) -> Tensor:
        """Ids `(B, T)` of steps: beginning, words, end, padding."""
        rows = [[self._begin, *self._ids(step)[: self.config.max_step_tokens], self._end] for step in steps]
        longest = max(map(len, rows))
        return torch.tensor([[*row, *[self._pad] * (longest - len(row))] for row in rows], device=self.words_VE.device)

    def loss(self, instructions: Sequence[str], before: Sequence[str], steps: Sequence[str]) -> Tensor:
        """Mean negative log-likelihood a token of the steps' words."""
        ids_BT = self.writing(steps)
        logits_BTV = self._logits(self.reading(instructions, before), ids_BT[:, :-1])
        said_BT = ids_BT[:, 1:].masked_fill(self._behind_end(ids_BT), _IGNORED)
        return F.cross_entropy(logits_BTV.flatten(0, 1), said_BT.flatten(), ignore_index=_IGNORED)

    @torch.inference_mode()
    def log_likelihoods(self, instruction: str, before: str, steps: Sequence[str]) -> FloatArray:
        """Natural logarithm of the probability of each of some steps, to its end, after `before`."""
        ids_BT = self.writing(steps)
        reading = self.reading([instruction] * len(steps), [before] * len(steps))
        logs_BTV = self._logits(reading, ids_BT[:, :-1]).double().log_softmax(-1)
        said_BT = logs_BTV.gather(-1, ids_BT[:, 1:, None])[..., 0]
        total: FloatArray = said_BT.masked_fill(self._behind_end(ids_BT), 0.0).sum(-1).cpu().numpy()
        return total

    @torch.inference_mode()
    def next_step(self, instruction: str, before: str) -> str | None:
        """Words of the step after `before`, greedily; `""`: there is none. None: it took longer than allowed."""
        started_s, allowed_s = time.thread_time(), self.config.max_seconds
        reading = self.reading([instruction], [before])
        read_BSW = self._read(reading)
        ids = [self._begin]
        for _ in range(self.config.max_step_tokens):
            if allowed_s is not None and time.thread_time() - started_s > allowed_s:
                return None
            written_BTE = self.words_VE[torch.tensor([ids], device=self.words_VE.device)]
            logits_V = self.words.write(read_BSW, reading.kind_BS, written_BTE)[0, -1]
            ids.append(int(logits_V.argmax()))
            if ids[-1] == self._end:
                break
        return self._text(ids[1:])

    @torch.inference_mode()
    def progress(
        self, tokens_KC: TokenArray, state_X: FloatArray, velocity_X: FloatArray, since_s: float
    ) -> tuple[float, float]:
        """Share of the step that lies behind, and the probability that it is done, both in [0, 1]."""
        parts = (tokens_KC, state_X, velocity_X, np.array(since_s))
        device = self.words_VE.device
        logits_2 = self.sense(*(torch.from_numpy(np.asarray(part)).float()[None].to(device) for part in parts))[0]
        behind, done = logits_2.sigmoid().tolist()
        return behind, done

    def _behind_end(self, ids_BT: Tensor) -> Tensor:
        """`(B, T - 1)`: which tokens behind the beginning are padding, by their place: it may be the end's token."""
        is_end_BT = (ids_BT[:, 1:] == self._end).long()
        return is_end_BT.cumsum(dim=1) > is_end_BT

    def _logits(self, reading: Reading, ids_BT: Tensor) -> Tensor:
        return self.words.write(self._read(reading), reading.kind_BS, self.words_VE[ids_BT])

    def _read(self, reading: Reading) -> Tensor:
        return self.words.read(self.words_VE[reading.ids_BS], reading.kind_BS, reading.place_BS)

    def _text(self, ids: Sequence[int]) -> str:
        """Words of some ids. An added token has swallowed the space before it, and `decode` doesn't give it back.

        Special tokens are no words: one that stands for an image would ask the planner for one more.
        """
        added = self.tokenizer.added_tokens_decoder
        special = {self._begin, self._end, self._pad} | {i for i, token in added.items() if token.special}
        pieces = [f" {added[i].content}" if i in added else self.tokenizer.decode([i]) for i in ids if i not in special]
        return " ".join("".join(map(str, pieces)).split())

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text.strip(), add_special_tokens=False) if text.strip() else []
        return ids
