"""`PackedJointExpert`: a packed `JointExpert` whose state goes through the layers with a chunk's first rows.

The state is a token of its own in pi0, the same in each flow step: the plain expert runs it once, before the rows. One
row takes as long as reading all weights does, a thirtieth of the chunk; one row more beside fifty takes a fiftieth of
a step.

Shape legend: B batch, A action rows, T tokens (the state's, then the rows'), U actions, D width, E all that a flow
time does.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from dualsys.actor.attention import MASKED
from dualsys.actor.joint_expert import Begun, JointExpert, PrefixMemory
from dualsys.actor.joint_layers import Rotation
from dualsys.actor.packed_joint import PackedAttention


@dataclass(slots=True)
class StateFirst:
    """What serves every flow step of a chunk, of which the first one is still to read the state."""

    state_B1D: Tensor | None
    """None: it is read."""
    begun: Begun
    """For the next step."""


class PackedJointExpert(JointExpert):
    """For sampling: `begin`, then `step` in order."""

    def __init__(self, plain: JointExpert) -> None:
        """Takes an expert's parts, packed or not, as its own."""
        nn.Module.__init__(self)
        self.config, self.num_actions, self.num_states = plain.config, plain.num_actions, plain.num_states
        self.state_in: nn.Linear | None = None
        for name, part in plain.named_children():
            setattr(self, name, part)

    def begin(  # type: ignore[override]
        self, memory: PrefixMemory, state_BX: Tensor, age_B: Tensor | None = None, image_BCHW: Tensor | None = None
    ) -> "Begun | StateFirst":
        """What serves every flow step."""
        joint = all(layer.attention.joint for layer in self.decoder_layers())
        if self.state_in is None or self.config.causal or memory.mask_BS is not None or not joint:
            return super().begin(memory, state_BX, age_B, image_BCHW)
        return StateFirst(self.state_in(state_BX)[:, None], self._with_state_in_front(memory))

    def step(
        self, x_BAU: Tensor, told_BE: Tensor, begun: "Begun | StateFirst", prefix_BA: Tensor | None = None
    ) -> Tensor:
        """Velocity `(B, A, U)`."""
        if isinstance(begun, Begun):
            return super().step(x_BAU, told_BE, begun, prefix_BA)
        if begun.state_B1D is None:
            return super().step(x_BAU, told_BE, begun.begun, prefix_BA)
        x_BTD = torch.cat([begun.state_B1D, self.rows(x_BAU, told_BE)], dim=1)
        x_BTD = self.through_layers(x_BTD, told_BE, begun.begun)
        begun.state_B1D, begun.begun = None, self._state_read(begun.begun)
        return self.velocity(x_BTD[:, 1:], told_BE)

    def _with_state_in_front(self, memory: PrefixMemory) -> Begun:
        count = self.config.horizon + 1
        mask_TS = torch.zeros(count, int(memory.length_B) + count)
        mask_TS[0, 1 - count :] = MASKED
        rotation = self.rotation(memory.length_B[:, None] + torch.arange(count))
        return Begun(memory.layers, mask_TS[None, None], None, rotation, rotation)

    def _state_read(self, begun: Begun) -> Begun:
        layers = tuple(cast(PackedAttention, layer.attention).in_front(self.config.horizon) for layer in self.layers)
        rotation = Rotation(*(side[:, :, 1:] for side in begun.joint_rotation))
        return Begun(layers, None, None, rotation, rotation)
