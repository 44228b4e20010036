"""Experts and actors with random weights, in which nothing is zero that would hide a difference."""

from typing import Any

import numpy as np
import torch

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.actor.sampling import Array, Moment
from dualsys.embodiment import CameraSpec, SubgoalSpec
from dualsys.messages import LatentSubgoal
from dualsys.testing import fake_embodiment

SPEC = SubgoalSpec(num_tokens=4, dim=8)
ARM = fake_embodiment(2)
VISION = FastVisionConfig(camera=CameraSpec(name="head", height=20, width=24), channels=(4, 8))


def make_expert(seed: int = 0, *, tokens: int = 4, actions: int = 2, **settings: Any) -> ActionExpert:
    """A small expert."""
    torch.manual_seed(seed)
    config = FlowActorConfig(
        **({"horizon": 6, "width": 16, "depth": 3, "num_heads": 2, "smoothing_window": 3} | settings)
    )
    expert = ActionExpert(
        config, num_actions=actions, num_states=actions + 1, num_subgoal_tokens=tokens, subgoal_dim=8
    ).eval()
    for parameter in expert.parameters():
        torch.nn.init.normal_(parameter, std=1.0 / parameter.shape[-1] ** 0.5)
    return expert


def make_actor(seed: int = 0, **settings: Any) -> FlowActor:
    """A small actor for two joints."""
    scale = Statistics(mean=(0.1, -0.1), std=(0.5, 0.6))
    config = FlowActorConfig(
        **({"horizon": 6, "width": 16, "depth": 3, "num_heads": 2, "smoothing_window": 3} | settings)
    )
    actor = FlowActor.build(
        config, embodiment=ARM, subgoal_spec=SPEC, statistics=ControllerStatistics(state=scale, action=scale)
    )
    torch.manual_seed(seed)
    for parameter in actor.expert.parameters():
        # Drawn on the processor, so that a seed means the same weights on a GPU.
        drawn = torch.nn.init.normal_(torch.empty(parameter.shape), std=1.0 / parameter.shape[-1] ** 0.5)
        parameter.data.copy_(drawn)
    return actor


def make_inputs(expert: ActionExpert, seed: int = 0) -> tuple[Array, Moment]:
    """Tokens of a subgoal, and a moment."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    config = expert.config
    image = None if config.vision is None else normal(3, config.vision.camera.height, config.vision.camera.width)
    moment = Moment(normal(config.horizon, expert.num_actions), normal(expert.num_states), 0.3, image)
    return normal(*expert.null_subgoal.shape), moment


def subgoal(seed: int = 0, stamp_s: float = 0.0, mask: np.ndarray | None = None) -> LatentSubgoal:
    """A random subgoal."""
    tokens = np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float32)
    return LatentSubgoal(tokens=tokens, observation_stamp_s=stamp_s, sequence=seed, epoch=1, mask=mask)
