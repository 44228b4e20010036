"""What one of several workers does of a training step.

Every worker draws the whole step's samples and random numbers from the same seed and keeps its own block of them, so
the step is the same for any number of workers up to the order of sums. A loss is a mean over the whole batch; a worker
has its part of that mean, and the parts of all add up to it. So do their gradients: they are summed, not averaged.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn

from dualsys.errors import ConfigError, DualsysError

Result = TypeVar("Result")
Rows = TypeVar("Rows", Tensor, np.ndarray, list[str])

_BUCKET_VALUES = 4 * 2**20
"""Gradients are sent together up to this many values (16 MiB in float32): each message costs, so do copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A worker's place among `size`; methods that sum need torch.distributed where there is more than one."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this worker writes the files."""
        return self.rank == 0

    def whole(self, count: int) -> int:
        """Samples of the whole batch, from those of a share."""
        return count * self.size

    def of(self, rows: Rows) -> Rows:
        """This worker's block of the whole batch's rows. Their number must divide evenly."""
        count, left = divmod(len(rows), self.size)
        if left:
            raise ConfigError(f"{len(rows)} samples do not divide among {self.size} workers; choose another batch size")
        return rows[self.rank * count : (self.rank + 1) * count]

    def total(self, value: Tensor) -> Tensor:
        """Sum over all workers; no gradient passes."""
        summed = value.detach()
        if self.size > 1:
            summed = summed.clone()
            torch.distributed.all_reduce(summed)
        return summed

    def part_of_mean(self, mean: Tensor, count: Tensor) -> Tensor:
        """This worker's part of a mean over the whole batch: the parts of all workers add up to it.

        `mean`: over what counts of this worker's samples, anything where nothing does; `count`: how much of it counts.
        """
        if self.size == 1:
            return mean
        total = self.total(count)
        part = torch.where(count > 0, mean * count / total.clamp(min=1), torch.zeros_like(mean))
        return torch.where(total > 0, part, mean / self.size)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the workers, which all have gradients for the same parameters."""
        if self.size == 1:
            return
        for bucket in _buckets([value.grad for value in parameters if value.grad is not None]):
            summed = torch.cat([gradient.flatten() for gradient in bucket])
            torch.distributed.all_reduce(summed)
            start = 0
            for gradient in bucket:
                gradient.copy_(summed[start : start + gradient.numel()].view_as(gradient))
                start += gradient.numel()

    @torch.no_grad()
    def align(self, tensors: Iterable[Tensor]) -> None:
        """Give every worker the first one's values, whatever its machine made of the seed."""
        if self.size > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def together(self, act: Callable[[], Result]) -> Result:
        """What every worker does before any goes on. Where one refuses, all raise what it says."""
        if self.size == 1:
            return act()
        result: Result | None = None
        refusal: DualsysError | None = None
        try:
            result = act()
        except DualsysError as error:
            refusal = error
        refusals: list[DualsysError | None] = [None] * self.size
        torch.distributed.all_gather_object(refusals, refusal)
        for each in refusals:
            if each is not None:
                raise each
        return cast(Result, result)

    def on_first(self, act: Callable[[], object]) -> None:
        """Let the first worker write something; the others wait for it. Where that fails, all raise."""
        self.together(act if self.is_first else lambda: None)


WHOLE = Share()
"""One worker that does everything."""


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients in order, together up to a bucket's size and of one type."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        is_full = sum(each.numel() for each in bucket) + gradient.numel() > _BUCKET_VALUES
        if bucket and (is_full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
