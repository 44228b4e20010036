"""`Sampler`: carries noise to rows of motion. One noun, several engines; `EagerSampler` is the reference.

The work is split by what it depends on. `remember` needs the subgoal alone, so it can run as soon as a subgoal arrives;
`sample` needs the moment, too. Engines are chosen by name in `dualsys.actor.backends`.

Shape legend: A action rows, U actions, X states, K subgoal tokens, C their width, E evaluations of the field, or all
that a flow time does. A prefix of keys and values is an array of more axes where tokens are `(K, C)`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dualsys.actor.experts import FlowExpert
from dualsys.actor.flow_matching import Solver, evaluation_times, integrate

Array: TypeAlias = npt.NDArray[np.float32]


class Moment(NamedTuple):
    """What changes with every chunk; normalised, float32."""

    noise_AU: Array
    state_X: Array
    age_s: float = 0.0
    """Of the subgoal; unread for the null subgoal."""
    image_CHW: Array | None = None
    """In [-1, 1]; only for experts with fast vision."""


class Field(Protocol):
    """What the loop asks of an expert: a part of `FlowExpert`."""

    @property
    def config(self) -> Any:
        """Read are `num_inference_steps` and `solver`."""
        ...

    def begin(self, memory: Any, state_BX: Tensor, age_B: Tensor, image_BCHW: Tensor | None) -> Any:
        """What serves every step of a chunk."""
        ...

    def step(self, x_BAU: Tensor, told_BE: Tensor, begun: Any) -> Tensor:
        """Velocity `(B, A, U)`."""
        ...


class Sampler(Protocol):
    """Rows from noise, for one expert."""

    @property
    def version(self) -> Any:
        """Of the weights: what was remembered under another one is forgotten."""
        ...

    def remember(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        """What depends on the subgoal alone, in a form of the sampler's own. A mask without True: the null subgoal."""
        ...

    def sample(self, memory: Any, moment: Moment) -> Array:
        """Rows `(A, U)`, normalised."""
        ...


class EagerSampler:
    """PyTorch as it stands, wherever the expert is and with whatever weights it has at the time."""

    def __init__(self, expert: FlowExpert) -> None:
        self.expert = expert
        """What is sampled."""
        self._weights = written_weights(expert)
        self._told: tuple[Any, list[Tensor]] | None = None

    @property
    def version(self) -> tuple[int, str]:
        """Counts the writes to the weights, and names the device."""
        return weights_version(self._weights), str(self.expert.device)

    @torch.no_grad()  # not inference mode: guided chunks take gradients through what reads it
    def remember(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        """Keys and values."""
        return self.expert.remember(*subgoal_on_device(tokens_KC, mask_K, self.expert.device))

    @torch.inference_mode()
    def sample(self, memory: Any, moment: Moment) -> Array:
        """Rows."""
        rows_BAU = flow(self.expert, self._times_told(), memory, *on_device(moment, self.expert.device))
        rows: Array = rows_BAU[0].cpu().numpy()
        return rows

    def _times_told(self) -> list[Tensor]:
        """Of each evaluation; the same for every chunk, as long as the weights are."""
        version = self.version
        if self._told is None or self._told[0] != version:
            self._told = (version, time_conditions(self.expert))
        return self._told[1]


def time_conditions(expert: FlowExpert) -> list[Tensor]:
    """What the expert makes of the flow time, `(1, E)` for each evaluation of the loop, in order.

    In float64: peers that count time the other way round it once, after they turned it.
    """
    times_E = evaluation_times(expert.config.num_inference_steps, Solver(expert.config.solver), torch.float64)
    return [expert.tell(time[None]) for time in times_E.to(expert.device)]


def flow(
    expert: Field,
    told: list[Tensor],
    memory: Any,
    noise_BAU: Tensor,
    state_BX: Tensor,
    age_B: Tensor,
    image_BCHW: Tensor | None,
) -> Tensor:
    """The whole loop on tensors: `(B, A, U)` from noise. `told` comes from `time_conditions`."""
    begun = expert.begin(memory, state_BX, age_B, image_BCHW)
    turn = iter(told)
    return integrate(
        lambda x, _: expert.step(x, next(turn), begun),
        noise_BAU,
        expert.config.num_inference_steps,
        Solver(expert.config.solver),
    )


def written_weights(expert: Any) -> list[Tensor]:
    """Those of an expert's whose writes are counted."""
    return [weight for weight in cast(nn.Module, expert).parameters() if not weight.is_inference()]


def weights_version(weights: Sequence[Tensor]) -> int:
    """Counts the writes to weights."""
    return sum(weight._version for weight in weights)


def subgoal_on_device(tokens_KC: Array, mask_K: npt.NDArray[np.bool_], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens and mask of a subgoal as a batch of one."""
    return torch.from_numpy(tokens_KC)[None].to(device), torch.from_numpy(mask_K)[None].to(device)


def on_device(moment: Moment, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Noise, state, age and image as a batch of one."""
    noise, state = torch.from_numpy(moment.noise_AU)[None].to(device), torch.from_numpy(moment.state_X)[None].to(device)
    age = torch.tensor([moment.age_s], dtype=torch.float32, device=device)
    return noise, state, age, None if moment.image_CHW is None else torch.from_numpy(moment.image_CHW)[None].to(device)


class _Known(NamedTuple):
    version: Any
    tokens_KC: Array
    mask_K: npt.NDArray[np.bool_]
    memory: Any

    def is_of(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> bool:
        same = self.tokens_KC is tokens_KC or np.array_equal(self.tokens_KC, tokens_KC)
        return same and np.array_equal(self.mask_K, mask_K)


class SubgoalCache:
    """Remembers the newest subgoal and the null subgoal, told apart by what is in them."""

    def __init__(self, remember: Callable[[Array, npt.NDArray[np.bool_]], Any]) -> None:
        self._remember = remember
        self._newest: _Known | None = None
        self._null: _Known | None = None

    def memory(self, version: Any, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        """The memory of a subgoal, made when it is not there. The arrays are kept: hand over copies."""
        null = not mask_K.any()
        known = self._null if null else self._newest
        # Compared by content, which costs microseconds: whoever fills one buffer again and again is right, too.
        if known is not None and known.version == version and (null or known.is_of(tokens_KC, mask_K)):
            return known.memory
        made = _Known(version, tokens_KC, mask_K, self._remember(tokens_KC, mask_K))
        if null:
            self._null = made
        else:
            self._newest = made
        return made.memory
