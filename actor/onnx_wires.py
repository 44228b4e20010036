"""`Graph`: an ONNX graph under construction; `Wire`: a value in it, which can be added and scaled like a tensor."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

_OPSET = 20
_CONTRIB = "com.microsoft"
"""ONNX Runtime's own operators, which its processor kernels fuse what the standard ones leave apart."""


class Wire:
    """A value of a graph. Sums and products of wires are nodes."""

    def __init__(self, graph: "Graph", name: str, shape: tuple[int, ...] = ()) -> None:
        self.graph = graph
        self.name = name
        self.shape = shape
        """Known of inputs alone."""

    dtype = torch.float32
    device = torch.device("cpu")

    def __add__(self, other: "Wire") -> "Wire":
        return self.graph.node("Add", self, other)

    def __mul__(self, other: "Wire | float") -> "Wire":
        return self.graph.node("Mul", self, self.graph.as_wire(other))

    __rmul__ = __mul__


class Graph:
    """Collects nodes and constants."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._known: dict[int, tuple[Any, Wire]] = {}
        """Constants by the object they were made from, which is kept so that its identity stays its own."""
        self._eight_bits: dict[int, tuple[Any, list[Wire]]] = {}
        self._inputs: list[Any] = []
        self._count = 0

    def input(self, name: str, shape: tuple[int, ...]) -> Wire:
        """A float32 input of the graph."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return Wire(self, name, shape)

    def model(self, outputs: Mapping[str, Wire]) -> ModelProto:
        """The finished model, checked by ONNX as far as it knows the operators."""
        for name, wire in outputs.items():
            self._nodes.append(helper.make_node("Identity", [wire.name], [name]))
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, infos, self._constants)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="dualsys")

    def node(self, kind: str, *inputs: Wire, **attributes: Any) -> Wire:
        """One standard operator with one output."""
        return self._add(kind, inputs, 1, attributes)[0]

    def constant(self, value: Tensor | np.ndarray) -> Wire:
        """A constant; the same object given again is the same constant."""
        known = self._known.get(id(value))
        if known is None:
            known = self._store(value, value.detach().cpu().numpy() if isinstance(value, Tensor) else value)
        return known[1]

    def shape(self, dims: Sequence[int]) -> Wire:
        """A shape, as operators take them."""
        return self.constant(np.array(dims, dtype=np.int64))

    def as_wire(self, value: Wire | float) -> Wire:
        """A number as a constant."""
        return value if isinstance(value, Wire) else self.constant(np.array(value, dtype=np.float32))

    def double(self, x: Wire) -> Wire:
        """In float64."""
        return self.node("Cast", x, to=TensorProto.DOUBLE)

    def single(self, x: Wire) -> Wire:
        """In float32."""
        return self.node("Cast", x, to=TensorProto.FLOAT)

    def reshape(self, x: Wire, dims: Sequence[int]) -> Wire:
        """The same values in another shape."""
        return self.node("Reshape", x, self.shape(dims))

    def split(self, x: Wire, count: int, *, axis: int = 0) -> list[Wire]:
        """Equal pieces along an axis."""
        return self._add("Split", (x,), count, {"axis": axis, "num_outputs": count})

    def rows(self, x: Wire, first: int) -> Wire:
        """Rows from `first` on."""
        return self.node("Slice", x, self.shape([first]), self.shape([2**31 - 1]), self.shape([0]))

    def gemm(self, x: Wire, weight_OI: Tensor, bias: Tensor) -> Wire:
        """`x @ weight.T + bias`; the weight is turned here, so that the runtime packs it once."""
        turned = self._known.get(id(weight_OI)) or self._store(weight_OI, weight_OI.detach().cpu().numpy().T)
        return self.node("Gemm", x, turned[1], self.constant(bias))

    def gemm_int8(self, x: Wire, weight_OI: Tensor, bias: Tensor) -> Wire:
        """The same with 8-bit weights, a scale for each output, and activations quantised to 8 bits as they come."""
        if (known := self._eight_bits.get(id(weight_OI))) is None:
            scale_O = weight_OI.detach().abs().amax(dim=1).clamp(min=1e-12) / 127.0
            eight_IO = (weight_OI.detach() / scale_O[:, None]).round().to(torch.int8).T
            zero_O = torch.zeros_like(scale_O, dtype=torch.int8)
            known = (weight_OI, [self.constant(part.cpu().numpy()) for part in (eight_IO, scale_O, zero_O)])
            self._eight_bits[id(weight_OI)] = known
        inputs = (x, *known[1], self.constant(bias))
        return self._add("DynamicQuantizeMatMul", inputs, 1, {"domain": _CONTRIB})[0]

    def conv(self, x: Wire, layer: nn.Conv2d) -> Wire:
        """A convolution with padding by a number."""
        assert layer.bias is not None
        pads = [int(side) for side in layer.padding] * 2
        weight, bias = self.constant(layer.weight), self.constant(layer.bias)
        return self.node("Conv", x, weight, bias, strides=list(layer.stride), pads=pads)

    def silu(self, x: Wire) -> Wire:
        """`x * sigmoid(x)`."""
        return x * self.node("Sigmoid", x)

    def gelu(self, x: Wire) -> Wire:
        """Exact."""
        return self.node("Gelu", x, approximate="none")

    def gelu_tanh(self, x: Wire) -> Wire:
        """In the approximation by tanh."""
        return self._add("FastGelu", (x,), 1, {"domain": _CONTRIB})[0]

    def attend(self, query: Wire, key: Wire, value: Wire, *, num_heads: int, bias: Wire | None = None) -> Wire:
        """Attention `(1, T, D)`; keys, values `(1, S, D)` or `(1, N, S, H)`; `bias (1, 1, T, S)` joins the logits."""
        inputs: tuple[Wire | None, ...] = (query, key, value)
        if bias is not None:
            inputs = (*inputs, None, None, bias)
        return self._add("MultiHeadAttention", inputs, 1, {"domain": _CONTRIB, "num_heads": num_heads})[0]

    def _add(self, kind: str, inputs: Sequence[Wire | None], count: int, attributes: dict[str, Any]) -> list[Wire]:
        outputs = [self._fresh() for _ in range(count)]
        names = ["" if wire is None else wire.name for wire in inputs]
        self._nodes.append(helper.make_node(kind, names, outputs, **attributes))
        return [Wire(self, name) for name in outputs]

    def _store(self, source: Any, array: np.ndarray) -> tuple[Any, Wire]:
        name = self._fresh()
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        self._known[id(source)] = (source, Wire(self, name))
        return self._known[id(source)]

    def _fresh(self) -> str:
        self._count += 1
        return f"v{self._count}"
