"""An attempt that fails, in the decision core: what is refused, which way is gone back, and that it ends."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dualsys.chunk_policies import SkipByDelay
from dualsys.counters import RECOVERY_COUNTS
from dualsys.decision import DecisionCore
from dualsys.events import (
    ChunkArrived,
    ChunkRequest,
    Decision,
    EmergencyStop,
    Observed,
    Retry,
    Started,
    SubgoalArrived,
    Tick,
)
from dualsys.messages import ActionChunk, Command
from dualsys.provenance import attempt_seed
from dualsys.replay import replay
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, RecoveryConfig, SafetyConfig, StalenessConfig
from dualsys.tape import Record, TapeHead
from dualsys.testing import fake_embodiment
from dualsys.testing.limits import check_limits

ARM = fake_embodiment(1)
DT_S = 0.02
GOAL, HOME = 0.4, -0.2


class Reel:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, record: Record) -> None:
        self.records.append(record)


class Stuck:
    """A joint that goes to where it is sent, and an actor that goes to `GOAL` and no farther."""

    def __init__(self, subgoal: StalenessConfig | None = None, **recovery: Any) -> None:
        self.reel = Reel()
        settings: dict[str, Any] = {"enabled": True, "still_s": 0.4, "reaction": "home", **recovery}
        self.config = CoreConfig(
            first_subgoal_wait_s=0.1,
            subgoal=subgoal or CoreConfig().subgoal,
            recovery=RecoveryConfig(**settings),
        )
        self.core = DecisionCore(ARM, self.config, SkipByDelay(), self.reel)
        self.gate = SafetyGate(ARM, DT_S, SafetyConfig())
        self.position, self.now_s = np.array([HOME]), 0.0
        self.gate.reset(self.position)
        self.core.handle(Started(now_s=0.0, position=self.position))
        self.retries: list[Retry] = []
        self.commands: list[Command] = []
        self.asked: ChunkRequest | None = None
        self.progress = -1.0
        self.answers = True
        self.senses = True

    def tick(self) -> Decision:
        if self.senses:
            self.core.handle(Observed(stamp_s=self.now_s, state=self.position))
        if self.asked is not None and self.answers:
            self.core.handle(ChunkArrived(chunk=self.chunk(self.asked), now_s=self.now_s))
        decision = self.core.handle(Tick(now_s=self.now_s))
        self.asked = decision.request
        if decision.retry is not None:
            self.retries.append(decision.retry)
        assert decision.command is not None
        command = self.gate.limit(decision.command)
        self.reel.add(command)
        self.commands.append(command)
        self.position = command.target
        self.now_s += DT_S
        return decision

    def chunk(self, asked: ChunkRequest) -> ActionChunk:
        rows = self.position + np.clip(
            GOAL - self.position, -0.02 * np.arange(32)[:, None], 0.02 * np.arange(32)[:, None]
        )
        return ActionChunk(
            rows=rows,
            dt_s=DT_S,
            start_stamp_s=asked.stamp_s,
            sequence=asked.sequence,
            request=asked.sequence,
            subgoal_progress=self.progress,
        )

    def ticks(self, seconds: float) -> Iterator[Decision]:
        for _ in range(round(seconds / DT_S)):
            yield self.tick()

    def run(self, seconds: float) -> None:
        for _ in self.ticks(seconds):
            pass

    def until(self, source: str, seconds: float = 10.0) -> None:
        for decision in self.ticks(seconds):
            if decision.command is not None and decision.command.source == source:
                return
        pytest.fail(f"no command came from {source}")

    @property
    def counts(self) -> dict[str, int]:
        return {name: self.core.status().counts[name] for name in RECOVERY_COUNTS}


def test_off_by_default_nothing_is_looked_at() -> None:
    rig = Stuck(enabled=False)
    rig.run(5.0)
    assert not rig.retries
    assert set(rig.counts.values()) == {0}
    assert not CoreConfig().recovery.enabled


def test_it_goes_home_asks_anew_and_tries_again_until_no_recovery_is_left() -> None:
    rig = Stuck(max_recoveries=2)
    rig.until("recover")
    assert rig.core.status().phase == "recovering"
    assert rig.position[0] == pytest.approx(GOAL, abs=0.02)
    rig.until("actor")
    assert rig.position[0] == pytest.approx(HOME, abs=0.03)
    rig.run(20.0)
    assert [(each.number, each.reason, each.reaction) for each in rig.retries] == [
        (1, "no_progress", "home"),
        (2, "no_progress", "home"),
        (2, "no_progress", "give_up"),
    ]
    assert rig.counts["recoveries"] == 2
    assert rig.counts["recoveries_given_up"] == 1
    assert rig.position[0] == pytest.approx(GOAL, abs=1e-3)  # it stays where the actor wants it


def test_the_way_back_is_the_way_there() -> None:
    rig = Stuck(reaction="retrace", back_s=60.0)
    rig.until("recover")
    there = [command.target[0] for command in rig.commands]
    rig.until("actor")
    back = [command.target[0] for command in rig.commands if command.source == "recover"]
    assert back[-1] == pytest.approx(HOME, abs=0.02)
    assert np.all(np.diff(back) <= 1e-9)
    assert min(back) >= min(there) - 1e-9


def test_of_a_long_way_only_the_end_is_gone_back() -> None:
    rig = Stuck(reaction="retrace", back_s=0.2)
    rig.until("recover")
    rig.until("actor")
    back = [command.target[0] for command in rig.commands if command.source == "recover"]
    # The actor moved at 1 rad/s, slower towards the end, where each chunk begins anew.
    assert GOAL - 0.3 < back[-1] < GOAL - 0.05


def test_resampling_holds_the_pose_and_escalating_resamples_once() -> None:
    rig = Stuck(reaction="escalate", max_recoveries=4)
    rig.run(12.0)
    assert [each.reaction for each in rig.retries] == ["resample", "home", "resample", "home", "give_up"]
    held = [command.target[0] for command in rig.commands if command.source == "recover"][:3]
    assert held == pytest.approx([GOAL] * 3, abs=0.01)


def test_older_subgoals_and_the_chunk_under_way_are_refused() -> None:
    rig = Stuck()
    rig.until("recover")
    since_s = rig.retries[0].now_s
    stale = SubgoalArrived(sequence=5, epoch=0, observation_stamp_s=since_s - 0.01, time_to_live_s=2.0)
    rig.core.handle(stale)
    assert rig.core.status().counts["subgoals_refused"] == 1
    late = ChunkRequest(sequence=rig.core.requester.sequence - 1, stamp_s=since_s, use_subgoal=False)
    rig.core.handle(ChunkArrived(chunk=rig.chunk(late), now_s=rig.now_s))
    assert rig.core.status().counts["chunks_refused_request"] == 1
    rig.core.handle(SubgoalArrived(sequence=6, epoch=0, observation_stamp_s=since_s, time_to_live_s=2.0))
    assert rig.core.status().counts["subgoals"] == 1


def test_nothing_is_asked_on_the_way_back() -> None:
    rig = Stuck()
    rig.until("recover")
    before = rig.core.status().counts["requests"]
    while rig.tick().command.source == "recover" and rig.position[0] > HOME + 0.05:  # type: ignore[union-attr]
        assert rig.core.status().counts["requests"] == before


def test_a_completed_subgoal_costs_no_recovery_and_no_way_back() -> None:
    rig = Stuck()
    rig.run(0.2)
    rig.progress = 1.0
    rig.run(0.4)
    assert [(each.reason, each.reaction) for each in rig.retries] == [("completed", "none")]
    assert rig.counts["subgoals_completed"] == 1
    assert rig.counts["recoveries"] == 0
    assert "recover" not in {command.source for command in rig.commands}


@pytest.mark.parametrize("on_expired", ["stop", "hold"])
def test_after_a_completed_subgoal_what_is_played_goes_on_until_the_next_is_overdue(on_expired: Any) -> None:
    """The next subgoal may take `first_subgoal_wait_s`, 0.1 s here, whatever an old one would have done."""
    rig = Stuck(subgoal=StalenessConfig(fresh_s=5.0, usable_s=5.0, expire_s=5.0, on_expired=on_expired))
    rig.core.handle(SubgoalArrived(sequence=0, epoch=0, observation_stamp_s=0.0, time_to_live_s=5.0))
    rig.run(0.2)
    rig.progress = 1.0
    while not rig.retries:
        rig.tick()
    begun_s = rig.retries[0].now_s
    rig.commands.clear()
    rig.run(0.2)
    sources = {round(command.stamp_s - begun_s, 6): command.source for command in rig.commands}
    assert {source for after_s, source in sources.items() if after_s < 0.099} == {"actor"}
    assert {source for after_s, source in sources.items() if after_s > 0.099} == {on_expired}


def test_a_stop_and_an_old_state_come_first() -> None:
    rig = Stuck(back_speed=0.1)
    rig.until("recover")
    rig.senses = False
    rig.run(0.5)
    assert rig.core.status().phase == "held"
    rig.senses = True
    rig.run(0.1)
    assert rig.core.status().phase == "recovering"
    rig.core.handle(EmergencyStop(now_s=rig.now_s))
    rig.run(1.0)
    assert rig.core.status().phase == "stopped"
    rest = [command.target[0] for command in rig.commands[-20:]]
    assert np.ptp(rest) == 0


def test_a_state_that_stops_is_latched_on_the_way_back_too() -> None:
    rig = Stuck(back_speed=0.1)
    stopping = StalenessConfig(fresh_s=0.02, usable_s=0.06, expire_s=0.2, on_expired="stop")
    rig.core.config = rig.core._ages._config = CoreConfig(recovery=rig.config.recovery, state=stopping)
    rig.until("recover")
    rig.senses = False
    rig.run(0.5)
    assert rig.core.status().phase == "stopped"


def test_a_new_episode_has_all_recoveries_again() -> None:
    rig = Stuck(max_recoveries=1)
    rig.run(6.0)
    assert rig.counts["recoveries"] == 1
    rig.core.handle(Started(now_s=rig.now_s, position=rig.position))
    rig.asked = None
    rig.run(6.0)
    assert rig.counts["recoveries"] == 2


def test_all_of_it_keeps_the_limits_and_is_replayed_to_the_bit() -> None:
    rig = Stuck(reaction="escalate")
    rig.run(10.0)
    assert len(rig.retries) >= 3
    lines = [{"target": each.target, "source": each.source} for each in rig.commands]
    assert check_limits(lines, ARM, DT_S).outside == 0
    head = TapeHead(embodiment=ARM, core=rig.config, safety=SafetyConfig(), control_dt_s=DT_S)
    assert sum(isinstance(each, Retry) for each in rig.reel.records) == len(rig.retries)
    assert replay(head, rig.reel.records).identical


def test_each_attempt_has_noise_of_its_own_and_the_first_the_episodes() -> None:
    seeds = [attempt_seed(7, attempt) for attempt in range(5)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 5
    assert seeds == [attempt_seed(7, attempt) for attempt in range(5)]
