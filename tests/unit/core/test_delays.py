"""Delays as words: bounds, moments, seeds, traces, and what is refused."""

import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dualsys.delays import distribution_of, draws, losses
from dualsys.errors import ConfigError
from dualsys.latency_trace import LatencyTrace
from dualsys.settings import TimingConfig
from dualsys.timing import LinkConfig

SECONDS = st.floats(0.0, 2.0)


def drawn(written: float | str, count: int, *, seed: int = 7, part: str = "planner_latency_s") -> list[float]:
    return list(islice(distribution_of(written, series=part).values(draws(seed, part)), count))


@given(low=SECONDS, more=SECONDS, seed=st.integers(0, 2**32))
def test_uniform_stays_between_its_ends(low: float, more: float, seed: int) -> None:
    assert all(low <= value <= low + more for value in drawn(f"uniform:{low!r},{low + more!r}", 50, seed=seed))


@given(kind=st.sampled_from(["normal", "lognormal"]), mean=st.floats(1e-3, 2.0), std=SECONDS, seed=st.integers(0, 999))
def test_no_delay_is_below_zero_or_without_end(kind: str, mean: float, std: float, seed: int) -> None:
    assert all(0.0 <= value < math.inf for value in drawn(f"{kind}:{mean!r},{std!r}", 50, seed=seed))


@pytest.mark.parametrize("kind", ["normal", "lognormal"])
def test_mean_and_deviation_are_those_of_the_delay(kind: str) -> None:
    values = np.array(drawn(f"{kind}:0.2,0.04", 20_000))
    assert values.mean() == pytest.approx(0.2, abs=4 * 0.04 / math.sqrt(20_000))
    assert values.std() == pytest.approx(0.04, rel=0.05)


def test_a_truncated_normal_has_no_heap_at_zero() -> None:
    values = np.array(drawn("normal:0.0,0.1", 5000))
    assert values.min() > 0.0
    assert values.mean() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.05), "the half normal's"


@pytest.mark.parametrize("written", ["uniform:0,1", "normal:0.1,0.1", "lognormal:0.1,0.1"])
def test_the_seed_and_the_part_alone_decide(written: str) -> None:
    once = drawn(written, 30)
    assert drawn(written, 30) == once
    assert not set(drawn(written, 30, seed=8)) & set(once)
    assert not set(drawn(written, 30, part="actor_latency_s")) & set(once)


def test_a_number_is_always_itself() -> None:
    assert drawn(0.12, 3) == drawn("0.12", 3) == [0.12] * 3
    assert list(islice(losses(0.0, draws(1, "link")), 3)) == [False] * 3


def test_as_many_are_lost_as_was_said() -> None:
    lost = sum(islice(losses(0.2, draws(3, "link.subgoal_drop")), 10_000))
    assert lost == pytest.approx(2000, abs=4 * math.sqrt(10_000 * 0.2 * 0.8))


def test_a_trace_is_drawn_or_played(tmp_path: Path) -> None:
    path = tmp_path / "a trace.json"
    samples = {"planner_latency_s": [0.1, 0.2, 0.3, 0.4], "other": [1.0]}
    LatencyTrace(samples=samples, machine={"cores": 2}).write(path)
    assert set(drawn(f"trace:{path}", 200)) == {0.1, 0.2, 0.3, 0.4}
    played = drawn(f"trace-in-order:{path}", 9)
    begin = samples["planner_latency_s"].index(played[0])
    assert played == [samples["planner_latency_s"][(begin + index) % 4] for index in range(9)]
    assert {drawn(f"trace-in-order:{path}", 1, seed=seed)[0] for seed in range(40)} == {0.1, 0.2, 0.3, 0.4}
    assert drawn(f"trace:{path}#other", 2) == [1.0, 1.0]
    path.write_text("[0.5, 0.25]")
    assert set(drawn(f"trace:{path}", 50)) == {0.5, 0.25}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no trace of delays"),
        ('{"samples": {"planner_latency_s": [1.0]}, "machin": {}}', "machin"),
        ('{"version": 2, "samples": {}}', "version 2"),
        ('{"samples": {"planner_latency": [1.0]}}', "Did you mean 'planner_latency'"),
        ('{"samples": {"planner_latency_s": []}}', "holds no delay"),
        ("[0.1, -0.1]", "-0.1 is no delay"),
        ('[0.1, "0.2"]', "is no delay"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_before_anything_is_built(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        TimingConfig(planner_latency_s=f"trace:{path}")


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json cannot be read: No such file"):
        TimingConfig(actor_latency_s=f"trace:{tmp_path}/none.json")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (-0.1, "must be at least 0"),
        (math.inf, "must be a finite number"),
        ("soon", "is no delay: it must be a number of seconds, uniform:LOW,HIGH"),
        ("uniform:0.3", "is no delay"),
        ("uniform:0.3,0.2", "LOW of uniform:LOW,HIGH must not be above HIGH"),
        ("normal:-0.1,0.2", "must be at least 0"),
        ("normal:0.1,nan", "must be a finite number"),
        ("lognormal:0,0.2", "must be above 0"),
        ("poisson:1,2", "is no delay"),
        ("trace:", "is no delay"),
    ],
)
def test_what_is_no_delay_is_refused(written: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TimingConfig(planner_latency_s=written)
    with pytest.raises(ValidationError, match=said):
        LinkConfig(subgoal_s=written)


def test_a_delay_is_kept_as_it_was_written() -> None:
    timing = TimingConfig(planner_latency_s="lognormal:0.12,0.03", actor_latency_s=0.03)
    assert (timing.planner_latency_s, timing.actor_latency_s) == ("lognormal:0.12,0.03", 0.03)
    assert json.dumps(timing.planner_latency_s) == '"lognormal:0.12,0.03"'
    with pytest.raises(ValidationError, match="subgoal_drop"):
        LinkConfig(subgoal_drop=1.0)
