"""Planner and actor under one loss: the flow loss flows through the subgoal into the planner.

Beside it stand the helpers of `helpers.py`, which read positions off the subgoal and off the picture.

Shape legend: B frames, R moments a frame, N = B * R, K subgoal tokens, C their width.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange, repeat
from numpy.typing import NDArray
from torch import Tensor, nn

from dualsys.actor.action_expert import Condition
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import flow_loss, interpolate, masked_mean, sample_time
from dualsys.actor.head_config import HeadConfig
from dualsys.actor.heads import Draws
from dualsys.actor.many_robots_actor import ManyRobotActor
from dualsys.actor.normalization import Normalized
from dualsys.app.training.adapters import Adapters
from dualsys.app.training.augmentation import augmented
from dualsys.app.training.centres import Centres
from dualsys.app.training.helpers import METRES, PicturePositions, SubgoalTargets, presence_error, squared_error
from dualsys.app.training.sampler import Batch, TrainingData
from dualsys.app.training.share import WHOLE, Share
from dualsys.app.training.subgoal_cache import subgoals_of_frames
from dualsys.data.reader import DemonstrationDataset
from dualsys.messages import FloatArray, ImageArray
from dualsys.planner.preprocessing import images_to_pixels
from dualsys.planner.vlm_planner import VLMPlanner

PRESENCE_WEIGHT = 0.1
"""Of the helper that says which hands are to go: in bits, where places are in square decimetres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """How the parts are summed and what is hidden from the actor."""

    position: float
    """Weight of the helpers' loss."""
    subgoal_dropout: float
    """Probability of the null subgoal for a moment."""
    image_noise: float
    """Strength of brightness, contrast and pixel noise on training images; 0: none."""
    goal_dropout: float = 0.0
    """Probability of hiding the goal's picture, for models that are shown one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Of one batch, or a worker's parts of them, which add up."""

    total: Tensor
    flow: Tensor
    position: Tensor
    position_error_m: Tensor
    """Mean distance between a hand's target and where the subgoal says it is; NaN where nobody knows."""


class Learner(nn.Module):
    """All that is trained."""

    def __init__(
        self,
        planner: VLMPlanner,
        actor: FlowActor | ManyRobotActor,
        weights: LossWeights,
        centres: Centres,
    ) -> None:
        super().__init__()
        self.planner = planner
        self.actor = actor
        self.weights = weights
        self._keeps_planner = False
        self._adapters: tuple[Adapters, Adapters | None] | None = None
        self.network = planner.network
        self.expert: Any = actor.expert
        self.precision = torch.float32
        """Of both networks' arithmetic; bfloat16: autocast. Weights, helpers and losses stay in float32."""
        self.helpers_only_read = False
        """Whether helpers learn to read what there is and change nothing: new ones would spoil a trained planner."""
        spec = planner.subgoal_spec
        self.target_centres_T3: Tensor
        self.kind_centres_O3: Tensor
        for name, places in (("target_centres_T3", centres.targets_T3), ("kind_centres_O3", centres.kinds_O3)):
            self.register_buffer(name, torch.from_numpy(places).float(), persistent=False)
        num_targets, num_kinds = len(centres.targets_T3), len(centres.kinds_O3)
        backbone = planner.network.backbone
        self.subgoal_targets = SubgoalTargets(spec.num_tokens, spec.dim, num_targets)
        self.picture_positions = PicturePositions(backbone.width, backbone.num_image_tokens, num_targets + num_kinds)

    def keep_planner(self) -> None:
        """Train the actor alone."""
        self._keeps_planner = True
        for part in (self.network, self.subgoal_targets, self.picture_positions):
            part.requires_grad_(False)

    def tune_last_layers(self, count: int) -> None:
        """Freeze the backbone but for the decoder's last `count` layers before the exit. Raises `ConfigError`."""
        self.network.backbone.tune_last_layers(count)

    def adapt(self, rank: int) -> None:
        """Freeze planner and actor but for adapters, the embedding of words and what turns rows into tokens."""
        self._adapters = (
            Adapters(self.network, rank=rank, whole=("embed_tokens",)),
            Adapters(self.expert, rank=rank, whole=("action_in", "action_out", "state_in")),
        )

    def adapt_backbone(self, rank: int, *, learn_words: bool) -> None:
        """Freeze the planner's backbone but for adapters and, where words are to learn, their embedding; all of the
        readout and of the actor learn.
        """
        whole = ("readout.", "embed_tokens") if learn_words else ("readout.",)
        self._adapters = (Adapters(self.network, rank=rank, whole=whole, spared=("readout.",)), None)

    def reads(self, data: DemonstrationDataset) -> TrainingData:
        """What batches are drawn from. Raises `DatasetError` for a camera that it looks through and the data lack."""
        # As planner and actor are, not as options have them: a checkpoint that was started from brings its own.
        vision = self.actor.config.vision
        kept = TrainingData.of(data, self.planner.config.camera, None if vision is None else vision.camera.name)
        return replace(kept, goals=self.planner.config.goal_image or (vision is not None and vision.goal))

    def ready(self, data: TrainingData, folder: Path, say: Callable[[str], None], share: Share) -> TrainingData:
        """Before the first step: the data with every frame's subgoal where the planner is kept. The first worker
        computes them, all map them.
        """
        if not self._keeps_planner:
            return data
        compute = partial(subgoals_of_frames, self.planner, data, folder, say)
        share.on_first(compute)
        return replace(data, subgoals=compute())

    def export(self) -> tuple[VLMPlanner, FlowActor | ManyRobotActor]:
        """Planner and actor as they are to be saved: adapters merged."""
        if self._adapters is None:
            return self.planner, self.actor
        of_network, of_expert = self._adapters
        actor = self.actor if of_expert is None else self.actor.with_expert(of_expert.merged())
        return self.planner.with_network(of_network.merged()), actor

    def losses(self, batch: Batch, generator: torch.Generator, *, augment: bool, share: Share = WHOLE) -> Losses:
        """Losses of a batch, or of a worker's share of one; every random number comes from `generator`, which draws on
        the learner's device or on the processor; these draw different ones.

        With subgoals in the batch, losses of the actor alone. It draws for the whole batch, of which a share takes its
        own, so what a sample meets depends on no division.
        """
        if batch.subgoals is not None:
            flow = self._flow_loss(self._here(np.array(batch.subgoals)), batch, generator, share)
            nothing = torch.zeros_like(flow)
            return Losses(total=flow, flow=flow, position=nothing, position_error_m=torch.full_like(nothing, math.nan))
        pixels_BCHW = images_to_pixels(batch.images, self.network.backbone.image_size, generator.device)
        if augment:
            pixels_BCHW = augmented(pixels_BCHW, self.weights.image_noise, generator, share)
        pixels_BCHW = pixels_BCHW.to(self.device)
        prompt = self.planner.prompt(batch.instructions)
        if self.planner.config.goal_image and batch.goal_images is not None:
            goal_BCHW = images_to_pixels(batch.goal_images, self.network.backbone.image_size, generator.device)
            pixels_BCHW = torch.stack([pixels_BCHW, goal_BCHW.to(self.device)], dim=1)
            prompt = self.planner.with_goals(prompt, self._has_goal(len(batch.images), generator, share))
        with self._arithmetic():
            tokens_BKC, picture_BPD = self.network.look(pixels_BCHW, prompt)
        tokens_BKC, picture_BPD = tokens_BKC.float(), picture_BPD.float()
        flow = self._flow_loss(tokens_BKC, batch, generator, share)
        true_BT3 = (self._here(batch.target_positions) - self.target_centres_T3) / METRES
        kinds_BO3 = (self._here(batch.object_positions) - self.kind_centres_O3) / METRES
        if self.helpers_only_read:
            tokens_BKC, picture_BPD = tokens_BKC.detach(), picture_BPD.detach()
        seen_BT3, logits_BT = self.subgoal_targets(tokens_BKC)
        placed_BO3 = self.picture_positions(picture_BPD)
        position = (
            _position_part(seen_BT3, true_BT3, share)
            + _position_part(placed_BO3, torch.cat([true_BT3, kinds_BO3], dim=1), share)
            + PRESENCE_WEIGHT * share.part_of_mean(presence_error(logits_BT, true_BT3), _num_known(true_BT3))
        )
        error_BT = (seen_BT3 - true_BT3).detach().norm(dim=-1)
        error_m = share.part_of_mean(error_BT.nanmean(), torch.isfinite(error_BT).sum()) * METRES
        total = flow + self.weights.position * position
        return Losses(total=total, flow=flow, position=position, position_error_m=error_m)

    def _flow_loss(self, tokens_BKC: Tensor, batch: Batch, generator: torch.Generator, share: Share) -> Tensor:
        moments = batch.states.shape[1]
        scaled, robot_N = self._scaled(batch)
        actions_NAU, states_NX = self._here(scaled.actions_NAU), self._here(scaled.states_NX)
        subgoal_NKC = repeat(tokens_BKC, "b k c -> (b r) k c", r=moments)
        count = share.whole(actions_NAU.shape[0])
        where = generator.device
        drawn_N = share.of(torch.rand(count, generator=generator, device=where))
        kept_N = (drawn_N >= self.weights.subgoal_dropout).to(self.device)
        drawn_NAU = torch.randn((count, *actions_NAU.shape[1:]), generator=generator, device=where)
        noise_NAU = share.of(drawn_NAU).to(self.device)
        time_N = share.of(sample_time(count, generator=generator)).to(self.device)
        given_NA = self._given(count, actions_NAU.shape[1], generator, share)
        condition = Condition(
            state_BX=states_NX,
            subgoal_BKC=subgoal_NKC,
            mask_BK=repeat(kept_N, "n -> n k", k=subgoal_NKC.shape[1]),
            age_B=self._here(batch.ages_s.reshape(-1)),
            image_BCHW=self._actor_pixels(batch, generator, share),
            prefix_BA=given_NA,
            robot_B=robot_N,
        )
        is_real_NA1 = self._here(rearrange(batch.is_real, "b r a -> (b r) a 1"))
        if isinstance(self.actor.config, HeadConfig):
            level_N = share.of(torch.rand(count, generator=generator, device=where)).to(self.device)
            with self._arithmetic():
                loss_NAU = self.expert.loss(actions_NAU, is_real_NA1[..., 0], condition, Draws(noise_NAU, level_N))
            return share.part_of_mean(masked_mean(loss_NAU.float(), is_real_NA1), is_real_NA1.sum())
        noisy_NAU = interpolate(noise_NAU, actions_NAU, time_N)
        if given_NA is not None:
            noisy_NAU = torch.where(given_NA[..., None], actions_NAU, noisy_NAU)
            is_real_NA1 = is_real_NA1 & ~given_NA[..., None]
        counts = is_real_NA1 if scaled.counts_NU is None else is_real_NA1 & self._here(scaled.counts_NU)[:, None]
        with self._arithmetic():
            velocity_NAU = self.expert(noisy_NAU, time_N, condition)
        loss = flow_loss(velocity_NAU.float(), noise_NAU, actions_NAU, counts)
        return share.part_of_mean(loss, counts.sum())

    def _scaled(self, batch: Batch) -> tuple[Normalized, Tensor | None]:
        """States and rows as the expert takes them, and of which robot each sample is; None where all are of one."""
        states_NX, actions_NAU = _flat(batch.states), _flat(batch.actions)
        if isinstance(self.actor, FlowActor):
            return self.actor.statistics.normalized(states_NX, actions_NAU), None
        assert batch.robots is not None  # whoever builds an actor of several robots has data of several
        robot_N = np.repeat(batch.robots, batch.states.shape[1])
        return self.actor.statistics.normalized(states_NX, actions_NAU, robot_N), self._here(robot_N)

    def _given(self, count: int, horizon: int, generator: torch.Generator, share: Share) -> Tensor | None:
        """Which rows a sample is given `(N, A)`: any number up to the most, so that any delay is known."""
        most = self.actor.config.max_prefix
        if not most:
            return None
        rows_N = share.of(torch.randint(0, most + 1, (count,), generator=generator, device=generator.device))
        return (torch.arange(horizon, device=generator.device) < rows_N[:, None]).to(self.device)

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.precision == torch.float32 else torch.autocast(self.device.type, self.precision)

    @property
    def device(self) -> torch.device:
        """Where everything is trained."""
        return self.target_centres_T3.device

    def _here(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def _has_goal(self, count: int, generator: torch.Generator, share: Share) -> Tensor:
        """Which samples `(B,)` are shown their goal."""
        drawn_B = share.of(torch.rand(share.whole(count), generator=generator, device=generator.device))
        return (drawn_B >= self.weights.goal_dropout).to(self.device)

    def _actor_pixels(self, batch: Batch, generator: torch.Generator, share: Share) -> Tensor | None:
        """What the actor's own eye is shown at each moment `(N, C, h, w)` in [-1, 1]; None for an actor without one."""
        if batch.actor_images is None:
            return None
        moments = batch.actor_images.shape[1]
        seen_NCHW = self._pictures(rearrange(batch.actor_images, "b r h w c -> (b r) h w c"))
        vision = self.actor.config.vision
        if vision is None or not vision.goal or batch.actor_goal_images is None:
            return seen_NCHW
        has_B111 = self._has_goal(len(batch.actor_goal_images), generator, share).float()[:, None, None, None]
        goal_BCHW = self._pictures(batch.actor_goal_images) * has_B111
        present_B1HW = has_B111.expand(-1, 1, *goal_BCHW.shape[-2:])
        goal_NCHW = repeat(torch.cat([goal_BCHW, present_B1HW], dim=1), "b c h w -> (b r) c h w", r=moments)
        return torch.cat([seen_NCHW, goal_NCHW], dim=1)

    def _pictures(self, images_NHWC: ImageArray) -> Tensor:
        return rearrange(self._here(images_NHWC).float() / 127.5 - 1.0, "n h w c -> n c h w")


def _flat(values: NDArray[np.float32]) -> FloatArray:
    """`(B, R, ...)` to `(N, ...)`, in the precision that statistics are kept in."""
    flat: FloatArray = rearrange(values, "b r ... -> (b r) ...").astype(np.float64)
    return flat


def _position_part(seen: Tensor, true: Tensor, share: Share) -> Tensor:
    return share.part_of_mean(squared_error(seen, true), torch.isfinite(true).sum())


def _num_known(true_BT3: Tensor) -> Tensor:
    """Rows in which somebody knows of a target."""
    return torch.isfinite(true_BT3).all(dim=-1).any(dim=-1).sum()
