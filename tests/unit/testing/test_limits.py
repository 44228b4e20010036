"""Commands outside the limits are counted, and only those."""

import numpy as np
import pytest

from dualsys.messages import Command
from dualsys.safety import SafetyGate
from dualsys.settings import SafetyConfig
from dualsys.testing import fake_embodiment
from dualsys.testing.limits import check_limits

ARM = fake_embodiment(1)  # -1 to 1 rad, 2 rad/s, 20 rad/s^2
DT_S = 0.01


def lines(*targets: float, source: str = "actor") -> list[dict[str, object]]:
    return [{"target": [target], "source": source} for target in targets]


@pytest.mark.parametrize(
    ("targets", "outside"),
    [
        ([0.0, 0.002, 0.006, 0.01], 0),  # 0.2, 0.4, 0.4 rad/s: each change 20 rad/s^2 at most
        ([0.0, 0.003], 1),  # 30 rad/s^2
        ([1.001, 1.001], 2),
        ([0.0, float("nan")], 1),
        ([], 0),
    ],
)
def test_what_is_outside_is_counted(targets: list[float], outside: int) -> None:
    kept = check_limits(lines(*targets), ARM, DT_S)
    assert (kept.commands, kept.outside) == (len(targets), outside)


def test_an_episode_begins_at_rest_wherever_it_is() -> None:
    commands = [*lines(0.0, source="start"), *lines(0.002), *lines(0.5, 0.5, source="start"), *lines(0.502)]
    kept = check_limits(commands, ARM, DT_S)
    assert kept.outside == 0
    assert kept.largest_acceleration == pytest.approx(1.0)
    assert kept.largest_velocity == pytest.approx(0.1)


def test_what_the_gate_lets_through_is_inside() -> None:
    gate, rng = SafetyGate(ARM, DT_S, SafetyConfig()), np.random.default_rng(0)
    gate.reset(np.zeros(1))
    commands = lines(0.0, source="start")
    for index in range(500):
        wild = Command(target=rng.normal(0, 3, 1), stamp_s=index * DT_S, source="actor")
        commands += lines(float(gate.limit(wild).target[0]))
    kept = check_limits(commands, ARM, DT_S)
    assert kept.outside == 0
    assert kept.largest_acceleration > 0.9
