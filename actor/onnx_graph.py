"""The sampling loop of an expert as one ONNX graph, written node by node.

Written by hand rather than exported: torch's exporter takes 28 s for an expert of 5 million parameters, which a process
that is started again in the middle of a run does not have, and what it writes runs a third slower. A graph of our own
takes a fifth of a second, and says what a processor wants to hear:

    * the adaptive norms' scales and shifts of all flow steps are one matrix product, not one each;
    * the scale and the shift are a LayerNormalization's own operands;
    * the weights are constants in the layout that ONNX Runtime packs once, when the session is built;
    * the loop is unrolled by running `flow_matching.integrate` on wires of the graph: there is one integrator.

That graph and module say the same is checked whenever a sampler is built (`dualsys.actor.backends`).

Shape legend: A action rows, U actions, X states, K subgoal tokens, S those seen by the actor's own eye, D width,
N heads, H head width, T = 1 + A tokens, L blocks that attend to the subgoal. There is no batch.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from dualsys.actor.action_expert import ActionExpert, FastVision
from dualsys.actor.flow_matching import Solver, integrate
from dualsys.actor.layers import AdaptiveNorm, Block, embedding_rates
from dualsys.actor.onnx_wires import Graph, Wire
from dualsys.actor.sampling import time_conditions


def memory_graph(expert: ActionExpert) -> ModelProto:
    """`tokens (K, C)` to `keys` and `values (L, N, K, H)`: what depends on the subgoal alone."""
    graph = Graph("memory")
    count, dim = expert.null_subgoal.shape
    context_KD = _linear(graph, graph.input("tokens", (count, dim)), expert.subgoal_in)
    keys, values = _keys_values(graph, expert, context_KD, count)
    return graph.model({"keys": keys, "values": values})


def sampling_graph(expert: ActionExpert, *, int8: bool = False) -> ModelProto:
    """`noise (A, U)`, `state (X)`, `age (1)`, `known (1)`, `keys`, `values`, `bias (K)` to `rows (A, U)`.

    `known` is 1 for a subgoal and 0 for the null subgoal; `bias` is added to the attention's logits, 0 where a token is
    read. An expert with its own eye also takes `image (3, h, w)`. With `int8` the
    products inside the blocks, which are nine tenths of the work, run in 8 bits; all that is done once stays float32.
    """
    config, graph = expert.config, Graph("sampling")
    count, width = expert.null_subgoal.shape[0], config.width
    num_cross = sum(block.cross for block in _blocks(expert))
    kept_shape = (num_cross, config.num_heads, count, width // config.num_heads)
    noise = graph.input("noise", (config.horizon, expert.num_actions))
    state = graph.input("state", (expert.num_states,))
    age, known = graph.input("age", (1,)), graph.input("known", (1,))
    keys, values, bias = (
        graph.input("keys", kept_shape),
        graph.input("values", kept_shape),
        graph.input("bias", (count,)),
    )
    if expert.vision is not None:
        keys, values, bias = _look(graph, expert, expert.vision, keys, values, bias)
    loop = _Loop(graph, expert, keys, values, bias, product=graph.gemm_int8 if int8 else graph.gemm)
    loop.begin(state, age, known)
    # The wires stand in for tensors: all that the integrators do with those is to add and to scale them.
    rows = integrate(loop.velocity, cast(Tensor, noise), config.num_inference_steps, Solver(config.solver))
    return graph.model({"rows": cast(Wire, rows)})


Product = Callable[[Wire, Tensor, Tensor], Wire]
"""`x @ weight.T + bias`."""


class _Loop:
    """The velocity field on wires: each call adds one evaluation to the graph."""

    def __init__(
        self, graph: Graph, expert: ActionExpert, keys: Wire, values: Wire, bias: Wire, *, product: Product
    ) -> None:
        self._graph, self._expert, self._product = graph, expert, product
        self._num_heads, self._width = expert.config.num_heads, expert.config.width
        num_cross = sum(block.cross for block in _blocks(expert))
        # (L, N, S, H) is cut into L pieces of (1, N, S, H), which is how the attention takes keys and values.
        self._kept = list(zip(graph.split(keys, num_cross), graph.split(values, num_cross), strict=True))
        self._bias = graph.node("Expand", graph.reshape(bias, (1, 1, 1, -1)), graph.shape((1, 1, self._num_tokens, 1)))
        self._self_attention = {
            block: (
                torch.cat([block.attention.to_q.weight, block.attention.to_kv.weight]),
                torch.cat([block.attention.to_q.bias, block.attention.to_kv.bias]),
            )
            for block in _blocks(expert)
            if not block.cross
        }
        self._placed_bias = expert.action_in.bias + expert.position[1:]

    @property
    def _num_tokens(self) -> int:
        return 1 + self._expert.config.horizon

    def begin(self, state: Wire, age: Wire, known: Wire) -> None:
        """Add what does not change from evaluation to evaluation."""
        graph, expert = self._graph, self._expert
        token = graph.reshape(state, (1, -1))
        for layer in expert.state_in:
            token = _layer(graph, token, layer)
        self._state_token = token + graph.constant(expert.position[:1])
        self._scales_shifts = self._modulations(age, known)

    def velocity(self, x: Tensor, t_B: Tensor) -> Tensor:
        """One evaluation; the flow time is known from the order of the calls, since the graph is unrolled."""
        del t_B
        graph, expert = self._graph, self._expert
        rows = graph.gemm(cast(Wire, x), expert.action_in.weight, self._placed_bias)
        tokens = graph.node("Concat", self._state_token, rows, axis=0)
        kept = iter(self._kept)
        for block in _blocks(expert):
            tokens += self._attention(block, self._norm(tokens), next(kept) if block.cross else None)
            widened, _, narrowed = block.feed_forward
            hidden = graph.gelu_tanh(self._linear(self._norm(tokens), cast(nn.Linear, widened)))
            tokens += self._linear(hidden, cast(nn.Linear, narrowed))
        return cast(Tensor, _linear(graph, graph.rows(self._norm(tokens), 1), expert.action_out))

    def _modulations(self, age: Wire, known: Wire) -> Iterator[tuple[Wire, Wire]]:
        """Scale and shift `(D)` of each norm, in the order in which the evaluations use them."""
        graph, expert = self._graph, self._expert
        rates = graph.constant(embedding_rates(self._width, min_period=0.1, max_period=20.0))
        angle = graph.double(age * known) * rates
        sine, cosine = (graph.single(graph.node(name, angle)) for name in ("Sin", "Cos"))
        features = graph.node("Concat", sine * known, cosine * known, known, axis=0)
        aged = graph.reshape(features, (1, -1))
        for layer in expert.age_mlp:
            aged = _layer(graph, aged, layer)
        told = time_conditions(expert)
        active = graph.silu(aged + graph.constant(torch.cat(told)))
        norms = _norms(expert)
        weight = torch.cat([norm.to_scale_shift.weight for norm in norms])
        bias = torch.stack([norm.to_scale_shift.bias for norm in norms]).clone()
        bias[:, : self._width] += 1.0  # the norm multiplies by 1 + scale
        flat = graph.reshape(graph.gemm(active, weight, bias.flatten()), (-1,))
        pieces = iter(graph.split(flat, 2 * len(norms) * len(told)))
        return zip(pieces, pieces, strict=True)

    def _norm(self, x: Wire) -> Wire:
        scale, shift = next(self._scales_shifts)
        return self._graph.node("LayerNormalization", x, scale, shift, epsilon=_EPSILON)

    def _attention(self, block: Block, x: Wire, kept: tuple[Wire, Wire] | None) -> Wire:
        graph, attention, tokens = self._graph, block.attention, (1, self._num_tokens, self._width)
        if kept is None:
            three = graph.split(self._product(x, *self._self_attention[block]), 3, axis=1)
            query, key, value = (graph.reshape(wire, tokens) for wire in three)
            out = graph.attend(query, key, value, num_heads=self._num_heads)
        else:
            query = graph.reshape(self._linear(x, attention.to_q), tokens)
            out = graph.attend(query, *kept, bias=self._bias, num_heads=self._num_heads)
        return self._linear(graph.reshape(out, (self._num_tokens, self._width)), attention.to_out)

    def _linear(self, x: Wire, layer: nn.Linear) -> Wire:
        return self._product(x, layer.weight, layer.bias)


_EPSILON = 1e-5


def _look(
    graph: Graph, expert: ActionExpert, vision: FastVision, keys: Wire, values: Wire, bias: Wire
) -> tuple[Wire, Wire, Wire]:
    """Keys, values and bias with those of the actor's own eye behind the subgoal's."""
    camera = vision.camera
    shape = (vision.num_channels, camera.height, camera.width)
    seen = graph.reshape(graph.input("image", shape), (1, *shape))
    for layer in vision.layers:
        seen = _layer(graph, seen, layer)
    count = vision.position.shape[0]
    seen = graph.node("Transpose", graph.reshape(seen, (expert.config.width, count)), perm=[1, 0])
    more = _keys_values(graph, expert, seen + graph.constant(vision.position), count)
    joined = [graph.node("Concat", mine, other, axis=2) for mine, other in zip((keys, values), more, strict=True)]
    free = graph.constant(np.zeros(count, dtype=np.float32))
    return joined[0], joined[1], graph.node("Concat", bias, free, axis=0)


def _keys_values(graph: Graph, expert: ActionExpert, context_SD: Wire, count: int) -> tuple[Wire, Wire]:
    """Keys and values `(L, N, S, H)` of a context, from one product for all blocks."""
    layers = [block.attention.to_kv for block in _blocks(expert) if block.cross]
    product = graph.gemm(
        context_SD, torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    )
    heads = expert.config.num_heads
    head_width = expert.config.width // heads
    apart = graph.reshape(product, (count, len(layers), 2, heads, head_width))
    sorted_ = graph.node("Transpose", apart, perm=[2, 1, 3, 0, 4])
    return cast(
        tuple[Wire, Wire],
        tuple(graph.reshape(w, (len(layers), heads, count, head_width)) for w in graph.split(sorted_, 2)),
    )


def _blocks(expert: ActionExpert) -> list[Block]:
    return [cast(Block, block) for block in expert.blocks]


def _norms(expert: ActionExpert) -> list[AdaptiveNorm]:
    """In the order of their use."""
    inner = [norm for block in _blocks(expert) for norm in (block.norm_attention, block.norm_feed_forward)]
    return [*inner, expert.norm_out]


def _linear(graph: Graph, x: Wire, layer: nn.Linear) -> Wire:
    return graph.gemm(x, layer.weight, layer.bias)


def _layer(graph: Graph, x: Wire, layer: Any) -> Wire:
    match layer:
        case nn.Linear():
            return _linear(graph, x, layer)
        case nn.Conv2d():
            return graph.conv(x, layer)
        case nn.SiLU():
            return graph.silu(x)
        case nn.GELU(approximate="none"):
            return graph.gelu(x)
    raise NotImplementedError(f"no ONNX nodes are written for {layer}")
