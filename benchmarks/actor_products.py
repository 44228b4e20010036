"""The matrix products of an actor's sampling loop, alone: the bound of `benchmarks.actor_latency`.

Only products with a weight are counted: those of activations among themselves (the attention's), norms and activations
are what an engine adds. Where the engine makes one product of several (scales and shifts of all steps, query with key
and value), so does the bound.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.flow_matching import Solver, evaluation_times
from dualsys.actor.onnx_graph import sampling_graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`(rows, inputs)` times `(inputs, outputs)`; products of the same weight are one weight's."""

    weight: str
    rows: int
    inputs: int
    outputs: int

    @property
    def flop(self) -> int:
        """Multiplications and additions."""
        return 2 * self.rows * self.inputs * self.outputs


def products_of(expert: ActionExpert) -> list[Product]:
    """All of one chunk, in order. Raises `AssertionError` where they aren't those of the ONNX graph."""
    config, width = expert.config, expert.config.width
    evaluations = len(evaluation_times(config.num_inference_steps, Solver(config.solver)))
    tokens, actions = 1 + config.horizon, expert.num_actions

    def product(weight: str, rows: int, inputs: int, outputs: int) -> Product:
        return Product(weight=weight, rows=rows, inputs=inputs, outputs=outputs)

    once = [
        product("state 0", 1, expert.num_states, width),
        product("state 1", 1, width, width),
        product("age 0", 1, width + 1, width),
        product("age 1", 1, width, width),
        product("modulations", evaluations, width, 2 * width * (2 * config.depth + 1)),
    ]
    step = [product("actions in", config.horizon, actions, width)]
    for index in range(config.depth):
        step += [
            product(f"query {index}", tokens, width, width if index % 2 == 0 else 3 * width),
            product(f"out {index}", tokens, width, width),
            product(f"wide {index}", tokens, width, 4 * width),
            product(f"narrow {index}", tokens, 4 * width, width),
        ]
    step.append(product("actions out", config.horizon, width, actions))
    products = once + step * evaluations
    _require_same(products, expert)
    return products


def _require_same(products: list[Product], expert: ActionExpert) -> None:
    with torch.inference_mode():
        graph = sampling_graph(expert).graph
    shapes = {constant.name: tuple(constant.dims) for constant in graph.initializer}
    found = Counter(shapes[node.input[1]] for node in graph.node if node.op_type == "Gemm")
    assert found == Counter((product.inputs, product.outputs) for product in products), "the bound is of other products"


def onnx_products(products: list[Product], rng: np.random.Generator) -> Callable[[], object]:
    """Run them through ONNX Runtime on one thread, weights packed."""
    model, feed = _model(products, rng)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Results that nobody reads would be optimised away, and reading them all costs time that is not theirs.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def _model(products: list[Product], rng: np.random.Generator) -> tuple[ModelProto, dict[str, Any]]:
    weights = {product.weight: (product.inputs, product.outputs) for product in products}
    constants = [
        numpy_helper.from_array((rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    inputs = {f"x{p.rows}x{p.inputs}": (p.rows, p.inputs) for p in products}
    nodes = [
        helper.make_node("MatMul", [f"x{p.rows}x{p.inputs}", p.weight], [f"y{index}"])
        for index, p in enumerate(products)
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    last = helper.make_tensor_value_info(f"y{len(products) - 1}", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "products", infos, [last], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model, {name: rng.standard_normal(shape).astype(np.float32) for name, shape in inputs.items()}


def torch_products(products: list[Product]) -> Callable[[], object]:
    """Run them through PyTorch's linear layers."""
    weights = {product.weight: torch.randn(product.outputs, product.inputs) for product in products}
    inputs = {(product.rows, product.inputs): torch.randn(product.rows, product.inputs) for product in products}

    @torch.inference_mode()
    def run() -> object:
        for product in products:
            torch.nn.functional.linear(inputs[product.rows, product.inputs], weights[product.weight])
        return None

    return run
