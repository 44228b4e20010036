"""The scorer against its closed form, and its bounds."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, Observation
from dualsys.planner.skill_scorer import MOST_SKILLS, SkillScorer

HERE = Observation(stamp_s=0.0, state=np.zeros(1))


class Words:
    """Given logarithms, by skill."""

    def __init__(self, logs: dict[str, float]) -> None:
        self.logs = logs

    def log_likelihoods(self, instruction: str, before: str, steps: Sequence[str]) -> FloatArray:
        return np.array([self.logs[step] for step in steps])


def scorer(logs: Sequence[float], chances: Sequence[float]) -> SkillScorer:
    names = [f"skill {i}" for i in range(len(logs))]
    worth = dict(zip(names, chances, strict=True))
    return SkillScorer(Words(dict(zip(names, logs, strict=True))), names, lambda skill, _: worth[skill])


def test_the_score_is_likelihood_times_affordance() -> None:
    """p = (0.5, 0.3, 0.2), a = (0.1, 0.5, 1): products 0.05, 0.15, 0.2, of 0.4 together."""
    found = scorer([float(np.log(p)) for p in (0.5, 0.3, 0.2)], [0.1, 0.5, 1.0]).scores("", "", HERE)
    assert [one.skill for one in found] == ["skill 2", "skill 1", "skill 0"]
    np.testing.assert_allclose([one.score for one in found], [0.5, 0.375, 0.125])
    np.testing.assert_allclose([one.likelihood for one in found], [0.2, 0.3, 0.5])


@given(
    st.lists(st.tuples(st.floats(-50, 0), st.floats(0.001, 1)), min_size=1, max_size=6),
    st.floats(-2000, 2000),
)
def test_only_ratios_of_likelihoods_count(rows: list[tuple[float, float]], shift: float) -> None:
    logs, chances = map(list, zip(*rows, strict=True))
    expected = np.exp(np.array(logs)) * chances
    found = {one.skill: one.score for one in scorer([log + shift for log in logs], chances).scores("", "", HERE)}
    np.testing.assert_allclose(
        [found[f"skill {i}"] for i in range(len(logs))], expected / expected.sum(), rtol=1e-6, atol=1e-12
    )


def test_what_has_no_chance_is_not_picked() -> None:
    assert scorer([0.0, -9.0], [0.0, 0.2]).pick("", "", HERE) == "skill 1"
    assert scorer([0.0, -9.0], [0.0, 0.0]).pick("", "", HERE) is None


@pytest.mark.parametrize("chance", [-0.1, 1.1, float("nan")])
def test_an_affordance_is_a_probability(chance: float) -> None:
    with pytest.raises(ConfigError, match=r"skill 1.*between 0 and 1"):
        scorer([0.0, 0.0], [1.0, chance]).scores("", "", HERE)


@pytest.mark.parametrize("skills", [[], ["a", "a"], [str(i) for i in range(MOST_SKILLS + 1)]])
def test_the_list_is_bounded_and_has_none_twice(skills: list[str]) -> None:
    with pytest.raises(ConfigError, match="all different"):
        SkillScorer(Words({}), skills, lambda _skill, _seen: 1.0)
