"""Rows word for word: a causal transformer reads subgoal and state, then says one word after the other, greedily.

The transformer is transformers' Llama. A chunk has a bounded number of words; what can't be read as rows is read as far
as it goes, never raised: it is counted (`unreadable`) and logged, the first such chunk, the tenth, the hundredth.

Shape legend: B N batch, A action rows, U actions, X states, K subgoal tokens, C their width, D width, S words,
V vocabulary.
"""

import logging
from typing import Any

import numpy as np
import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache, LlamaConfig, LlamaModel

from dualsys.actor.action_expert import Condition
from dualsys.actor.action_words import ActionWords, action_words
from dualsys.actor.head_config import TokensConfig
from dualsys.actor.heads import Draws, held

_LOGGER = logging.getLogger(__name__)
_NOT_ASKED = -100
"""Of words behind a chunk's end."""
_TOLD = [10**power for power in range(12)]
"""Numbers of unreadable chunks that are logged: the more there were, the seldomer."""


class TokenHead(nn.Module):
    """Greedy, bounded, causal."""

    def __init__(
        self, config: TokensConfig, *, num_actions: int, num_states: int, num_subgoal_tokens: int, subgoal_dim: int
    ) -> None:
        super().__init__()
        shape = config.shape
        self.config = config
        self.num_actions, self.num_states = num_actions, num_states
        self.words: ActionWords = action_words(config, num_actions)
        self.unreadable = 0
        """Chunks so far that were no rows as they stood."""
        self.null_subgoal = nn.Parameter(torch.randn(num_subgoal_tokens, subgoal_dim) * 0.02)
        self.subgoal_in = nn.Linear(subgoal_dim, shape.width)
        self.state_in = nn.Linear(num_states + 2, shape.width)
        self.embedding = nn.Embedding(self.words.size, shape.width)
        llama = LlamaConfig(
            vocab_size=1,  # words are embedded here
            hidden_size=shape.width,
            intermediate_size=4 * shape.width,
            num_hidden_layers=shape.depth,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_heads,
            bos_token_id=None,  # of transformers' own vocabulary, which this one isn't as large as
            eos_token_id=None,
            max_position_embeddings=num_subgoal_tokens + self.words.most + 8,
        )
        self.decoder: Any = LlamaModel(llama)
        del self.decoder.embed_tokens  # nobody reads it
        self.decoder.embed_tokens = None
        self.words_out = nn.Linear(shape.width, self.words.size)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.null_subgoal.device

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens of the subgoal `(B, K, D)`, which of them count, and whether there is one."""
        present_B = mask_BK.any(dim=-1)
        tokens_BKC = torch.where(present_B[:, None, None], subgoal_BKC, self.null_subgoal)
        return self.subgoal_in(tokens_BKC), mask_BK | ~present_B[:, None], present_B

    def rows(
        self, memory: Any, noise_BAU: Tensor, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        """`(B, A, U)`; neither noise nor picture is read."""
        del image_BCHW
        return self.read(self._say(*self.told(memory, state_BX, age_B))).to(noise_BAU)

    def read(self, words_BS: Tensor) -> Tensor:
        """Rows `(B, A, U)` of words, on the processor; what makes no rows is counted and told."""
        read = [self.words.read([int(word) for word in words]) for words in words_BS.cpu().numpy()]
        for each in read:
            if not each.whole:
                self._note_unreadable()
        return torch.from_numpy(np.stack([each.rows_AU for each in read]).astype(np.float32))

    def loss(self, actions_NAU: Tensor, is_real_NA: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """Cross entropy a word, the same for each number of a chunk `(N, A, U)`.

        Words for each number in turn end with the last real row; words of a whole chunk are of one that stays there.
        """
        del draws
        rows = held(actions_NAU, is_real_NA).detach().cpu().numpy().astype(np.float64)
        said = [self.words.write(rows_AU) for rows_AU in rows]
        if self.words.is_fixed:
            counts_N = (is_real_NA.sum(dim=1) * actions_NAU.shape[2]).tolist()
            said = [words[:count] for words, count in zip(said, counts_N, strict=True)]
        longest = max(map(len, said))
        words_NS = torch.tensor([each + [_NOT_ASKED] * (longest - len(each)) for each in said], device=self.device)
        memory = self.remember(condition.subgoal_BKC, condition.mask_BK)
        logits_NSV = self.scores(memory, condition.state_BX, condition.age_B, words_NS).float()
        loss_NS = F.cross_entropy(logits_NSV.transpose(1, 2), words_NS, ignore_index=_NOT_ASKED, reduction="none")
        asked_N = (words_NS != _NOT_ASKED).sum(dim=1)
        return repeat(loss_NS.sum(dim=1) / asked_N, "n -> n a u", a=actions_NAU.shape[1], u=actions_NAU.shape[2])

    def scores(self, memory: Any, state_BX: Tensor, age_B: Tensor, words_BS: Tensor) -> Tensor:
        """How likely each word is in each place, given those before it, `(B, S, V)`."""
        told_BSD, counted_BS = self.told(memory, state_BX, age_B)
        before_BSD = self.embedding(words_BS[:, :-1].clamp(min=0))
        hidden_BSD = self.decoder(
            inputs_embeds=torch.cat([told_BSD, before_BSD], dim=1),
            attention_mask=F.pad(counted_BS, (0, before_BSD.shape[1]), value=True).long(),
            use_cache=False,
        ).last_hidden_state[:, told_BSD.shape[1] - 1 :]
        scores_BSV: Tensor = self.words_out(hidden_BSD)
        return scores_BSV

    def _note_unreadable(self) -> None:
        self.unreadable += 1
        if self.unreadable in _TOLD:
            _LOGGER.warning(
                "%d chunks so far were no rows as their words stood, and were read as far as they went", self.unreadable
            )

    def told(self, memory: tuple[Tensor, Tensor, Tensor], state_BX: Tensor, age_B: Tensor) -> tuple[Tensor, Tensor]:
        """What comes before the first word `(B, S, D)`, and which of it counts."""
        subgoal_BKD, counted_BK, present_B = memory
        known_B = present_B.to(age_B.dtype)
        state_BD = self.state_in(torch.cat([state_BX, (age_B * known_B)[:, None], known_B[:, None]], dim=-1))
        return torch.cat([subgoal_BKD, state_BD[:, None]], dim=1), F.pad(counted_BK, (0, 1), value=True)

    def _say(self, told_BSD: Tensor, counted_BS: Tensor) -> Tensor:
        """Words `(B, S)`, each the likeliest; at most as many as a chunk may have, or until all have ended."""
        cache = DynamicCache()
        said: list[Tensor] = []
        ended_B = torch.zeros(len(told_BSD), dtype=torch.bool, device=told_BSD.device)
        tokens_BSD = told_BSD
        while len(said) < self.words.most:
            hidden_BD = self.decoder(
                inputs_embeds=tokens_BSD, attention_mask=counted_BS.long(), past_key_values=cache, use_cache=True
            ).last_hidden_state[:, -1]
            word_B = self.words_out(hidden_BD).argmax(dim=-1)
            said.append(word_B)
            ended_B |= word_B == 0
            if not self.words.is_fixed and bool(ended_B.all()):
                break
            tokens_BSD = self.embedding(word_B)[:, None]
            counted_BS = F.pad(counted_BS, (0, 1), value=True)
        return torch.stack(said, dim=1)
