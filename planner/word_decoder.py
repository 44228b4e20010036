"""Words of the next step, from the words of the instruction and of the step before: a small encoder and decoder.

It reads the frozen backbone's word embeddings, so it knows the words that the planner knows, and needs no picture.

Shape legend: B batch, S tokens read (instruction, then the step before), T tokens written, E width of the backbone's
word embedding, W the decoder's width, V vocabulary.
"""

import torch
from torch import Tensor, nn

from dualsys.planner.subtask_config import SubtaskConfig

INSTRUCTION, STEP, PADDING = 0, 1, 2
"""Kinds of tokens that are read."""


class WordDecoder(nn.Module):
    """Logits of the next word."""

    def __init__(self, config: SubtaskConfig) -> None:
        super().__init__()
        width, heads = config.width, config.num_heads
        longest = config.max_instruction_tokens + config.max_step_tokens + 2
        self.word_in = nn.Sequential(nn.LayerNorm(config.embedding_width), nn.Linear(config.embedding_width, width))
        self.place = nn.Embedding(longest, width)
        self.kind = nn.Embedding(2, width)
        reading = nn.TransformerEncoderLayer(
            width, heads, 3 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.reader = nn.TransformerEncoder(reading, config.depth, nn.LayerNorm(width), enable_nested_tensor=False)
        writing = nn.TransformerDecoderLayer(
            width, heads, 3 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.writer = nn.TransformerDecoder(writing, 1, nn.LayerNorm(width))
        self.out = nn.Linear(width, config.vocabulary_size)
        for embedding in (self.place, self.kind):
            nn.init.normal_(embedding.weight, std=0.3)

    def read(self, words_BSE: Tensor, kind_BS: Tensor, place_BS: Tensor) -> Tensor:
        """What was read `(B, S, W)`; `place` counts from 0 in the instruction and again in the step."""
        read_BSW = self.word_in(words_BSE) + self.kind(kind_BS.clamp(max=STEP)) + self.place(place_BS)
        out: Tensor = self.reader(read_BSW, src_key_padding_mask=kind_BS == PADDING)
        return out

    def write(self, read_BSW: Tensor, kind_BS: Tensor, words_BTE: Tensor) -> Tensor:
        """Logits `(B, T, V)` of the word after each of those written so far, the beginning among them."""
        count = words_BTE.shape[1]
        written_BTW = self.word_in(words_BTE) + self.place(torch.arange(count, device=words_BTE.device))
        causal_TT = torch.ones(count, count, dtype=torch.bool, device=words_BTE.device).triu(1)
        hidden_BTW = self.writer(written_BTW, read_BSW, tgt_mask=causal_TT, memory_key_padding_mask=kind_BS == PADDING)
        out: Tensor = self.out(hidden_BTW)
        return out
