"""Actors over a joint-attention expert: they read their prefix and not its padding, and can be guided."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.actor.action_expert import Condition
from dualsys.actor.backends import measure_parity
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.heads import Draws
from dualsys.actor.sampling import EagerSampler
from dualsys.checkpoint import Checkpoint, Manifest
from dualsys.embodiment import PrefixSpec, SubgoalSpec
from dualsys.errors import ConfigError, SpecMismatch
from dualsys.messages import ActionPrefix, LatentSubgoal, Observation
from tests.unit.actor.joint_parts import ARM, FAMILIES, SPEC, joint_actor, joint_config

each_family = pytest.mark.parametrize("family", FAMILIES)


def seen(stamp_s: float = 1.0) -> Observation:
    return ARM.fake_observation(np.random.default_rng(3), stamp_s=stamp_s)


def subgoal(seed: int = 0, mask: list[bool] | None = None) -> LatentSubgoal:
    fake = SPEC.fake_subgoal(np.random.default_rng(seed), stamp_s=0.5)
    return replace(fake, mask=None if mask is None else np.array(mask))


@each_family
def test_the_prefix_moves_it_and_its_padding_does_not(family: str) -> None:
    actor = joint_actor(family)
    rows = actor.act(seen(), subgoal()).rows
    assert not np.allclose(rows, actor.act(seen(), subgoal(1)).rows)
    mask = [True, True, False, True, False]
    half = subgoal(mask=mask)
    padding = ~np.array(mask)[:, None]
    assert half.keys is not None
    assert half.values is not None
    garbage = replace(half, keys=np.where(padding, 7.0, half.keys), values=np.where(padding, 1e6, half.values))
    np.testing.assert_array_equal(actor.act(seen(), half).rows, actor.act(seen(), garbage).rows)


@each_family
def test_without_padding_it_is_what_it_is_under_a_mask(family: str) -> None:
    """A batch keeps its padding, one alone doesn't; the null subgoal in a batch is the null subgoal alone."""
    expert = joint_actor(family).expert
    draw = torch.Generator().manual_seed(0)
    prefix = torch.randn(3, *expert.subgoal_shape, generator=draw)
    mask = torch.rand(3, 8, generator=draw) < 0.6
    mask[2] = False
    state, x = torch.randn(3, 8, generator=draw), torch.randn(3, 6, 4, generator=draw)
    t = torch.tensor([0.1, 0.5, 0.9])
    together = expert(x, t, prefix, mask, state)
    for row in range(3):
        one = slice(row, row + 1)
        alone = expert(x[one], t[one], prefix[one], mask[one], state[one])
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-5)


@each_family
@torch.no_grad()
def test_the_loss_is_the_velocity_s_error_held_behind_an_episode_s_end(family: str) -> None:
    expert, draw = joint_actor(family).expert, torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 2, 6, 4, generator=draw).unbind()
    level, state = torch.rand(2, generator=draw), torch.randn(2, 8, generator=draw)
    prefix, mask = torch.randn(2, *expert.subgoal_shape, generator=draw), torch.ones(2, 8).bool()
    real = torch.arange(6).expand(2, 6) < torch.tensor([[6], [4]])
    given = Condition(state, prefix, mask, torch.zeros(2))
    errors = expert.loss(torch.where(real[..., None], data, 9.0), real, given, Draws(noise, level))
    held = torch.where(real[..., None], data, data[:, 3:4])
    t = 0.999 * (1.0 - level ** (2 / 3))
    noisy = (1 - t[:, None, None]) * noise + t[:, None, None] * held
    torch.testing.assert_close(errors, (expert(noisy, t, prefix, mask, state) - (held - noise)).square())


@pytest.mark.parametrize("family", ["smolvla", "shallow"])
def test_causal_rows_see_none_behind_them(family: str) -> None:
    expert = joint_actor(family).expert
    begun = expert.begin(expert.remember(torch.randn(1, *expert.subgoal_shape), torch.ones(1, 8).bool()), None)
    told = expert.tell(torch.tensor([0.3]))
    x = torch.randn(1, 6, 4)
    other = x.clone()
    other[:, 4:] += 1.0
    rows, others = expert.step(x, told, begun), expert.step(other, told, begun)
    torch.testing.assert_close(rows[:, :4], others[:, :4])
    assert not torch.allclose(rows[:, 4:], others[:, 4:])


def test_only_a_state_token_reads_the_state() -> None:
    moved = replace(seen(), state=seen().state + 0.5)
    for family, reads in (("pi0", True), ("pi05", False)):
        actor = joint_actor(family)
        same = np.array_equal(actor.act(seen(), subgoal()).rows, actor.act(moved, subgoal()).rows)
        assert same != reads


@each_family
@pytest.mark.parametrize("guidance", ["identity", "jacobian"])
def test_a_guided_chunk_is_pulled_towards_the_rows_that_run(family: str, guidance: Any) -> None:
    actor = joint_actor(family, num_inference_steps=5)
    free = actor.act(seen(), subgoal()).rows
    running = free[:4] + np.array([0.3, -0.3])
    chunk = actor.act(seen(), subgoal(), ActionPrefix(rows=running, inference_delay=3, guidance=guidance))
    assert np.abs(chunk.rows[:3] - running[:3]).max() < np.abs(free[:3] - running[:3]).max()


def test_the_way_of_flow_time_is_turned_in_one_place() -> None:
    """Weights of either way are the same model: what one calls t, the other calls 1 - t, and velocities are turned."""
    ours, theirs = (joint_actor("pi05", time_direction=way).expert for way in ("to-data", "to-noise"))
    begun = ours.begin(ours.remember(torch.randn(1, *ours.subgoal_shape), torch.ones(1, 8).bool()), None)
    x = torch.randn(1, 6, 4)
    forward = ours.step(x, ours.tell(torch.tensor([0.25])), begun)
    backward = theirs.step(x, theirs.tell(torch.tensor([0.75])), begun)
    torch.testing.assert_close(forward, -backward)


def test_preparing_changes_nothing_and_a_new_prefix_is_noticed() -> None:
    actor, other = joint_actor("pi0"), joint_actor("pi0")
    first, second = subgoal(), subgoal(1)
    actor.prepare(first)
    for told in (first, second, first):
        np.testing.assert_array_equal(actor.act(seen(), told).rows, other.act(seen(), told).rows)


def test_what_doesnt_fit_is_refused() -> None:
    actor = joint_actor("pi0")
    with pytest.raises(SpecMismatch, match=r"keys and values \[None, None\]"):
        actor.act(seen(), LatentSubgoal(tokens=np.zeros((5, 0), np.float32), observation_stamp_s=0.0))
    other = SubgoalSpec(num_tokens=5, dim=0, prefix=PrefixSpec(layers=2, heads=2, head_dim=4))
    with pytest.raises(SpecMismatch, match="reads a prefix of"):
        FlowActor.build(joint_config("pi0"), embodiment=ARM, subgoal_spec=other, statistics=actor.statistics)
    with pytest.raises(SpecMismatch, match="takes 8 and 1 at most"):
        FlowActor.build(
            joint_config("pi0", max_actions=1), embodiment=ARM, subgoal_spec=SPEC, statistics=actor.statistics
        )
    with pytest.raises(ConfigError, match="no graph of a JointExpert"):
        actor.with_backend("onnx")
    with pytest.raises(ValueError, match="flash attention reads masks"):
        joint_config("smolvla", attention="flash")
    with pytest.raises(ValueError, match="adaptive"):
        joint_config("pi0", norm="adaptive-rms")


def test_it_is_saved_and_read(tmp_path: Path) -> None:
    actor = joint_actor("pi05")
    checkpoint = Checkpoint(folder=tmp_path, manifest=manifest())
    entry = actor.save(checkpoint)
    assert entry.name == "joint"
    again = FlowActor.from_checkpoint(
        Checkpoint(folder=tmp_path, manifest=manifest().model_copy(update={"actor": entry}))
    )
    assert again.config == actor.config
    np.testing.assert_array_equal(again.act(seen(), subgoal()).rows, actor.act(seen(), subgoal()).rows)


def manifest() -> Manifest:
    none = {"name": "null"}
    return Manifest.model_validate(
        {
            "format": 1,
            "name": "joint",
            "embodiment": ARM,
            "subgoal": SPEC,
            "planner": none,
            "actor": none,
            "versions": {},
        }
    )


@each_family
def test_sdpa_samples_what_eager_samples(family: str) -> None:
    fused, eager = joint_actor(family), joint_actor(family, attention="eager")
    assert measure_parity(EagerSampler(fused.expert), eager.expert).difference < 1e-5
