import math

import pytest
from pydantic import ValidationError

from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.staleness import Freshness, action_for, freshness

AGES = StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4, on_stale="null", on_expired="hold")


@pytest.mark.parametrize(
    ("age_s", "word"),
    [(0.0, "fresh"), (0.1, "fresh"), (0.15, "usable"), (0.2, "usable"), (0.3, "stale"), (0.4, "stale"),
     (0.41, "expired"), (math.inf, "expired"), (math.nan, "expired"), (-0.05, "fresh"), (-0.2, "expired")],
)  # fmt: skip
def test_an_age_has_one_word(age_s: float, word: Freshness) -> None:
    assert freshness(age_s, AGES) == word


def test_a_time_to_live_ends_it_earlier_never_later() -> None:
    assert freshness(0.05, AGES, time_to_live_s=0.04) == "expired"
    assert freshness(0.5, AGES, time_to_live_s=9.0) == "expired"


def test_the_config_says_what_is_done() -> None:
    words: tuple[Freshness, ...] = ("fresh", "usable", "stale", "expired")
    assert [action_for(word, AGES) for word in words] == ["keep", "keep", "null", "hold"]


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError, match="ages must rise"):
        StalenessConfig(fresh_s=0.3, usable_s=0.2, expire_s=0.4)
    with pytest.raises(ValidationError, match="only a subgoal can be replaced by null"):
        CoreConfig(state=AGES)
    with pytest.raises(ValidationError, match="planner_hz"):
        TimingConfig(planner_hz=0.0)
    with pytest.raises(ValidationError, match="actor_latency_s"):
        TimingConfig(actor_latency_s=math.nan)
    with pytest.raises(ValidationError, match="velocity_scale"):
        SafetyConfig(velocity_scale=1.5)
    with pytest.raises(ValidationError, match="planner_herz"):
        TimingConfig(planner_herz=5.0)  # type: ignore[call-arg]


def test_defaults_are_as_documented() -> None:
    timing, core = TimingConfig(), CoreConfig()
    assert (timing.planner_hz, core.actor_hz, timing.control_hz) == (5.0, 10.0, 50.0)
    assert (timing.planner_latency_s, timing.actor_latency_s) == (0.0, 0.0)
    assert core.subgoal.on_expired == "null"
    assert core.state.on_expired == core.chunk.on_expired == "hold"
