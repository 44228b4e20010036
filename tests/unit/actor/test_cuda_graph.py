"""What `CudaGraph` hands to a graph and keeps, with a stand-in for the graph: a recorded call that is run again."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dualsys.actor.cuda_graph import _KEPT, CudaGraph, _copied, _Recorded, _tensors


class Pair(NamedTuple):
    left: Tensor
    right: Tensor | None


class RunAgain(CudaGraph):
    """Replays by calling the function on the arguments it was recorded with, into the same memory."""

    records = 0

    def _record(self, arguments: tuple[Any, ...]) -> _Recorded:
        self.records += 1
        kept = _copied(arguments)
        out = self._function(*kept).clone()
        graph = SimpleNamespace(replay=lambda: out.copy_(self._function(*kept)))
        return _Recorded(graph, _tensors(kept), _tensors(arguments), out)


def total(pair: Pair, layers: tuple[Pair, ...], scale: Tensor) -> Tensor:
    right = 0.0 if pair.right is None else pair.right
    return scale * (pair.left + right + sum(each.left for each in layers))


def given(seed: int, size: int = 3, *, right: bool = True) -> tuple[Pair, tuple[Pair, ...], Tensor]:
    torch.manual_seed(seed)
    pair = Pair(torch.randn(size), torch.randn(size) if right else None)
    return pair, (Pair(torch.randn(size), None), Pair(torch.randn(size), None)), torch.randn(1)


def test_each_call_reads_what_it_is_given() -> None:
    graph = RunAgain(total)
    for seed in (0, 1, 2, 0, 1):
        arguments = given(seed)
        torch.testing.assert_close(graph(*arguments), total(*arguments))
    assert graph.records == 1


def test_what_is_handed_over_again_is_copied_once() -> None:
    graph = RunAgain(total)
    pair, layers, _ = given(0)
    for scale in (2.0, 3.0, 3.0):
        now = torch.tensor([scale])
        torch.testing.assert_close(graph(pair, layers, now), total(pair, layers, now))
    before = graph(pair, layers, torch.ones(1)).clone()
    kept = next(iter(graph._recorded.values()))
    assert kept.inputs[0] is not pair.left
    torch.testing.assert_close(kept.inputs[0], pair.left)
    pair.left.add_(1.0)  # unseen, as its docstring says: a subgoal's memory is made anew, never written to
    torch.testing.assert_close(graph(pair, layers, torch.ones(1)), before)
    torch.testing.assert_close(graph(Pair(pair.left.clone(), pair.right), layers, torch.ones(1)), before + 1.0)


def test_other_shapes_and_missing_parts_are_recorded_by_themselves() -> None:
    graph = RunAgain(total)
    for arguments in (given(0), given(1, right=False), given(2, size=4), given(3), given(4, right=False)):
        torch.testing.assert_close(graph(*arguments), total(*arguments))
    assert graph.records == 3


def test_few_are_kept_and_the_oldest_goes() -> None:
    graph = RunAgain(total)
    for size in range(1, _KEPT + 2):
        graph(*given(0, size=size))
    assert len(graph._recorded) == _KEPT
    graph(*given(0, size=_KEPT + 1))
    assert graph.records == _KEPT + 1
    arguments = given(5, size=1)
    torch.testing.assert_close(graph(*arguments), total(*arguments))
    assert graph.records == _KEPT + 2
