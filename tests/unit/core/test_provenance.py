"""Which subgoals are handed on, and what their hosts sign."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dualsys.embodiment import SubgoalSpec
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
