"""One expert for several robots: blocks that all share, and for each robot its own layers at the ends.

What touches a robot's numbers, state and actions, is its own (GR00T's category-specific projectors, arXiv 2503.14734,
in `category_layers.py`); what lies between is shared. A batch mixes robots, so states and rows are padded to the
widest. The contract of the padding:

    in      whatever stands in padded places is multiplied by zero before any layer sees it
    loss    padded places don't count (`StatisticsByRobot.normalized` gives the mask)
    out     the velocity of padded places is zero

So nothing leaks from padded places into valid ones, and none of it is left when the expert drives: `of_robot` cuts one
robot's expert out, an `ActionExpert` of the robot's own widths, which every engine samples like any other.

Shape legend: B batch, A action rows, U widest actions, X widest states, D width, R robots.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dualsys.actor.action_expert import ActionExpert, Condition
from dualsys.actor.category_layers import CategoryLinear
from dualsys.actor.config import FlowActorConfig

_ENDS = ("action_in", "state_in.0", "state_in.2", "action_out")
"""Layers that are each robot's own, as an `ActionExpert` calls them."""


class ManyRobotExpert(ActionExpert):
    """Velocity of noisy actions of any of the robots in its configuration. For training; `of_robot` drives."""

    def __init__(self, config: FlowActorConfig, *, num_subgoal_tokens: int, subgoal_dim: int) -> None:
        """Raises `ValueError` for a configuration of no robots."""
        if not config.robots:
            raise ValueError("the configuration names no robots; an ActionExpert is for one")
        states, actions = max(size[1] for size in config.robots), max(size[2] for size in config.robots)
        super().__init__(
            config,
            num_actions=actions,
            num_states=states,
            num_subgoal_tokens=num_subgoal_tokens,
            subgoal_dim=subgoal_dim,
        )
        count, width = len(config.robots), config.width
        self.action_in = cast(Any, CategoryLinear(count, actions, width))
        self.state_in = cast(
            Any,
            nn.ModuleDict({"0": CategoryLinear(count, states, width), "2": CategoryLinear(count, width, width)}),
        )
        self.action_out = cast(Any, CategoryLinear(count, width, actions))
        self.has_state_RX: Tensor
        self.has_action_RU: Tensor
        self.register_buffer("has_state_RX", _first([size[1] for size in config.robots], states), persistent=False)
        self.register_buffer("has_action_RU", _first([size[2] for size in config.robots], actions), persistent=False)
        for index in range(count):
            self._begin_as_one_robot_s(index)

    def forward(self, x_BAU: Tensor, t_B: Tensor, condition: Condition) -> Tensor:
        """Velocity `(B, A, U)`, zero in padded places. Raises `ValueError` where robots aren't told."""
        robot_B = condition.robot_B
        if robot_B is None:
            raise ValueError("an expert of several robots must be told which each sample is of; give Condition.robot_B")
        valid_B1U = self.has_action_RU[robot_B][:, None]
        state_B1X = (condition.state_BX * self.has_state_RX[robot_B])[:, None]
        layers = cast(nn.ModuleDict, self.state_in)
        state_B1D = layers["2"](F.gelu(layers["0"](state_B1X, robot_B)), robot_B)
        tokens_BTD = self._tokens(self.action_in(x_BAU * valid_B1U, robot_B), state_B1D, condition.prefix_BA)
        out: Tensor = self.action_out(self._through(tokens_BTD, t_B, condition), robot_B) * valid_B1U
        return out

    @torch.no_grad()
    def of_robot(self, index: int) -> ActionExpert:
        """A copy for one robot, of its own widths: the same velocities in its places, to rounding."""
        one = self._for_one(index)
        named = dict(one.named_parameters())
        for name, value in self.named_parameters():
            if name.rpartition(".")[0] not in _ENDS:
                named[name].copy_(value)
        for name in _ENDS:
            layer, ours = one.get_submodule(name), cast(CategoryLinear, self.get_submodule(name))
            weight = cast(nn.Linear, layer).weight
            weight.copy_(ours.weight[index].T[: weight.shape[0], : weight.shape[1]])
            bias = cast(nn.Linear, layer).bias
            bias.copy_(ours.bias[index, : len(bias)])
        return one.to(self.device)

    @torch.no_grad()
    def _begin_as_one_robot_s(self, index: int) -> None:
        """Draw a robot's ends as an expert of its own would have them; padded places stay zero."""
        one = self._for_one(index)
        for name in _ENDS:
            layer, ours = cast(nn.Linear, one.get_submodule(name)), cast(CategoryLinear, self.get_submodule(name))
            ours.weight[index].zero_()
            ours.weight[index, : layer.in_features, : layer.out_features].copy_(layer.weight.T)
            ours.bias[index, : layer.out_features].copy_(layer.bias)

    def _for_one(self, index: int) -> ActionExpert:
        _, states, actions = self.config.robots[index]
        tokens, dim = self.subgoal_shape
        return ActionExpert(
            self.config.model_copy(update={"robots": ()}),
            num_actions=actions,
            num_states=states,
            num_subgoal_tokens=tokens,
            subgoal_dim=dim,
        )


def _first(counts: list[int], width: int) -> Tensor:
    """`(R, width)`: one in the first so many places of each row, zero behind."""
    return (torch.arange(width) < torch.tensor(counts)[:, None]).float()
