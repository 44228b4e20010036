"""`OnnxSampler`: the sampling loop through ONNX Runtime, on one thread of the processor.

The weights are those that the expert has when the sampler is built.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from onnx import ModelProto

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.onnx_graph import memory_graph, sampling_graph
from dualsys.actor.sampling import Array, Moment
from dualsys.errors import ConfigError

_MAX_BYTES = 2**31 - 1
"""What a protocol buffer holds."""


class OnnxMemory(NamedTuple):
    """What is kept of a subgoal."""

    keys_LNKH: Array
    values_LNKH: Array
    bias_K: Array
    """Joins the attention's logits: 0 where a token is read."""
    known: Array
    """1, or 0 for the null subgoal."""


class OnnxSampler:
    """Rows through ONNX Runtime.

    Args:
        expert: Its weights are copied.
        int8: Whether the products of the blocks run in 8-bit integers, the activations quantised as they come.

    Raises:
        ConfigError: the expert is larger than an ONNX model may be.
    """

    version = 0
    """The weights never change."""

    def __init__(self, expert: ActionExpert, *, int8: bool = False) -> None:
        copy = expert if expert.position.device.type == "cpu" else _on_the_processor(expert)
        with torch.inference_mode():
            self._memory = one_thread_session(memory_graph(copy))
            self._sampling = one_thread_session(sampling_graph(copy, int8=int8))
            self._null_tokens_KC: Array = copy.null_subgoal.detach().numpy().copy()

    def remember(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> OnnxMemory:
        """Keys and values."""
        known = bool(mask_K.any())
        keys, values = self._memory.run(None, {"tokens": tokens_KC if known else self._null_tokens_KC})
        # A large number rather than infinity, which less careful softmaxes turn into NaN.
        bias_K = np.where(mask_K | (not known), 0.0, -1e9).astype(np.float32)
        return OnnxMemory(keys, values, bias_K, np.array([known], dtype=np.float32))

    def sample(self, memory: OnnxMemory, moment: Moment) -> Array:
        """Rows."""
        feed = {
            "noise": moment.noise_AU,
            "state": moment.state_X,
            "age": np.array([moment.age_s], dtype=np.float32),
            "known": memory.known,
            "keys": memory.keys_LNKH,
            "values": memory.values_LNKH,
            "bias": memory.bias_K,
        }
        if moment.image_CHW is not None:
            feed["image"] = moment.image_CHW
        rows: Array = self._sampling.run(None, feed)[0]
        return rows


def one_thread_session(model: ModelProto) -> onnxruntime.InferenceSession:
    """A session that computes in the thread that calls it. Raises `ConfigError` for a model of 2 GB or more."""
    size = model.ByteSize()
    if size > _MAX_BYTES:
        raise ConfigError(
            f"this actor is too large for ONNX ({size / 1e9:.1f} GB of at most 2.1): use 'eager' or 'compiled'"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _on_the_processor(expert: ActionExpert) -> ActionExpert:
    copy = ActionExpert(
        expert.config,
        num_actions=expert.num_actions,
        num_states=expert.num_states,
        num_subgoal_tokens=expert.null_subgoal.shape[0],
        subgoal_dim=expert.null_subgoal.shape[1],
    )
    copy.load_state_dict({name: value.cpu() for name, value in expert.state_dict().items()})
    return copy.eval()
