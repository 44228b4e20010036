"""The loop taken apart is the loop; what is remembered of a subgoal is what it says, with the weights of now."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.actor.action_expert import Condition
from dualsys.actor.flow_matching import Solver, evaluation_times, integrate
from dualsys.actor.sampling import EagerSampler, SubgoalCache
from dualsys.errors import SpecMismatch
from dualsys.messages import LatentSubgoal, Observation
from tests.unit.actor.sampled_experts import VISION, make_actor, make_expert, make_inputs, subgoal

OBSERVATION = Observation(stamp_s=1.0, state=np.array([0.1, -0.2]))


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from(list(Solver)), st.sampled_from([None, VISION]), st.integers(0, 3))
def test_it_is_the_integral_of_the_whole_forward(seed: int, solver: Solver, vision: Any, first: int) -> None:
    """To the bit, but for products of other shapes where the actor sees: there 1e-5."""
    expert = make_expert(seed, solver=solver.value, vision=vision)
    tokens_KC, moment = make_inputs(expert, seed)
    mask_K = np.arange(4) < first  # 0: the null subgoal
    condition = Condition(
        state_BX=torch.from_numpy(moment.state_X)[None],
        subgoal_BKC=torch.from_numpy(tokens_KC)[None],
        mask_BK=torch.from_numpy(mask_K)[None],
        age_B=torch.tensor([moment.age_s]),
        image_BCHW=None if moment.image_CHW is None else torch.from_numpy(moment.image_CHW)[None],
    )
    noise_BAU = torch.from_numpy(moment.noise_AU)[None]
    with torch.inference_mode():
        expected = integrate(lambda x, t: expert(x, t, condition), noise_BAU, 4, solver)[0].numpy()
    sampler = EagerSampler(expert)
    rows = sampler.sample(sampler.remember(tokens_KC, mask_K), moment)
    np.testing.assert_allclose(rows, expected, rtol=0, atol=0 if vision is None else 1e-5)


@pytest.mark.parametrize(
    ("solver", "times"),
    [("euler", [0, 0.5]), ("midpoint", [0, 0.25, 0.5, 0.75]), ("heun", [0, 0.5, 0.5, 1.0])],
)
def test_the_times_of_evaluations_are_known_beforehand(solver: str, times: list[float]) -> None:
    assert evaluation_times(2, Solver(solver)).tolist() == times


def test_a_subgoal_is_remembered_once_and_the_null_subgoal_beside_it() -> None:
    calls: list[float] = []

    def remember(tokens_KC: Any, mask_K: Any) -> float:
        calls.append(float(tokens_KC.sum()) if mask_K.any() else float("nan"))
        return calls[-1]

    cache = SubgoalCache(remember)
    ones, twos, all_, none = (
        np.ones((2, 3), np.float32),
        np.full((2, 3), 2, np.float32),
        np.ones(2, bool),
        np.zeros(2, bool),
    )
    assert [cache.memory(0, ones.copy(), all_) for _ in range(3)] == [6.0] * 3
    assert [np.isnan(cache.memory(0, tokens, none)) for tokens in (ones, twos)] == [True, True]
    assert cache.memory(0, ones, all_) == 6.0
    assert len(calls) == 2
    cache.memory(0, ones, np.array([True, False]))
    cache.memory(0, twos, all_)
    assert len(calls) == 4
    cache.memory(1, twos, all_)
    assert len(calls) == 5


def test_a_buffer_that_is_filled_anew_is_another_subgoal() -> None:
    actor = make_actor()
    tokens = subgoal(1).tokens.copy()
    goal = LatentSubgoal(tokens=tokens, observation_stamp_s=0.0)
    first = actor.act(OBSERVATION, goal).rows
    tokens[:] = subgoal(2).tokens
    assert np.array_equal(actor.act(OBSERVATION, goal).rows, make_actor().act(OBSERVATION, subgoal(2)).rows)
    assert not np.array_equal(first, actor.act(OBSERVATION, goal).rows)


def test_eager_notices_new_weights() -> None:
    actor, other = make_actor(0), make_actor(1)
    actor.act(OBSERVATION, subgoal())
    actor.expert.load_state_dict(other.expert.state_dict())
    assert np.array_equal(actor.act(OBSERVATION, subgoal()).rows, other.act(OBSERVATION, subgoal()).rows)


def test_prepared_and_unprepared_chunks_are_the_same_bits() -> None:
    plain, prepared = make_actor(noise="fresh"), make_actor(noise="fresh")
    for seed in (3, 4, 4, 3):
        for other in (9, seed):
            prepared.prepare(subgoal(other, mask=np.array([True, seed == 3, True, False])))
        goal = subgoal(seed, mask=np.array([True, seed == 3, True, False]))
        assert np.array_equal(plain.act(OBSERVATION, goal).rows, prepared.act(OBSERVATION, goal).rows)


def test_a_prepared_subgoal_grows_older_all_the_same() -> None:
    actor = make_actor()
    chunks = []
    for stamp_s in (0.5, 0.0):
        goal = subgoal(3, stamp_s)
        actor.prepare(goal)
        chunks.append(actor.act(OBSERVATION, goal))
    assert [chunk.subgoal_age_s for chunk in chunks] == [0.5, 1.0]
    assert not np.allclose(chunks[0].rows, chunks[1].rows, atol=1e-5)


def test_what_does_not_fit_cannot_be_prepared() -> None:
    with pytest.raises(SpecMismatch, match=r"shape \(3, 8\)"):
        make_actor().prepare(LatentSubgoal(tokens=np.zeros((3, 8), np.float32), observation_stamp_s=0.0))
