"""`CudaGraph`: a function of tensors, recorded once for each set of shapes; from then on a call is one launch.

It records a whole sampling loop of which a single step was compiled: with `torch.compile(mode="reduce-overhead")` every
step would be traced and compiled, or launched by itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

_WARM_CALLS = 3
_KEPT = 4
"""Sets of shapes: those of the check at the start, of subgoals, and room for others. The oldest goes first."""


class _Recorded(NamedTuple):
    graph: Any
    inputs: list[Tensor]
    """Where the graph reads."""
    given: list[Tensor]
    """What was copied there last."""
    out: Tensor


class CudaGraph:
    """Calls `function`, of tensors and tuples of tensors on one GPU, through recorded graphs.

    What it returns is written over by the next call. A tensor that is handed over again is not copied again: whoever
    writes to one hands over a copy. One thread at a time.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._recorded: dict[Any, _Recorded] = {}

    def __call__(self, *arguments: Any) -> Tensor:
        """What the function returns."""
        key = _shape_of(arguments)
        if key not in self._recorded:
            if len(self._recorded) == _KEPT:
                del self._recorded[next(iter(self._recorded))]
            self._recorded[key] = self._record(arguments)
        recorded = self._recorded[key]
        for index, tensor in enumerate(_tensors(arguments)):
            if recorded.given[index] is not tensor:
                recorded.inputs[index].copy_(tensor)
                recorded.given[index] = tensor
        recorded.graph.replay()
        return recorded.out

    def _record(self, arguments: tuple[Any, ...]) -> _Recorded:
        kept = _copied(arguments)
        given = _tensors(arguments)
        with torch.cuda.device(given[0].device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_CALLS):
                    self._function(*kept)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads, a planner's, may go on with what a recording thread may not do.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                out = self._function(*kept)
        return _Recorded(graph, _tensors(kept), given, out)


def _tensors(part: Any) -> list[Tensor]:
    """In order."""
    if isinstance(part, Tensor):
        return [part]
    return [tensor for each in part for tensor in _tensors(each)] if isinstance(part, tuple) else []


def _copied(part: Any) -> Any:
    """The same with copies of the tensors."""
    if isinstance(part, Tensor):
        return part.clone()
    if not isinstance(part, tuple):
        return part
    made = [_copied(each) for each in part]
    return type(part)(*made) if hasattr(part, "_fields") else tuple(made)


def _shape_of(part: Any) -> Any:
    """Shapes and types; whatever is no tensor as it is."""
    if isinstance(part, Tensor):
        return tuple(part.shape), part.dtype
    return tuple(_shape_of(each) for each in part) if isinstance(part, tuple) else part
