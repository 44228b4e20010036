"""`CompiledSampler`: the sampling loop through `torch.compile`.

On a GPU: bfloat16 under autocast, and CUDA graphs, so that the hundreds of small kernels of a loop are one launch. On a
processor: float32; the first call takes tens of seconds, and the gain is small.

CUDA graphs are recorded anew for each thread that calls; before torch 2.13 a thread other than the one that built the
sampler is refused by torch (its issue 123177): with such a torch, `--mode processes`, not `threads`.

The weights are those that the expert has when the sampler is built; later changes to them are not promised to show.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dualsys.actor.experts import FlowExpert
from dualsys.actor.sampling import Array, Moment, flow, on_device, time_conditions


class CompiledSampler:
    """Rows through compiled PyTorch. The first `sample` compiles."""

    version = 0
    """The weights never change."""

    def __init__(self, expert: FlowExpert, *, precision: torch.dtype | None = None) -> None:
        """`precision` of the arithmetic: float32 or bfloat16; None: bfloat16 on a GPU, float32 on a processor."""
        self._expert = expert
        self._device = expert.device
        self._gpu = self._device.type == "cuda"
        self._narrow = self._gpu if precision is None else precision == torch.bfloat16
        # Not in inference mode: compiled graphs can't take tensors that were made there.
        with torch.no_grad():
            self._told = time_conditions(expert)
        self._compiled = torch.compile(self._flow, fullgraph=True, mode="reduce-overhead" if self._gpu else None)

    @torch.no_grad()
    def remember(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        """Keys and values, in float32, eagerly: once for each subgoal."""
        tokens, mask = torch.from_numpy(tokens_KC)[None], torch.from_numpy(mask_K)[None]
        return self._expert.remember(tokens.to(self._device), mask.to(self._device))

    @torch.no_grad()
    def sample(self, memory: Any, moment: Moment) -> Array:
        """Rows."""
        if self._gpu:
            # What the last call returned lies in the graph's own memory, and may be written over from here on.
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        rows: Array = self._compiled(memory, *on_device(moment, self._device))[0].cpu().numpy()
        return rows

    def _flow(
        self, memory: Any, noise_BAU: Tensor, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._narrow):
            rows = flow(self._expert, self._told, memory, noise_BAU, state_BX, age_B, image_BCHW)
        return rows.float()
