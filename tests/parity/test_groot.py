"""GR00T N1.5 and N1.7 give what LeRobot's give on the same weights: features, loss, samples, real-time chunking."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from dualsys.actor.action_expert import Condition
from dualsys.actor.dit_expert import DiTExpert, Features
from dualsys.actor.flow_matching import masked_mean
from dualsys.actor.heads import Draws
from dualsys.actor.sampling import EagerSampler, Moment
from dualsys.app.importing.layouts.groot import Version, split_groot
from dualsys.app.importing.layouts.groot_published import EAGLE_BLOCK2A, groot_planner_config
from dualsys.app.importing.rules import require_fit
from dualsys.bridge.wire import SubgoalCodec
from dualsys.errors import CheckpointError
from dualsys.messages import LatentSubgoal
from dualsys.planner.feature_backbones import build_backbone
from tests.parity.groot_fixtures import (
    BETWEEN_BACKENDS,
    BOUND,
    NAMES,
    VERSIONS,
    Fixture,
    backbone,
    backbone_inputs,
    expert,
    full_config,
    load,
    load_named,
    published,
    published_n1_6,
)
from tests.parity.groot_outputs import continued, losses, sample


@pytest.fixture(params=NAMES)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    return load_named(request.param)


def assert_near(found: Tensor, expected: Tensor, bound: float = BOUND) -> None:
    torch.testing.assert_close(found, expected, atol=bound, rtol=0.0)


@torch.no_grad()
def test_the_planner_gives_the_peers_features(fixture: Fixture) -> None:
    inputs = backbone_inputs(fixture)
    eager = backbone(fixture)(**inputs)
    assert_near(eager, fixture.out["backbone_features"])
    assert_near(backbone(fixture, "sdpa")(**inputs), eager, BETWEEN_BACKENDS)


@torch.no_grad()
def test_features_and_state_are_processed_as_the_peers(fixture: Fixture) -> None:
    model = expert(fixture)
    assert_near(model.context(fixture.features)[0], fixture.out["processed_features"])
    if "state_features" in fixture.out:
        state = fixture.given["state"].flatten(1)
        assert_near(model.state_token(state, fixture.given["embodiment_id"]), fixture.out["state_features"])


@torch.no_grad()
def test_the_loss_is_the_peers(fixture: Fixture) -> None:
    loss, errors = losses(expert(fixture), fixture, fixture.features)
    assert_near(loss[None], fixture.out["loss"].reshape(1))
    if "action_loss" in fixture.out:
        assert_near(errors, fixture.out["action_loss"])


@torch.no_grad()
def test_an_expert_s_own_loss_is_the_peers_at_the_flow_times_that_it_draws(fixture: Fixture) -> None:
    loss = own_loss(fixture, fixture.given["t"])
    assert_near(loss[None], fixture.out["loss"].reshape(1))


@torch.no_grad()
@pytest.mark.parametrize("version", VERSIONS)
def test_an_expert_s_own_loss_counts_buckets_as_the_peers(version: Version) -> None:
    """0.57 in float32 is a little less, and its thousandfold is 570 again, in float32 alone."""
    fixture = load(version)
    t = torch.full_like(fixture.given["t"], 0.57)
    told = fixture._replace(given={**fixture.given, "t": t})
    loss, _ = losses(expert(told), told, told.features)
    assert_near(own_loss(told, t), loss)


def own_loss(fixture: Fixture, t_B: Tensor) -> Tensor:
    """Of what training calls; the level, in float64, is what the peer's flow time is drawn from."""
    given, features = fixture.given, fixture.features
    order = torch.argsort(~features.image_BK, dim=1, stable=True)
    tokens, mask, image = (torch.take_along_dim(part, _like(order, part), dim=1) for part in features)
    model = expert(fixture, num_image_tokens=int(image[0].sum()), num_subgoal_tokens=tokens.shape[1])
    config, t = model.config, t_B.double()
    beta = 1 - t / config.time_cutoff if config.time_draw == "scaled" else config.time_cutoff * (1 - t)
    condition = Condition(given["state"].flatten(1), tokens, mask, torch.zeros(len(t)), robot_B=given["embodiment_id"])
    real = torch.ones(given["action"].shape[:2], dtype=torch.bool)
    errors = model.loss(given["action"], real, condition, Draws(given["noise"], beta**config.time_alpha))
    return masked_mean(errors.float(), given["action_mask"])


@torch.no_grad()
def test_samples_are_the_peers_from_its_features_and_from_ours(fixture: Fixture) -> None:
    model = expert(fixture)
    assert_near(sample(model, fixture, fixture.features), fixture.out["actions"])
    ours = fixture.features_of(backbone(fixture)(**backbone_inputs(fixture)))
    whole = sample(model, fixture, ours)
    assert_near(whole, fixture.out["actions"])
    fused = fixture.features_of(backbone(fixture, "sdpa")(**backbone_inputs(fixture)))
    assert_near(sample(expert(fixture, attention="sdpa"), fixture, fused), whole, BETWEEN_BACKENDS)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in NAMES if "actions_rtc" in load_named(name).out])
def test_real_time_chunking_is_the_peers(name: str) -> None:
    fixture = load_named(name)
    found = continued(expert(fixture), fixture, fixture.features)
    assert_near(found, fixture.out["actions_rtc"])


@torch.no_grad()
def test_a_motion_of_which_nothing_is_told_is_sampled_as_a_new_one() -> None:
    fixture, none = load("n1_7"), {"rtc_overlap_steps": 0, "rtc_frozen_steps": 0}
    told = fixture._replace(config={**fixture.config, "rtc": {**fixture.config["rtc"], **none}})
    assert_near(continued(expert(fixture), told, fixture.features), fixture.out["actions"])


@torch.no_grad()
def test_split_it_acts_as_the_peer_unsplit(fixture: Fixture) -> None:
    """Features cross as bytes, images first, padded and masked; what samples is what `FlowActor` runs."""
    features = fixture.features_of(backbone(fixture)(**backbone_inputs(fixture)))
    count, room = features.tokens_BKC.shape[1], features.tokens_BKC.shape[1] + 5
    order = torch.argsort(~features.image_BK[0], stable=True)
    tokens = np.zeros((room, features.tokens_BKC.shape[2]), dtype=np.float32)
    tokens[:count] = features.tokens_BKC[0, order].numpy()
    sent = LatentSubgoal(tokens=tokens, mask=np.arange(room) < count, observation_stamp_s=0.0)
    codec = SubgoalCodec()
    came = codec.decode(codec.encode(sent))
    assert came.mask is not None
    model = expert(
        fixture,
        reads_padding=False,
        robot=int(fixture.given["embodiment_id"][0]),
        num_subgoal_tokens=room,
        num_image_tokens=int(features.image_BK[0].sum()),
    )
    sampler = EagerSampler(model)
    moment = Moment(fixture.given["noise"][0].numpy(), fixture.given["state"][0].flatten().numpy())
    rows = sampler.sample(sampler.remember(came.tokens.copy(), came.mask.copy()), moment)
    assert_near(torch.from_numpy(rows), fixture.out["actions"][0])


@torch.no_grad()
def test_images_first_is_as_good_as_the_prompts_own_order(fixture: Fixture) -> None:
    """What lets a subgoal say by its tokens' places which of them are of images."""
    order = torch.argsort(~fixture.features.image_BK, dim=1, stable=True)
    moved = Features(*(torch.take_along_dim(part, _like(order, part), dim=1) for part in fixture.features))
    model = expert(fixture)
    assert_near(sample(model, fixture, moved), fixture.out["actions"])


def _like(order_BK: Tensor, part: Tensor) -> Tensor:
    return order_BK if part.ndim == 2 else order_BK[..., None]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_published_names_are_all_read_and_all_there(version: Version) -> None:
    planner, actor = split_groot(published(version), version)
    with torch.device("meta"):
        model = DiTExpert(full_config(version))
        eyes = build_backbone(groot_planner_config(version, cameras=("head",)).backbone, "sdpa")
    require_fit(actor, model.state_dict(), where="actor")
    require_fit(planner, eyes.state_dict(), where="planner")


def test_n1_6_is_read_as_far_as_its_names_are_known() -> None:
    planner, actor = split_groot(published_n1_6(), "n1_6")
    with torch.device("meta"):
        model = DiTExpert(full_config("n1_6"))
        eyes = build_backbone(EAGLE_BLOCK2A, "sdpa")
    require_fit(actor, model.state_dict(), where="actor")
    require_fit(planner, eyes.state_dict(), where="planner")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.update({"action_head.extra": torch.zeros(1)}), "1 tensors that this layout doesn't have: extra"),
        (lambda w: w.update({"lm_head.weight": torch.zeros(1)}), "neither of the backbone nor of the action head"),
        (
            lambda w: w.pop("action_head.model.transformer_blocks.0.attn1.to_v.weight"),
            "'transformer.blocks.0.attention.to_kv.weight' is joined from 2 tensors, 1 are there",
        ),
    ],
)
def test_a_layout_that_is_not_theirs_is_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    weights = published("n1_5")
    change(weights)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        split_groot(weights, "n1_5")


def test_missing_and_misshapen_weights_are_named() -> None:
    fixture = load("n1_5")
    weights = {**fixture.actor_weights, "position": torch.zeros(3, 3)}
    del weights["context_norm.bias"]
    with pytest.raises(CheckpointError, match=r"missing: context_norm\.bias; 1 of another shape: position \(3, 3\)"):
        require_fit(weights, expert(fixture).state_dict(), where="actor")
