"""Leaving a model behind one of its layers: a forward hook raises there, so that nothing behind it costs anything.

Shape legend: B batch, S prompt length, D hidden width.
"""

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn


class _Left(Exception):
    def __init__(self, hidden_BSD: Tensor) -> None:
        super().__init__()
        self.hidden_BSD = hidden_BSD


def output_of(layer: nn.Module, run: Callable[[], object]) -> Tensor:
    """What a layer gives, `(B, S, D)`, with the bits of the whole run, of which what lies behind it is left out.

    Args:
        layer: Of a decoder.
        run: Runs the model.

    Raises:
        RuntimeError: the layer was never reached.
    """

    def leave(_module: nn.Module, _inputs: object, output: object) -> None:
        raise _Left(cast(Tensor, output[0] if isinstance(output, tuple) else output))

    handle = layer.register_forward_hook(leave)
    try:
        run()
    except _Left as left:
        return left.hidden_BSD
    finally:
        handle.remove()
    raise RuntimeError("the layer that a model was to be left behind was never reached")
