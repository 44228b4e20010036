"""`CompiledHeadSampler`: heads other than flow matching through `torch.compile`, and on a GPU as CUDA graphs.

    regression, act    the whole of it in one graph           unet, diffusion    one step of denoising
    bins, fast         one word (`compiled_words`)

In float32. The weights are those that the head has when the sampler is built.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dualsys.actor.compiled_sampler import CompiledParts, recorded
from dualsys.actor.diffusion_head import DiffusionHead
from dualsys.actor.head_config import TokensConfig
from dualsys.actor.heads import Head
from dualsys.actor.sampling import Array, Moment, on_device, subgoal_on_device


class CompiledHeadSampler:
    """Rows of a head through compiled PyTorch. The first `sample` compiles."""

    version = 0
    """The weights never change."""

    def __init__(self, head: Head, *, compiler: Any = "inductor") -> None:
        """`compiler`: backend of `torch.compile`, a name or a function."""
        self.head = head
        """What is sampled."""
        self._words = _words_of(head, compiler)
        self._rows = _rows_of(head, compiler) if self._words is None else self._words.rows

    @torch.no_grad()
    def remember(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        """What depends on the subgoal alone, eagerly."""
        return self.head.remember(*subgoal_on_device(tokens_KC, mask_K, self.head.device))

    @torch.no_grad()
    def sample(self, memory: Any, moment: Moment) -> Array:
        """Rows."""
        rows_BAU = self._rows(memory, *on_device(moment, self.head.device))
        rows: Array = rows_BAU[0].float().cpu().numpy()
        return rows

    @torch.no_grad()
    def compared(self, memory: Any, moment: Moment) -> tuple[Array, Array] | None:
        """Of a head of words, how likely each word was, here and by the head itself: what parity means for it.

        Two words that are equally likely may be told apart by rounding, and the rows then differ from there on.
        """
        if self._words is None:
            return None
        _, state_BX, age_B, _ = on_device(moment, self.head.device)
        said = self._words.say(memory, state_BX, age_B, keep_scores=True)
        expected = cast(Any, self.head).scores(memory, state_BX, age_B, said.words_BS)
        return said.scores_BSV.cpu().numpy(), expected.cpu().numpy()


def _words_of(head: Head, compiler: Any) -> Any:
    """`CompiledWords` of a head of words; None for the others."""
    if not isinstance(head.config, TokensConfig):
        return None
    from dualsys.actor.compiled_words import CompiledWords

    return CompiledWords(cast(Any, head), compiler=compiler)


def _rows_of(head: Head, compiler: Any) -> Callable[..., Tensor]:
    """`Head.rows`, compiled."""
    if not isinstance(head, DiffusionHead):
        whole = torch.compile(head.rows, fullgraph=True, dynamic=False, backend=compiler)
        return recorded(whole, head.device)
    parts = CompiledParts.of(head.network, head.config, compiler=compiler, device=head.device)
    denoised = recorded(lambda *told: head.denoise(parts, *told), head.device)

    def rows(memory: Any, noise_BAU: Tensor, *moment: Tensor | None) -> Tensor:
        # Drawn on the processor: no part of a graph.
        return denoised(memory, noise_BAU, head.fresh_noise(noise_BAU), *moment)

    return rows
