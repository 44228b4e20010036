"""Which subgoals are handed on, and what their hosts sign."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dualsys.embodiment import PrefixSpec, SubgoalSpec
from dualsys.messages import LatentSubgoal
from dualsys.provenance import sign_subgoal, subgoal_problem

SPEC = SubgoalSpec(num_tokens=4, dim=8, max_age_s=1.5)
GOOD = LatentSubgoal(tokens=np.zeros((4, 8), dtype=np.float32), observation_stamp_s=3.0)


def test_a_good_subgoal_has_no_problem() -> None:
    assert subgoal_problem(GOOD, SPEC) is None
    masked = replace(GOOD, mask=np.array([True, False, False, False]), time_to_live_s=0.5)
    assert subgoal_problem(masked, SPEC) is None


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("observation_stamp_s", math.nan, "observation_stamp_s is nan"),
        ("observation_stamp_s", None, "observation_stamp_s is None"),
        ("observation_stamp_s", math.inf, "observation_stamp_s is inf"),
        ("emitted_stamp_s", math.nan, "emitted_stamp_s is nan"),
        ("time_to_live_s", math.nan, "time_to_live_s is nan"),
        ("time_to_live_s", "long", "time_to_live_s is 'long'"),
        ("mask", np.ones(5, dtype=bool), "mask is bool (5,)"),
        ("mask", np.ones(4), "mask is float64 (4,)"),
        ("mask", [True] * 4, "mask is list"),
        ("mask", np.zeros(4, dtype=bool), "leaves no token"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any, problem: str) -> None:
    bad = replace(GOOD, **{field: value})
    assert problem in (subgoal_problem(bad, SPEC) or "")
    if field != "emitted_stamp_s":  # That one is the host's own.
        signed = sign_subgoal(bad, SPEC, sequence=1, epoch=2, emitted_stamp_s=3.1)
        assert problem in (subgoal_problem(signed, SPEC) or "")


@pytest.mark.parametrize(("lives_s", "signed_s"), [(math.inf, 1.5), (9.0, 1.5), (0.4, 0.4)])
def test_no_subgoal_lives_longer_than_the_spec_says(lives_s: float, signed_s: float) -> None:
    signed = sign_subgoal(replace(GOOD, time_to_live_s=lives_s), SPEC, sequence=5, epoch=2, emitted_stamp_s=3.1)
    assert (signed.sequence, signed.epoch, signed.emitted_stamp_s, signed.time_to_live_s) == (5, 2, 3.1, signed_s)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("keys", None, "keys are NoneType, the spec says float32 (3, 2, 4, 5)"),
        ("values", np.zeros((3, 2, 6, 5), np.float32), "values are float32 (3, 2, 6, 5)"),
        ("values", np.zeros((3, 2, 4, 5)), "values are float64 (3, 2, 4, 5)"),
        ("keys", np.full((3, 2, 4, 5), np.inf, np.float32), "keys are not finite"),
        ("tokens", np.zeros((4, 1), np.float32), "tokens are float32 (4, 1), the spec says float32 (4, 0)"),
    ],
)
def test_a_prefix_has_the_keys_and_values_of_its_spec(field: str, value: Any, problem: str) -> None:
    spec = SubgoalSpec(num_tokens=4, dim=0, prefix=PrefixSpec(layers=3, heads=2, head_dim=5))
    good = spec.fake_subgoal(np.random.default_rng(0), stamp_s=3.0)
    assert subgoal_problem(good, spec) is None
    assert problem in (subgoal_problem(replace(good, **{field: value}), spec) or "")
    assert "keys are float32 (3, 2, 4, 5), the spec says none" in (
        subgoal_problem(replace(good, tokens=GOOD.tokens), SPEC) or ""
    )


def test_a_spec_says_how_large_a_subgoal_is_and_refuses_one_that_says_nothing() -> None:
    prefix = SubgoalSpec(num_tokens=4, dim=0, prefix=PrefixSpec(layers=3, heads=2, head_dim=5))
    assert prefix.nbytes == 4 * 2 * (3 * 2 * 4 * 5) + 4
    assert SPEC.nbytes == 4 * 4 * 8 + 4
    with pytest.raises(ValueError, match="there is no prefix"):
        SubgoalSpec(num_tokens=4, dim=0)
