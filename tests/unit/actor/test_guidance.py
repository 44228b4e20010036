"""Guided sampling against closed forms, and what the actor makes of it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dualsys.actor.action_expert import Condition
from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import Solver, VelocityField, integrate
from dualsys.actor.guidance import MAX_PULL, Now, Running, given, pulled, released, sample_guided, seeded, soft_weights
from dualsys.bridge.inline import InlineDriver
from dualsys.chunk_policies import build_policy
from dualsys.decision import DecisionCore
from dualsys.embodiment import CameraSpec
from dualsys.errors import SpecMismatch
from dualsys.messages import ActionPrefix, Guidance
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, TimingConfig
from dualsys.testing import check_actor
from tests.unit.actor.test_flow_actor import ARM, OBSERVATION, SPEC, make_actor, subgoal

ROWS = torch.linspace(-1, 1, 18).reshape(1, 9, 2)
RUNNING = Running(rows_BAU=ROWS, told=7, delay=4)
ALL: tuple[Guidance, ...] = ("identity", "jacobian", "freeze-and-ramp", "roll-forward")


def test_weights_are_those_of_the_paper() -> None:
    """H = 9, s = 2, d = 4: c = 3/4, 2/4, 1/4 between, c (exp(c) - 1) / (e - 1)."""
    soft = [c * math.expm1(c) / math.expm1(1) for c in (0.75, 0.5, 0.25)]
    np.testing.assert_allclose(soft_weights(9, RUNNING), [1, 1, 1, 1, *soft, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(soft_weights(4, Running(rows_BAU=ROWS, told=2, delay=5)), [1, 1, 0, 0])


def _linear(matrix: Tensor) -> VelocityField:
    """`v = M x` on all numbers of a chunk."""
    return lambda x_BAU, t_B: (x_BAU.flatten(1) @ matrix.T).reshape(x_BAU.shape)


def test_the_pull_goes_back_through_the_denoiser() -> None:
    """For `v = M x` the clean chunk is `x + (1 - t) M x`, whose Jacobian is `1 + (1 - t) M`."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(18, 18, generator=generator) * 0.2
    x, t = torch.randn(1, 9, 2, generator=generator), torch.tensor([0.4])
    weights = soft_weights(9, RUNNING)[:, None].expand(9, 2).flatten()
    jacobian = torch.eye(18) + 0.6 * matrix
    error = weights * (ROWS.flatten() - jacobian @ x.flatten())
    strength = (0.4**2 + 0.6**2) / (0.4 * 0.6)
    for exact, pull in ((True, jacobian.T @ error), (False, error)):
        expected = (matrix @ x.flatten() + min(strength, MAX_PULL) * pull).reshape(1, 9, 2)
        found = pulled(_linear(matrix), RUNNING, jacobian=exact)(x, t)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_jacobian_is_found_where_no_gradients_are_asked_for() -> None:
    with torch.no_grad():
        x = torch.zeros(1, 9, 2)
        field = pulled(_linear(torch.eye(18)), RUNNING, jacobian=True)
        assert integrate(field, x, 4).isfinite().all()


def test_frozen_rows_stay_and_rows_not_told_are_free() -> None:
    def field(x_BAU: Tensor, t_B: Tensor) -> Tensor:
        del t_B
        return torch.ones_like(x_BAU)

    noise = torch.full((1, 9, 2), 3.0)
    out = integrate(released(field, RUNNING), seeded(noise, RUNNING), 4)
    torch.testing.assert_close(out[:, :4], ROWS[:, :4])
    torch.testing.assert_close(out[:, 7:], noise[:, 7:] + 1.0)
    let_go = (out - ROWS)[0, 4:7, 0]
    assert (let_go.diff() > 0).all()
    share = torch.tensor([0.25, 0.5, 0.75, 1.0])
    strength = 1 - torch.exp(-6 * share)
    torch.testing.assert_close(let_go, strength[:3] / strength[3])


@pytest.mark.parametrize("guidance", ["identity", "jacobian", "freeze-and-ramp"])
def test_a_guided_chunk_meets_the_rows_where_an_unguided_one_does_not(guidance: Guidance) -> None:
    actor = make_actor()
    free = actor.act(OBSERVATION, subgoal()).rows
    running = free + 0.5
    prefix = ActionPrefix(rows=running, inference_delay=3, guidance=guidance)
    actor.reset(seed=0)
    guided = actor.act(OBSERVATION, subgoal(), prefix).rows
    seam = np.abs(guided[2] - running[2]).max()
    assert seam < 0.5 / 3


def test_rolling_forward_sees_the_state_as_it_will_be() -> None:
    actor = make_actor()
    running = np.cumsum(np.full((5, 2), 0.1), axis=0)
    prefix = ActionPrefix(rows=running, inference_delay=2, guidance="roll-forward")
    actor.reset(seed=0)
    chunk = actor.act(OBSERVATION, subgoal(), prefix)
    later = replace(OBSERVATION, stamp_s=OBSERVATION.stamp_s + 0.04, state=OBSERVATION.state + 0.2)
    actor.reset(seed=0)
    expected = actor.act(later, subgoal())
    np.testing.assert_array_equal(chunk.rows[:2], running[:2])
    np.testing.assert_allclose(chunk.rows[2:], expected.rows[: actor.horizon - 2])
    assert chunk.start_stamp_s == OBSERVATION.stamp_s
    assert chunk.subgoal_age_s == pytest.approx(OBSERVATION.stamp_s)


def test_what_an_actor_cannot_do_is_refused_before_anything_moves() -> None:
    free = "freeze-and-ramp, identity, jacobian, roll-forward"
    core = DecisionCore(ARM, CoreConfig(), build_policy("trained-prefix"))
    gate, timing = SafetyGate(ARM, 0.02, SafetyConfig()), TimingConfig()
    with pytest.raises(SpecMismatch, match=f"guidance 'trained-prefix', and FlowActor offers {free}"):
        InlineDriver(None, make_actor(), core, gate, timing)
    prefix = ActionPrefix(rows=np.zeros((3, 2)), inference_delay=1, guidance="trained-prefix")
    with pytest.raises(SpecMismatch, match="'trained-prefix' is none of this actor's"):
        make_actor().act(OBSERVATION, subgoal(), prefix)
    assert make_actor().subgoal_spec == SPEC


@pytest.mark.parametrize("guidance", ["identity", "jacobian", "freeze-and-ramp", "trained-prefix"])
def test_the_rows_are_those_of_the_whole_field_in_each_flow_step(guidance: Guidance) -> None:
    """Kept keys and values change nothing: followed by `forward`, the field gives the same rows."""
    actor = _learned(FastVisionConfig(camera=CameraSpec(name="head", height=8, width=8), channels=(4, 4)))
    expert, config = actor.expert, actor.config
    generator = torch.Generator().manual_seed(3)
    noise, rows = torch.randn(2, 1, 6, 2, generator=generator)
    running = Running(rows_BAU=rows, told=5, delay=2)
    now = Now(noise, torch.randn(1, 2, generator=generator), torch.tensor([0.3]), torch.rand(1, 3, 8, 8))
    tokens, mask = torch.randn(1, SPEC.num_tokens, SPEC.dim), torch.ones(1, SPEC.num_tokens, dtype=torch.bool)
    condition = Condition(now.state_BX, tokens, mask, now.age_B, now.image_BCHW)

    def whole(x_BAU: Tensor, t_B: Tensor) -> Tensor:
        out: Tensor = expert(x_BAU, t_B, condition)
        return out

    start = noise
    with torch.no_grad():
        if guidance == "trained-prefix":
            given_A = torch.arange(6) < 2
            condition = condition._replace(prefix_BA=given_A[None])
            field = given(whole, running, given_A)
            start = torch.where(given_A[:, None], rows, noise)
        elif guidance == "freeze-and-ramp":
            field, start = released(whole, running), seeded(noise, running)
        else:
            field = pulled(whole, running, jacobian=guidance == "jacobian")
        expected = integrate(field, start, config.num_inference_steps, Solver(config.solver))
        memory = expert.remember(tokens, mask)
    found = sample_guided(expert, memory, now, running, guidance)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("guidance", ["identity", "jacobian"])
def test_what_was_prepared_is_used_and_changes_nothing(guidance: Guidance, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = ActionPrefix(rows=np.zeros((4, 2)), inference_delay=2, guidance=guidance)
    rows = []
    for prepares in (False, True):
        actor = make_actor()
        made: list[None] = []
        remember = actor.expert.remember

        def counting(*parts: Tensor, made: list[None] = made, remember: Any = remember) -> Any:
            made.append(None)
            return remember(*parts)

        monkeypatch.setattr(actor.expert, "remember", counting)
        if prepares:
            actor.prepare(subgoal())
            assert len(made) == 1
        for _ in range(3):
            actor.reset(seed=0)
            rows.append(actor.act(OBSERVATION, subgoal(), prefix).rows)
        assert len(made) == 1, "once for a subgoal, not once for a flow step or a chunk"
    for each in rows:
        np.testing.assert_array_equal(each, rows[0])


def test_another_engine_guides_as_eager_does_and_says_that_eager_did(caplog: pytest.LogCaptureFixture) -> None:
    eager = make_actor()
    other = eager.with_backend("onnx")
    prefix = ActionPrefix(rows=np.zeros((4, 2)), inference_delay=2, guidance="identity")
    for goal in (subgoal(), None, subgoal()):
        found = []
        for actor in (eager, other):
            actor.prepare(subgoal())
            actor.reset(seed=0)
            found.append(actor.act(OBSERVATION, goal, prefix).rows)
        np.testing.assert_array_equal(found[0], found[1])
    said = [record.getMessage() for record in caplog.records if record.name == "dualsys.actor.flow_actor"]
    assert said == ["chunks with guidance 'identity' are sampled eagerly, not by OnnxSampler"]


def _learned(vision: FastVisionConfig | None = None) -> FlowActor:
    config = FlowActorConfig(horizon=6, width=16, depth=4, num_heads=2, smoothing_window=0, max_prefix=3, vision=vision)
    return make_actor(config)


def test_given_rows_stay_and_the_others_depend_on_them() -> None:
    actor = _learned()
    assert "trained-prefix" in actor.guidances
    check_actor(actor)
    running = np.full((6, 2), 0.3)
    rows = {}
    for value in (0.3, 0.6):
        prefix = ActionPrefix(rows=np.full((6, 2), value), inference_delay=5, guidance="trained-prefix")
        actor.reset(seed=0)
        rows[value] = actor.act(OBSERVATION, subgoal(), prefix).rows
    np.testing.assert_allclose(rows[0.3][:3], running[:3], atol=1e-6)  # no more than it has learned to take
    assert not np.allclose(rows[0.3][3:], rows[0.6][3:])


def test_an_actor_that_has_learned_nothing_of_the_kind_takes_no_prefix() -> None:
    actor = make_actor()
    observed = actor.act(OBSERVATION, subgoal()).rows
    assert "trained-prefix" not in actor.guidances
    assert observed.shape == (6, 2)
    with pytest.raises(ValueError, match="leaves no row of the horizon 6"):
        FlowActorConfig(horizon=6, max_prefix=6)
