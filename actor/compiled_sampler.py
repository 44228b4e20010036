"""`CompiledSampler`: the sampling loop through `torch.compile`, and on a GPU as one CUDA graph.

Compiled is one step of the loop, and what is made once for a chunk: tracing the whole loop would take as many times
longer as it has steps. On a GPU the loop around them is recorded (`cuda_graph`), so that the hundreds of small kernels
of a chunk are one launch. On a processor the first call takes tens of seconds, and the gain is small.

The weights are those that the expert has when the sampler is built; later changes to them are not promised to show.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor

from dualsys.actor.cuda_graph import CudaGraph
from dualsys.actor.experts import FlowExpert
from dualsys.actor.original_precision import with_original_precision
from dualsys.actor.sampling import Array, Moment, flow, on_device, subgoal_on_device, time_conditions
from dualsys.errors import ConfigError

# Traced through, as PyTorch does since einops 0.8.2, its own Python takes most of the time.
torch.compiler.allow_in_graph(rearrange)  # type: ignore[no-untyped-call]


class CompiledParts(NamedTuple):
    """A `dualsys.actor.sampling.Field` of compiled functions."""

    config: Any
    begin: Callable[..., Any]
    step: Callable[..., Tensor]

    @classmethod
    def of(cls, network: Any, config: Any, *, compiler: Any, device: torch.device) -> "CompiledParts":
        """Of what has `begin` and `step`, each traced into one graph.

        On a GPU a subgoal's padding stays, so that all are as long; on a processor a prefix is as long as its words.
        """
        dynamic = False if device.type == "cuda" else None
        begin, step = (
            torch.compile(part, fullgraph=True, dynamic=dynamic, backend=compiler)
            for part in (network.begin, network.step)
        )
        return cls(config, begin, step)


@contextmanager
def compiling() -> Iterator[None]:
    """While something is compiled for the first time. Raises `ConfigError` where torch can't, with what may help."""
    from torch._inductor.exc import InductorError
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    try:
        yield
    except InductorError as error:
        raise ConfigError(
            f"torch could not compile this: {str(error).strip().splitlines()[0]}. A program that was killed while it "
            f"compiled leaves a damaged file: delete {cache_dir()}, or give TORCHINDUCTOR_CACHE_DIR another folder; or "
            "take another backend"
        ) from error


def recorded(function: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """The function as a CUDA graph; elsewhere as it is."""
    return CudaGraph(function) if device.type == "cuda" else function


class CompiledSampler:
    """Rows through compiled PyTorch. The first `sample` compiles."""

    version = 0
    """The weights never change."""

    def __init__(self, expert: FlowExpert, *, narrow: bool = False, compiler: Any = "inductor") -> None:
        """Args:
        expert: What to sample, in float32.
        narrow: bfloat16 where the expert's authors have it (`original_precision`), in a copy.
        compiler: Backend of `torch.compile`: a name or a function.
        """
        self._expert: FlowExpert = with_original_precision(expert) if narrow else expert
        self._device = expert.device
        # Not in inference mode: compiled graphs can't take tensors that were made there.
        with torch.no_grad():
            self._told = time_conditions(self._expert)
        self._parts = CompiledParts.of(self._expert, expert.config, compiler=compiler, device=self._device)
        self._rows = recorded(self._flow, self._device)

    @torch.no_grad()
    def remember(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        """Keys and values, eagerly: once for each subgoal."""
        return self._expert.remember(*subgoal_on_device(tokens_KC, mask_K, self._device))

    @torch.no_grad()
    def sample(self, memory: Any, moment: Moment) -> Array:
        """Rows."""
        rows: Array = self._rows(memory, *on_device(moment, self._device))[0].cpu().numpy()
        return rows

    def _flow(
        self, memory: Any, noise_BAU: Tensor, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        return flow(self._parts, self._told, memory, noise_BAU, state_BX, age_B, image_BCHW)
