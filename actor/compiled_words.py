"""`CompiledWords`: a `TokenHead`'s greedy decoding with one compiled step a word.

Keys and values lie in arrays as long as a chunk can be, written in place, so that each word is the same graph: prompt
eagerly, then word by word. Words stay greedy, bounded, and read as `TokenHead` reads them.

Shape legend: B batch, S words or tokens, L places of a chunk (prompt and words), D width, V vocabulary, H head width.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from dualsys.actor.attention import additive
from dualsys.actor.compiled_sampler import recorded
from dualsys.actor.token_head import TokenHead

Sides = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, `(B, heads, L, H)`."""


class Said(NamedTuple):
    """Words, and how likely each word was in each place."""

    words_BS: Tensor
    scores_BSV: Tensor


class PlacedCache:
    """What transformers' layers ask of a cache: writes what is new at its places, and gives everything."""

    def __init__(self, sides: Sides, places_S: Tensor) -> None:
        self._sides, self._places_S = sides, places_S

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, these among them."""
        kept_keys, kept_values = self._sides[layer]
        kept_keys.index_copy_(2, self._places_S, keys)
        kept_values.index_copy_(2, self._places_S, values)
        return kept_keys, kept_values


class CompiledWords:
    """Rows of a `TokenHead`, for one chunk at a time."""

    def __init__(self, head: TokenHead, *, compiler: Any = "inductor") -> None:
        self._head = head
        self._sides: Sides = []
        self._rooms: dict[tuple[int, ...], Sides] = {}
        """By shape: a graph reads and writes where it was recorded."""
        compiled = torch.compile(self._next, fullgraph=True, dynamic=False, backend=compiler)
        self._step = recorded(compiled, head.device)

    def rows(
        self, memory: Any, noise_BAU: Tensor, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        """`(1, A, U)`, as `TokenHead.rows`."""
        del image_BCHW
        return self._head.read(self.say(memory, state_BX, age_B).words_BS).to(noise_BAU)

    def say(self, memory: Any, state_BX: Tensor, age_B: Tensor, *, keep_scores: bool = False) -> Said:
        """Words as `TokenHead` says them; scores where they are asked for, else none."""
        words = self._head.words
        told_BSD, counted_BS = self._head.told(memory, state_BX, age_B)
        start = told_BSD.shape[1]
        self._make_room(told_BSD, start + words.most)
        counted_BL = F.pad(counted_BS, (0, words.most), value=True)
        scores_BV = self._scores(told_BSD, torch.arange(start, device=told_BSD.device), counted_BL)
        said, scores = [], []
        for place in range(start, start + words.most):
            if keep_scores:
                scores.append(scores_BV.clone())  # a graph writes over what it returned
            said.append(scores_BV.argmax(dim=-1))
            if len(said) == words.most or (not words.is_fixed and bool((said[-1] == 0).all())):
                break
            place_1 = torch.full((1,), place, dtype=torch.long, device=told_BSD.device)
            scores_BV = self._step(said[-1], place_1, counted_BL)
        return Said(torch.stack(said, dim=1), torch.stack(scores, dim=1) if scores else scores_BV.new_zeros(0))

    def _next(self, word_B: Tensor, place_1: Tensor, counted_BL: Tensor) -> Tensor:
        """Scores `(B, V)` of what comes behind a word."""
        return self._scores(self._head.embedding(word_B)[:, None], place_1, counted_BL)

    def _scores(self, tokens_BSD: Tensor, places_S: Tensor, counted_BL: Tensor) -> Tensor:
        """Of what comes behind the last of some tokens."""
        decoder = self._head.decoder
        earlier_SL = torch.arange(counted_BL.shape[1], device=places_S.device) <= places_S[:, None]
        mask_B1SL = additive(counted_BL[:, None, None] & earlier_SL)
        turned = decoder.rotary_emb(tokens_BSD, position_ids=places_S[None])
        cache = PlacedCache(self._sides, places_S)
        for layer in decoder.layers:
            tokens_BSD = layer(
                tokens_BSD,
                attention_mask=mask_B1SL,
                position_ids=places_S[None],
                position_embeddings=turned,
                past_key_values=cache,
                use_cache=True,
            )
        scores_BV: Tensor = self._head.words_out(decoder.norm(tokens_BSD[:, -1]))
        return scores_BV

    def _make_room(self, told_BSD: Tensor, places: int) -> None:
        """For a chunk of so many; what lies there is of an earlier one, and not read."""
        config = self._head.decoder.config
        shape = (len(told_BSD), config.num_key_value_heads, places, config.hidden_size // config.num_attention_heads)
        if shape not in self._rooms:
            self._rooms[shape] = [
                (told_BSD.new_zeros(shape), told_BSD.new_zeros(shape)) for _ in range(config.num_hidden_layers)
            ]
        self._sides = self._rooms[shape]
