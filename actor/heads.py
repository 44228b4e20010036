"""`Head`: ways from a subgoal and a state to rows other than flow matching, on the same runtime, for comparison.

    regression   every row at once             diffusion   denoised in steps, by a transformer or a U-Net
    act          a variational autoencoder     tokens      word for word: bins, or FAST

Shape legend: N a batch, A action rows, U actions, X states, K subgoal tokens, C their width.
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from dualsys.actor.action_expert import Condition
from dualsys.actor.sampling import (
    Array,
    Moment,
    on_device,
    subgoal_on_device,
    weights_version,
    written_weights,
)


class Draws(NamedTuple):
    """Randomness of a training step, for heads and imported experts, drawn by whoever shares a batch among workers."""

    noise_NAU: Tensor
    """Standard normal."""
    level_N: Tensor
    """Even in [0, 1)."""


class Head(Protocol):
    """A network and how it is trained and sampled."""

    @property
    def config(self) -> Any:
        """Its configuration, a `HeadConfig`."""
        ...

    @property
    def num_actions(self) -> int:
        """Width of a row."""
        ...

    @property
    def num_states(self) -> int:
        """Width of a state."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        ...

    def remember(self, subgoal_BKC: Tensor, mask_BK: Tensor) -> Any:
        """What depends on a subgoal alone. No row of the mask being True, it is the null subgoal."""
        ...

    def rows(
        self, memory: Any, noise_BAU: Tensor, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None
    ) -> Tensor:
        """A chunk `(B, A, U)`, normalised. The same arguments give the same rows."""
        ...

    def loss(self, actions_NAU: Tensor, is_real_NA: Tensor, condition: Condition, draws: Draws) -> Tensor:
        """Of each number of each row, `(N, A, U)`; what concerns a whole chunk is spread over its numbers.

        `is_real` is False where an episode has ended, at the earliest behind row 0. What stands there must change
        nothing of the real rows' loss.
        """
        ...


def held(actions_NAU: Tensor, is_real_NA: Tensor) -> Tensor:
    """Rows `(N, A, U)` that stay at the last real one, for heads that read a chunk as a whole."""
    last_N1 = is_real_NA.sum(dim=1, keepdim=True).clamp(min=1) - 1
    row_NA = torch.arange(actions_NAU.shape[1], device=actions_NAU.device).minimum(last_N1)
    return actions_NAU.gather(1, row_NA[..., None].expand_as(actions_NAU))


class HeadSampler:
    """A head as a sampler."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._weights = written_weights(head)

    @property
    def version(self) -> tuple[int, str]:
        """Counts the writes to the weights, and names the device."""
        return weights_version(self._weights), str(self._head.device)

    @torch.inference_mode()
    def remember(self, tokens_KC: Array, mask_K: Any) -> Any:
        """What depends on the subgoal alone."""
        return self._head.remember(*subgoal_on_device(tokens_KC, mask_K, self._head.device))

    @torch.inference_mode()
    def sample(self, memory: Any, moment: Moment) -> Array:
        """Rows."""
        rows_BAU = self._head.rows(memory, *on_device(moment, self._head.device))
        rows: Array = rows_BAU[0].float().cpu().numpy()
        return rows
