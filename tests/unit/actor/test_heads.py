"""Heads other than flow matching, on the same runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.actor.act_head import divergence
from dualsys.actor.act_network import picture_places, row_places
from dualsys.actor.action_expert import Condition
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.experts import CONFIGS, build_expert, name_of
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import masked_mean
from dualsys.actor.head_config import DiffusionConfig, HeadConfig, UNetConfig
from dualsys.actor.heads import Draws
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError, SpecMismatch
from dualsys.messages import ActionPrefix
from dualsys.testing import fake_embodiment
from tests.unit.actor.heads_under_test import SHAPE, every_head
from tests.unit.actor.saved import saved

ARM = fake_embodiment(2)
SPEC = SubgoalSpec(num_tokens=3, dim=8)
HEADS = every_head(ARM.num_actions)
EVERY = pytest.mark.parametrize("name", list(HEADS))


def make(name: str) -> FlowActor:
    torch.manual_seed(0)
    scale = Statistics(mean=(0.0, 0.0), std=(1.0, 1.0))
    statistics = ControllerStatistics(state=scale, action=scale)
    return FlowActor.build(HEADS[name], embodiment=ARM, subgoal_spec=SPEC, statistics=statistics)


def condition(count: int, seed: int = 0) -> Condition:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(count, 3, dtype=torch.bool)
    mask[0] = False
    return Condition(
        state_BX=torch.randn(count, ARM.num_states, generator=generator),
        subgoal_BKC=torch.randn(count, 3, 8, generator=generator),
        mask_BK=mask,
        age_B=torch.rand(count, generator=generator),
    )


def draws(count: int, seed: int = 1) -> Draws:
    generator = torch.Generator().manual_seed(seed)
    return Draws(torch.randn(count, 6, 2, generator=generator), torch.rand(count, generator=generator))


def test_all_are_tried() -> None:
    tried = {name_of(config) for config in HEADS.values()}
    assert tried == {name for name, kind in CONFIGS.items() if issubclass(kind, HeadConfig)}


@EVERY
def test_it_learns_one_chunk_by_heart(name: str) -> None:
    """Overfitted to a single motion, it acts it out."""
    actor = make(name)
    expert: Any = actor.expert.train()
    rows_A = torch.linspace(-0.8, 0.8, 6)
    actions = torch.stack([rows_A, -rows_A], dim=-1).expand(16, -1, -1)
    given = condition(16)
    optimizer = torch.optim.AdamW(expert.parameters(), lr=5e-3, weight_decay=0.0)
    losses = []
    for step in range(150):
        loss = expert.loss(actions, torch.ones(16, 6, dtype=torch.bool), given, draws(16, step)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.4 * losses[0]
    expert.eval()
    rng = np.random.default_rng(3)
    chunk = actor.act(ARM.fake_observation(rng, stamp_s=1.0), SPEC.fake_subgoal(rng, stamp_s=0.9))
    assert np.abs(chunk.rows - actions[0].numpy()).mean() < 0.3


@EVERY
def test_what_stands_behind_an_episode_s_end_changes_neither_loss_nor_gradient(name: str) -> None:
    real = torch.arange(6) < torch.tensor([1, 3, 5, 6])[:, None]
    actions = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(2))
    other = torch.where(real[..., None], actions, 50.0 * torch.randn(actions.shape))
    found = []
    for rows in (actions, other):
        expert: Any = make(name).expert.train()
        with torch.no_grad():
            for parameter in expert.parameters():  # some begin as zeros
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)))
        loss = masked_mean(expert.loss(rows, real, condition(4), draws(4)), real[..., None])
        torch.autograd.backward(loss)
        found.append((loss.detach(), {key: each.grad for key, each in expert.named_parameters()}))
    assert float(found[0][0]) > 0
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-6, atol=0)
    for key, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][key], gradient, rtol=1e-5, atol=1e-6)


@EVERY
def test_it_reads_its_subgoal_and_knows_when_there_is_none(name: str) -> None:
    actor = make(name)
    expert = actor.expert
    with torch.no_grad():
        for parameter in expert.parameters():  # some begin as zeros
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(7)))
    state, age, noise = torch.zeros(1, ARM.num_states), torch.full((1,), 0.1), torch.randn(1, 6, 2)
    told = [
        expert.loss(
            torch.zeros(1, 6, 2),
            torch.ones(1, 6, dtype=torch.bool),
            Condition(state, subgoal, mask, age),
            Draws(noise, torch.full((1,), 0.5)),
        )
        for subgoal, mask in (
            (torch.ones(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)),
            (-torch.ones(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)),
            (torch.ones(1, 3, 8), torch.zeros(1, 3, dtype=torch.bool)),
        )
    ]
    assert all(bool(torch.isfinite(loss).all()) for loss in told)
    for index, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(told[index], told[other], atol=1e-5)


@EVERY
def test_a_masked_token_is_not_read(name: str) -> None:
    actor = make(name)
    mask = np.array([True, True, False])
    rows = []
    for value in (0.0, 5.0):
        tokens = np.full((3, 8), 0.5, np.float32)
        tokens[2] = value
        memory = actor._sampler.remember(tokens, mask)
        moment = (torch.ones(1, 6, 2), torch.zeros(1, ARM.num_states), torch.full((1,), 0.1), None)
        with torch.inference_mode():
            rows.append(actor.expert.rows(memory, *moment))
    torch.testing.assert_close(rows[0], rows[1], rtol=0, atol=1e-6)


@EVERY
def test_a_checkpoint_brings_back_the_same_rows(name: str, tmp_path: Path) -> None:
    actor = make(name)
    again = FlowActor.from_checkpoint(saved(actor, tmp_path / "c"))
    rng = np.random.default_rng(0)
    seen, subgoal = ARM.fake_observation(rng, stamp_s=1.0), SPEC.fake_subgoal(rng, stamp_s=0.9)
    for each in (actor, again):
        each.reset(seed=3)
    assert np.array_equal(actor.act(seen, subgoal).rows, again.act(seen, subgoal).rows)


def test_what_a_head_cannot_do_is_refused() -> None:
    actor = make("regression")
    with pytest.raises(ConfigError, match="'onnx' samples flow matching; a RegressionHead has eager and compiled"):
        actor.with_backend("onnx")
    with pytest.raises(ConfigError, match="a RegressionHead has no precision 'original': it runs in float32"):
        actor.with_backend("eager", "original")
    seen = ARM.fake_observation(np.random.default_rng(0), stamp_s=1.0)
    prefix = ActionPrefix(rows=np.zeros((3, 2)), inference_delay=1, guidance="jacobian")
    with pytest.raises(SpecMismatch, match="guidance 'jacobian' is none of this actor's: roll-forward"):
        actor.act(seen, None, prefix)
    with pytest.raises(ValueError, match="horizon 6 is no multiple of 4"):
        DiffusionConfig(shape=SHAPE, unet=UNetConfig(down_dims=(8, 16, 32)))
    with pytest.raises(ValueError, match="only flow matching learns to continue"):
        DiffusionConfig(shape=FlowActorConfig(max_prefix=3))
    with pytest.raises(ValueError, match="exceeds train_steps"):
        DiffusionConfig(num_inference_steps=101)


def test_words_that_make_no_rows_are_counted_told_and_harmless(caplog: pytest.LogCaptureFixture) -> None:
    actor = make("fast")
    with torch.no_grad():
        actor.expert.words_out.bias[0] = 1e3  # it ends at once
    seen = ARM.fake_observation(np.random.default_rng(0), stamp_s=1.0)
    chunk = actor.act(seen, None)
    assert np.isfinite(chunk.rows).all()
    assert actor.expert.unreadable == 1
    for _ in range(24):
        actor.act(seen, None)
    assert actor.expert.unreadable == 25
    assert [record.getMessage().split(" chunks")[0] for record in caplog.records] == ["1", "10"]


def test_divergence_is_the_normal_s() -> None:
    mean, variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.25, 2.0]])
    normal = torch.distributions.Normal(mean, variance.sqrt())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(dim=-1)
    torch.testing.assert_close(divergence(mean, variance.log()), expected)


def test_places_differ_and_keep_their_size() -> None:
    for places in (row_places(9, 16), picture_places(3, 3, 16)):
        assert places.shape == (9, 16)
        assert len({tuple(row.tolist()) for row in places}) == 9
        torch.testing.assert_close(places.square().sum(dim=1), torch.full((9,), 8.0))


@pytest.mark.parametrize("name", ["bins", "fast"])
def test_a_word_head_s_decoder_is_built_without_a_warning(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    build_expert(every_head(2)[name], embodiment=fake_embodiment(2), subgoal_spec=SubgoalSpec(num_tokens=2, dim=4))
    assert "bos_token_id" not in capfd.readouterr().err
