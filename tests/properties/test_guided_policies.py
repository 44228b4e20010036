"""Policies that tell the actor what runs, with an actor that obeys, through the core and the virtual-clock driver."""

from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys import registry
from dualsys.bridge.inline import InlineDriver
from dualsys.chunk_policies import build_policy
from dualsys.decision import DecisionCore
from dualsys.embodiment import SubgoalSpec
from dualsys.messages import ActionChunk, ActionPrefix, Command, FloatArray, Guidance, LatentSubgoal, Observation
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, TimingConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)
SPEC = SubgoalSpec(num_tokens=1, dim=1)
DT_S = 1.0 / 64.0
"""Sums of it have no rounding."""
ROUNDING = 1e-9
GUIDED = sorted(name for name in registry.names("chunk_policies") if build_policy(name).guidance is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A chunk, and what the actor was told."""

    tick: int
    rows: FloatArray
    prefix: ActionPrefix | None

    def must_fit(self, consumed: int) -> bool:
        """Whether the actor could know of the row at which the chunk begins."""
        told = self.prefix
        return told is not None and 0 < consumed <= min(told.inference_delay, len(told.rows) - 1)


class Obedient:
    """Draws rows that have nothing to do with anything, but for those that it was told: they stand as they are, up to
    the one at which its chunk is to begin. Where no row will have been consumed it is as free as without a prefix.
    """

    guidances: frozenset[Guidance] = frozenset(
        {"identity", "jacobian", "freeze-and-ramp", "trained-prefix", "roll-forward"}
    )

    def __init__(self, horizon: int) -> None:
        self.embodiment, self.subgoal_spec, self.horizon, self.dt_s = ARM, SPEC, horizon, DT_S
        self.reset()

    def reset(self, *, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.made: list[Made] = []

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        del subgoal
        rows = self._rng.uniform(-1.0, 1.0, (self.horizon, 2))
        if prefix is not None and prefix.inference_delay > 0:
            held = min(prefix.inference_delay + 1, len(prefix.rows), self.horizon)
            rows[:held] = prefix.rows[:held]
        self.made.append(Made(tick=round(observation.stamp_s / DT_S), rows=rows, prefix=prefix))
        return ActionChunk(rows=rows, dt_s=DT_S, start_stamp_s=observation.stamp_s)


def played(name: str, latencies: list[int], *, horizon: int, actor_hz: float) -> tuple[list[Command], Obedient]:
    """Commands of as many ticks as there are latencies, in ticks: what is asked for in a tick takes that one's."""
    actor = Obedient(horizon)
    timing = TimingConfig(control_hz=1.0 / DT_S)
    config = CoreConfig(first_subgoal_wait_s=0.0, actor_hz=actor_hz, outlier_reach_s=0.0, outlier_speed=0.0)
    core = DecisionCore(ARM, config, build_policy(name))
    driver = InlineDriver(None, actor, core, SafetyGate(ARM, DT_S, SafetyConfig(enabled=False)), timing)
    driver.reset(_observation(0))
    commands = []
    for tick, latency in enumerate(latencies):
        driver._actor_latency = repeat(latency * DT_S)
        commands.append(driver.step(_observation(tick)))
    return commands, actor


def _observation(tick: int) -> Observation:
    return Observation(stamp_s=tick * DT_S, state=np.zeros(2))


LATENCIES: Any = st.one_of(
    st.integers(0, 9).map(lambda ticks: [ticks] * 50), st.lists(st.integers(0, 9), min_size=50, max_size=50)
)


@pytest.mark.parametrize("name", GUIDED)
@settings(max_examples=25)
@given(latencies=LATENCIES, horizon=st.integers(8, 30), actor_hz=st.sampled_from([8.0, 16.0, 32.0]))
def test_what_was_told_is_what_runs_and_no_row_is_played_twice_or_invented(
    name: str, latencies: list[int], horizon: int, actor_hz: float
) -> None:
    commands, actor = played(name, latencies, horizon=horizon, actor_hz=actor_hz)
    guidance = build_policy(name).guidance
    consumed_before: list[int] = []
    """Rows that were consumed before a tick's command, so far: the motion's own time."""
    current, consumed, fitted = -1, 0, 0
    before: Command | None = None
    for command in commands:
        if before is not None and current >= 0 and before.row < horizon - 1:
            consumed += 1  # one row a tick, until they run out
        consumed_before.append(consumed)
        if command.chunk_sequence >= 0:
            made = actor.made[command.chunk_sequence]
            behind = consumed - consumed_before[made.tick]
            assert abs(command.row - behind) < ROUNDING, "as many rows are skipped as were consumed"
            assert np.abs(command.target - made.rows[behind]).max() < ROUNDING
            if command.chunk_sequence != current:
                assert command.chunk_sequence > current
                if current >= 0 and made.must_fit(behind):
                    assert command.seam < ROUNDING
                    fitted += 1
                if made.prefix is not None:
                    assert made.prefix.guidance == guidance
                    ran = _ran(commands, consumed_before, consumed_before[made.tick], behind)
                    known = min(len(made.prefix.rows), len(ran))
                    np.testing.assert_allclose(made.prefix.rows[:known], ran[:known], rtol=0.0, atol=ROUNDING)
            current = command.chunk_sequence
        before = command
    always = latencies[0] if len(set(latencies)) == 1 else 0
    if always > 0 and max(1.0 / (DT_S * actor_hz), always) + always < horizon - 1:
        assert fitted > 0, "chunks that come in time, each as late as the one before, fit"


def _ran(commands: list[Command], consumed_before: list[int], since: int, rows: int) -> FloatArray:
    """Targets of the rows that were consumed since then, `(rows, nu)`."""
    newest = {consumed: place for place, consumed in enumerate(consumed_before)}  # those before were held
    places = [newest[since + row] for row in range(rows)]
    return np.array([commands[place].target for place in places]).reshape(-1, 2)


@pytest.mark.parametrize("name", GUIDED)
@pytest.mark.parametrize("actor_hz", [8.0, 32.0])
def test_where_nothing_runs_meanwhile_it_is_naive(name: str, actor_hz: float) -> None:
    commands, naive = (played(each, [0] * 50, horizon=16, actor_hz=actor_hz)[0] for each in (name, "naive"))
    for one, other in zip(commands, naive, strict=True):
        assert (one.row, one.chunk_sequence, one.source) == (other.row, other.chunk_sequence, other.source)
        assert one.target.tobytes() == other.target.tobytes()
