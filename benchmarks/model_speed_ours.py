"""Our side of `benchmarks.model_speed`: the same weights, inputs and parts as LeRobot's, through planner and actor.

sample   the actor's loop on a subgoal that it remembers, by engine
whole    from pictures and words to rows in one process: no bytes between
split    the same, with the subgoal packed into bytes, unpacked and remembered, as it crosses to another process
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.model_speed_sizes import Spec
from dualsys.actor.compiled_sampler import CompiledSampler
from dualsys.actor.dit_expert import DiTExpert
from dualsys.actor.joint_expert import JointExpert
from dualsys.actor.packed_sampler import PackedSampler
from dualsys.actor.sampling import EagerSampler, Moment, Sampler
from dualsys.app.importing.layouts.groot import split_groot
from dualsys.app.importing.layouts.groot_config import groot_actor_config
from dualsys.app.importing.layouts.pi import installed_names, split_pi
from dualsys.app.importing.layouts.pi_config import GemmaSize, pi_actor_config, pi_planner_config
from dualsys.app.importing.layouts.smolvla import split_smolvla
from dualsys.app.importing.layouts.smolvla_config import smolvla_actor_config, smolvla_planner_config
from dualsys.app.importing.rules import require_fit
from dualsys.bridge.wire import SubgoalCodec
from dualsys.messages import LatentSubgoal
from dualsys.planner.feature_backbones import build_backbone
from dualsys.planner.feature_config import Qwen3VLConfig
from dualsys.planner.prefix_config import StateConfig
from dualsys.planner.prefix_network import PrefixNetwork

Inputs = dict[str, Tensor]
Expert = JointExpert | DiTExpert
SAMPLERS: dict[str, Callable[[Any], Sampler]] = {
    "eager": EagerSampler,
    "packed": PackedSampler,
    "compiled": CompiledSampler,
}
"""By engine, in float32."""


class Model(NamedTuple):
    """A planner's network and an actor's expert."""

    expert: Expert
    plan: Callable[[], LatentSubgoal]
    """From pictures and words."""
    moment: Moment


class Parts:
    """What is timed, for one engine; all return rows `(A, U)`."""

    def __init__(self, model: Model, backend: str, subgoal: LatentSubgoal) -> None:
        """`subgoal` is the one that `sample` reads."""
        self._model = model
        # Not `build_sampler`, which compares with eager: the rows are compared with LeRobot's.
        self._sampler: Sampler = SAMPLERS[backend](model.expert)
        self.memory = self._remember(subgoal)

    def sample(self) -> Any:
        """The loop alone."""
        return self._sampler.sample(self.memory, self._model.moment)

    def whole(self) -> Any:
        """In one process."""
        return self._sampler.sample(self._remember(self._model.plan()), self._model.moment)

    def split(self) -> Any:
        """Through bytes."""
        codec = SubgoalCodec()
        received = codec.decode(bytearray(codec.encode(self._model.plan())))
        return self._sampler.sample(self._remember(received), self._model.moment)

    def _remember(self, subgoal: LatentSubgoal) -> Any:
        arrays = (
            subgoal.tokens
            if subgoal.keys is None or subgoal.values is None
            else np.stack([subgoal.keys, subgoal.values])
        )
        return self._sampler.remember(arrays, _mask(subgoal))


def build(spec: Spec, inputs: Inputs, weights_file: Path) -> Model:
    """With the weights that LeRobot wrote, on the inputs' device."""
    weights = load_file(weights_file)
    planner, expert = _groot(spec, weights) if spec["family"] == "groot_n1_7" else _prefix(spec, weights)
    device = inputs["noise"].device
    planner, expert = planner.to(device).eval(), expert.to(device).eval()
    moment = Moment(inputs["noise"][0].cpu().numpy(), inputs["state"][0].cpu().numpy())
    if isinstance(planner, PrefixNetwork):
        return Model(expert, lambda: _plan_prefix(planner, inputs), moment)
    return Model(expert, lambda: _plan_features(planner, inputs), moment)


def _prefix(spec: Spec, weights: Inputs) -> tuple[nn.Module, Expert]:
    width = spec["max_dim"]
    told: dict[str, Any] = {
        "cameras": tuple(f"image_{index}" for index in range(spec["cameras"])),
        "max_text_tokens": spec["words"],
    }
    acting: dict[str, Any] = {
        "horizon": spec["chunk"],
        "max_actions": width,
        "max_states": width,
        "num_inference_steps": spec["steps"],
    }
    if spec["family"] == "smolvla":
        state = StateConfig(offset=(0.0,) * width, scale=(1.0,) * width, padded=width)
        layers = spec["num_vlm_layers"]
        planner = PrefixNetwork(smolvla_planner_config(vlm=spec["vlm"], num_layers=layers, state=state, **told))
        expert = JointExpert(smolvla_actor_config(vlm=spec["vlm"], num_layers=layers, **acting))
        planner_weights, actor_weights = split_smolvla(weights)
    else:
        vlm, version = GemmaSize(**spec["vlm"]), spec["family"]
        planner = PrefixNetwork(
            pi_planner_config(version, vlm=vlm, vision=spec["vision"], vocabulary=spec["vocab"], **told)
        )
        expert = JointExpert(pi_actor_config(version, vlm=vlm, expert=GemmaSize(**spec["expert"]), **acting))
        planner_weights, actor_weights = split_pi(weights, version)
    _fill(planner, installed_names(planner_weights, planner.state_dict()))
    _fill(expert, actor_weights)
    return planner, expert


def _groot(spec: Spec, weights: Inputs) -> tuple[nn.Module, Expert]:
    head, architecture = spec["head"], spec["qwen3vl"]
    images = spec["cameras"] * (spec["image_side"] // 32) ** 2
    length = images + 2 * spec["cameras"] + spec["words"]
    config = groot_actor_config(head, "n1_7").model_copy(
        update={"num_subgoal_tokens": length, "num_image_tokens": images, "num_inference_steps": spec["steps"]}
    )
    expert = DiTExpert(config.model_copy(update={"robot": 1}))
    planner = cast(
        nn.Module, build_backbone(Qwen3VLConfig(architecture=architecture, select_layer=head["select_layer"]), "sdpa")
    )
    planner_weights, actor_weights = split_groot(weights, "n1_7")
    _fill(planner, planner_weights)
    _fill(expert, actor_weights)
    return planner, expert


def _fill(module: nn.Module, weights: Inputs) -> None:
    require_fit(weights, module.state_dict(), where=type(module).__name__)
    module.load_state_dict(weights)


@torch.inference_mode()
def _plan_prefix(planner: PrefixNetwork, inputs: Inputs) -> LatentSubgoal:
    names = planner.config.cameras
    prefix = planner(
        [inputs[name] for name in names],
        [inputs[name.replace("image_", "seen_")] for name in names],
        inputs["tokens"],
        inputs["token_mask"],
        inputs["state"] if planner.config.state_token else None,
    )
    keys, values = (
        torch.stack(side, dim=1)[0].float().cpu().numpy() for side in (prefix.keys_LBNSH, prefix.values_LBNSH)
    )
    return LatentSubgoal(
        tokens=np.zeros((keys.shape[2], 0), dtype=np.float32),
        keys=keys,
        values=values,
        mask=prefix.mask_BS[0].cpu().numpy(),
        observation_stamp_s=1.0,
    )


@torch.inference_mode()
def _plan_features(planner: nn.Module, inputs: Inputs) -> LatentSubgoal:
    """Features of images in front, as an actor that is told their number wants them."""
    ids = inputs["input_ids"]
    features_BSC = planner(
        input_ids_BS=ids,
        mask_BS=inputs["attention_mask"],
        patches_QE=inputs["pixel_values"],
        grid_I3=inputs["image_grid_thw"],
    )
    image_S = ids[0] == cast(Any, planner).config.image_token_id
    order_S = torch.cat([image_S.nonzero()[:, 0], (~image_S).nonzero()[:, 0]])
    return LatentSubgoal(
        tokens=features_BSC[0, order_S].float().cpu().numpy(),
        mask=np.ones(len(order_S), dtype=bool),
        observation_stamp_s=1.0,
    )


def _mask(subgoal: LatentSubgoal) -> Any:
    return np.ones(len(subgoal.tokens), dtype=bool) if subgoal.mask is None else subgoal.mask
