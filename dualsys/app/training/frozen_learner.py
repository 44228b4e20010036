"""The actor of an imported controller under its family's loss, and the planner beside it, which stays as it is.

The originals' own default for SmolVLA and GR00T. The planner makes subgoals without gradient, from pictures as they
are; what is trained is all that the actor is. `Learner` is for planners that learn, too.

Shape legend: B frames, R moments a frame, N = B * R, A action rows, U actions, X states, K tokens of a subgoal.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from dualsys.actor.action_expert import Condition
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import masked_mean
from dualsys.actor.heads import Draws
from dualsys.app.training.frozen_planner import FrozenPlanner
from dualsys.app.training.frozen_subgoals import FrozenSubgoals
from dualsys.app.training.learner import Losses
from dualsys.app.training.planner_views import PlannerViews
from dualsys.app.training.sampler import Batch, TrainingData
from dualsys.app.training.share import WHOLE, Share
from dualsys.data.reader import DemonstrationDataset
from dualsys.messages import FloatArray


class FrozenLearner(nn.Module):
    """All that is trained of an imported controller: its expert, which has a `loss` as heads do."""

    def __init__(
        self, planner: FrozenPlanner, actor: FlowActor, data: DemonstrationDataset, *, subgoal_dropout: float
    ) -> None:
        """`data`: what is trained on, of the actor's robot; `subgoal_dropout`: how often a moment has none."""
        super().__init__()
        self.planner = planner
        self.actor = actor
        self.expert: Any = actor.expert
        self.precision = torch.float32
        """Of the expert's arithmetic; bfloat16: autocast. Weights and losses stay in float32."""
        self.helpers_only_read = False
        """Unread: there are no helpers."""
        self._cameras = [name for name in planner.cameras if name in data.cameras]
        self._subgoal_dropout = subgoal_dropout
        self._subgoals = FrozenSubgoals(
            planner, PlannerViews(data=data, cameras=self._cameras, reads_state=planner.reads_state)
        )

    def reads(self, data: DemonstrationDataset) -> TrainingData:
        """What batches are drawn from."""
        return TrainingData.of(data, self._cameras[0])

    def ready(self, data: TrainingData, folder: Path, say: Callable[[str], None], share: Share) -> TrainingData:
        """Before the first step: subgoals are computed, by the first worker, where they are few enough to be kept."""
        share.on_first(lambda: self._subgoals.keep_where_they_fit(folder, say))
        self._subgoals.take_kept(folder)
        return data

    def export(self) -> tuple[FrozenPlanner, FlowActor]:
        """Planner and actor as they are to be saved."""
        return self.planner, self.actor

    def losses(self, batch: Batch, generator: torch.Generator, *, augment: bool, share: Share = WHOLE) -> Losses:
        """Losses of a batch, or of a worker's share of one; `generator` as in `Learner.losses`.

        What layers drop is drawn by each worker for its own share, from a seed of the generator's.
        """
        del augment  # a planner that isn't trained has nothing to learn from other lamps
        moments = batch.states.shape[1]
        subgoals, masks = self._subgoals.at(batch.views)
        states_NX, actions_NAU = (rearrange(each, "b r ... -> (b r) ...") for each in (batch.states, batch.actions))
        is_real_NA = rearrange(batch.is_real, "b r a -> (b r) a")
        scaled = self.actor.statistics.normalized(states_NX.astype(np.float64), actions_NAU.astype(np.float64))
        count, where = share.whole(len(states_NX)), generator.device
        dropped_N = share.of(torch.rand(count, generator=generator, device=where)) < self._subgoal_dropout
        shape = (count, actions_NAU.shape[1], self.expert.num_actions)
        draws = Draws(
            share.of(torch.randn(shape, generator=generator, device=where)).to(self.device),
            share.of(torch.rand(count, generator=generator, device=where)).to(self.device),
        )
        mask_NK = self._here(masks).repeat_interleave(moments, dim=0)
        condition = Condition(
            state_BX=self._here(_widened(scaled.states_NX, self.expert.num_states)),
            subgoal_BKC=self._here(subgoals).repeat_interleave(moments, dim=0),
            mask_BK=mask_NK & ~dropped_N.to(self.device)[:, None],
            age_B=self._here(batch.ages_s.reshape(-1)),
        )
        counts_NA1 = self._here(is_real_NA & (np.arange(shape[1]) < self.actor.horizon))[..., None]
        real_NA, data_NAU = self._here(is_real_NA), self._here(_widened(scaled.actions_NAU, self.expert.num_actions))
        with self._dropping(generator, share), torch.autocast(self.device.type, self.precision, enabled=self._narrow):
            loss_NAU = self.expert.loss(data_NAU, real_NA, condition, draws)
        own_NAU = loss_NAU[..., : actions_NAU.shape[-1]].float()  # padding behind the robot's own actions counts not
        flow = share.part_of_mean(masked_mean(own_NAU, counts_NA1), counts_NA1.sum())
        nothing = torch.zeros_like(flow)
        return Losses(total=flow, flow=flow, position=nothing, position_error_m=torch.full_like(nothing, math.nan))

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        device: torch.device = self.expert.device
        return device

    @property
    def _narrow(self) -> bool:
        return self.precision != torch.float32

    @contextmanager
    def _dropping(self, generator: torch.Generator, share: Share) -> Iterator[None]:
        """Layers drop by torch's own generators, which are set for the step, so that a resumed one is the same."""
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed + share.rank)
            yield

    def _here(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def _widened(values: FloatArray | NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """`(..., width)`, with zeros behind: a narrow robot in an expert's places."""
    room = [(0, 0)] * (values.ndim - 1) + [(0, width - values.shape[-1])]
    return np.pad(values, room).astype(np.float32)
