"""Small joint-attention experts of each family, and actors over them."""

from typing import Any

import torch

from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.joint_config import JointExpertConfig
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.embodiment import PrefixSpec, SubgoalSpec
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)
PREFIX = PrefixSpec(layers=4, heads=2, head_dim=4)
SPEC = SubgoalSpec(num_tokens=5, dim=0, prefix=PREFIX)
SMALL: dict[str, Any] = {
    "horizon": 6,
    "max_actions": 4,
    "max_states": 8,
    "width": 16,
    "depth": 4,
    "feed_forward_width": 32,
    "num_heads": 4,
    "prefix": PREFIX,
    "num_inference_steps": 3,
    "noise": "held",
}
FAMILIES: dict[str, dict[str, Any]] = {
    "pi0": {},
    "pi05": {"norm": "adaptive-rms", "time": "adaptive", "state_token": False},
    "smolvla": {"norm": "rms", "activation": "silu", "state_token": False, "causal": True, "joint_every": 2},
    "shallow": {"norm": "rms", "state_token": False, "causal": True, "joint_every": 3, "depth": 2, "prefix_every": 2},
    "cross only": {"state_token": False, "joint_every": 0},
}


def joint_config(family: str, **changes: Any) -> JointExpertConfig:
    return JointExpertConfig(**{**SMALL, **FAMILIES[family], **changes})


def joint_actor(family: str, seed: int = 0, **changes: Any) -> FlowActor:
    """In which nothing is zero that would hide a difference."""
    scale = Statistics(mean=(0.1, -0.1), std=(0.5, 0.6))
    state = Statistics(mean=(0.1,) * ARM.num_states, std=(0.5,) * ARM.num_states)
    actor = FlowActor.build(
        joint_config(family, **changes),
        embodiment=ARM,
        subgoal_spec=SPEC,
        statistics=ControllerStatistics(state=state, action=scale),
    )
    torch.manual_seed(seed)
    for parameter in actor.expert.parameters():
        parameter.data.copy_(torch.randn(parameter.shape) / parameter.shape[-1] ** 0.5)
    return actor
