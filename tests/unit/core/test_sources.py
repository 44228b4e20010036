"""Who has the say, tick by tick."""

from typing import Any

import numpy as np
import pytest

from dualsys.chunk_policies import Continuing, SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.errors import ConfigError
from dualsys.events import ChunkArrived, Observed, Offered, SourceName, Started, Tick
from dualsys.messages import ActionChunk, Command
from dualsys.protocols import ChunkPolicy
from dualsys.settings import CoreConfig, StalenessConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(1)
DT_S = 0.02


class Rig:
    """A core at 50 Hz, whose chunks come so many ticks late."""

    def __init__(self, policy: ChunkPolicy | None = None, *, late_ticks: int = 0, **config: Any) -> None:
        self.core = DecisionCore(ARM, CoreConfig(first_subgoal_wait_s=0.0, **config), policy or SkipByDelay())
        self.core.handle(Started(now_s=0.0, position=np.zeros(1)))
        self.index = -1
        self.late_ticks = late_ticks
        self.delays: list[int] = []
        """Rows that the actor was told to expect, with each request that told any."""
        self._coming: list[tuple[int, ActionChunk]] = []

    def offer(
        self, target: float, source: SourceName = "teleoperation", *, claims: bool = True, age_s: float = 0.0
    ) -> None:
        now_s = self.index * DT_S
        offered = Offered(now_s=now_s, source=source, target=np.array([target]), stamp_s=now_s - age_s, claims=claims)
        self.core.handle(offered)

    def tick(self, count: int = 1) -> Command:
        for _ in range(count):
            self.index += 1
            now_s = self.index * DT_S
            self.core.handle(Observed(stamp_s=now_s, state=np.zeros(1)))
            self._deliver(now_s)
            decision = self.core.handle(Tick(now_s=now_s))
            if decision.request is not None:
                asked = decision.request
                if asked.prefix is not None:
                    self.delays.append(asked.prefix.inference_delay)
                rows = np.full((40, 1), 0.5)
                chunk = ActionChunk(
                    rows=rows, dt_s=DT_S, start_stamp_s=now_s, request=asked.sequence, sequence=asked.sequence
                )
                self._coming.append((self.index + self.late_ticks, chunk))
                self._deliver(now_s)
        assert decision.command is not None
        return decision.command

    def _deliver(self, now_s: float) -> None:
        while self._coming and self._coming[0][0] <= self.index:
            self.core.handle(ChunkArrived(chunk=self._coming.pop(0)[1], now_s=now_s))

    def count(self, name: str) -> int:
        return self.core.status().counts[name]


def test_the_first_in_order_that_claims_it_has_the_say() -> None:
    rig = Rig()
    assert rig.tick(3).source == "actor"
    rig.offer(0.1, "controller")
    assert (rig.tick().source, rig.core.status().phase) == ("controller", "driven")
    rig.offer(0.2, "pose")
    assert rig.tick().source == "pose"
    rig.offer(0.3, "teleoperation")
    assert rig.tick().source == "teleoperation"
    rig.offer(0.4, "controller")
    command = rig.tick()
    assert (command.source, command.target[0]) == ("teleoperation", 0.3)
    rig.offer(0.0, "teleoperation", claims=False)
    assert rig.tick().source == "pose"
    rig.offer(0.0, "pose", claims=False)
    assert (rig.tick().source, rig.core.status().holder) == ("controller", "controller")
    rig.offer(0.0, "controller", claims=False)
    assert (rig.tick().source, rig.core.status().holder) == ("start", None)
    assert rig.tick(2).source == "actor"
    assert rig.count("handovers") == 6


def test_while_somebody_else_drives_the_actor_is_not_asked_and_starts_from_what_it_sees_then() -> None:
    rig = Rig()
    rig.tick(10)
    asked, chunks = rig.count("requests"), rig.count("chunks")
    for _ in range(100):
        rig.offer(0.2)
        rig.tick()
    assert (rig.count("requests"), rig.count("driven_ticks")) == (asked, 100)
    rig.offer(0.2, claims=False)
    command = rig.tick()
    assert (command.source, command.target[0], rig.count("requests")) == ("start", 0.2, asked + 1)
    command = rig.tick()
    assert (command.source, command.row, rig.count("chunks")) == ("actor", 0.0, chunks + 1)


def test_an_old_offer_begins_nothing_and_what_began_is_held_not_given_back() -> None:
    rig = Rig()
    rig.tick(2)
    rig.offer(0.3, age_s=0.3)
    assert rig.tick().source == "actor"
    rig.offer(0.3)
    assert rig.tick(20).source == "teleoperation"
    command = rig.tick(10)
    assert (command.source, command.limited, command.target[0]) == ("hold", ("stale",), 0.3)
    assert (rig.core.status().holder, rig.core.status().phase) == ("teleoperation", "held")
    rig.offer(0.4)
    assert rig.tick().source == "teleoperation"


def test_between_offers_the_target_moves_in_a_straight_line() -> None:
    rig = Rig()
    rig.tick()
    rig.offer(0.0)
    rig.tick(4)
    rig.offer(0.4)  # 0.08 s after the first
    assert [round(float(rig.tick().target[0]), 9) for _ in range(5)] == [0.1, 0.2, 0.3, 0.4, 0.4]
    rig.tick(10)
    rig.offer(0.0)  # after a pause: within 0.1 s
    assert [round(float(rig.tick().target[0]), 9) for _ in range(6)] == [0.32, 0.24, 0.16, 0.08, 0.0, 0.0]


@pytest.mark.parametrize("on_expired", ["hold", "damp", "stop"])
def test_what_is_done_about_a_silent_source_stands_in_the_configuration(on_expired: Any) -> None:
    rig = Rig(source=StalenessConfig(fresh_s=0.1, usable_s=0.1, expire_s=0.1, on_expired=on_expired))
    rig.tick()
    rig.offer(0.1)
    assert rig.tick(20).source == on_expired
    assert rig.core.status().phase == ("stopped" if on_expired == "stop" else "held")


def test_offers_that_mean_nothing_are_refused_and_counted() -> None:
    rig = Rig()
    rig.tick(5)
    good = Offered(now_s=0.1, source="pose", target=np.zeros(1), stamp_s=0.1)
    oddities: tuple[dict[str, Any], ...] = (
        {"source": "policy"},
        {"source": []},
        {"target": np.zeros(2)},
        {"target": np.array([np.nan])},
        {"target": np.array([1e12])},
        {"stamp_s": "now"},
        {"now_s": np.inf},
        {"claims": 1},
    )
    for changes in oddities:
        fields = {name: getattr(good, name) for name in ("now_s", "source", "target", "stamp_s", "claims")}
        rig.core.handle(Offered(**(fields | changes)))
    assert (rig.count("offers_refused"), rig.count("offers")) == (8, 0)
    rig.core.handle(good)
    rig.core.handle(Offered(now_s=0.1, source="pose", target=np.zeros(1), stamp_s=0.05))
    assert (rig.count("offers_refused"), rig.count("offers")) == (9, 1)
    with pytest.raises((ConfigError, ValueError), match="source: only the policy's motion can be slowed"):
        CoreConfig(source=StalenessConfig(fresh_s=0, usable_s=0, expire_s=0, on_expired="null"))


def test_a_source_is_not_slowed_and_its_ticks_do_not_count_as_slowed() -> None:
    """A state that says `slow` slows the policy alone; another source goes on at its pace until the state expires."""
    with pytest.raises(ValueError, match="choose keep, hold, damp, stop"):
        CoreConfig(source=StalenessConfig(fresh_s=0.05, usable_s=0.2, expire_s=0.5, on_stale="slow"))
    rig = Rig(state=StalenessConfig(fresh_s=0.02, usable_s=0.04, expire_s=0.2, on_stale="slow"))
    rig.tick(3)
    seen_s = rig.index * DT_S
    sources = []
    for index in range(4, 20):
        rig.core.handle(
            Offered(now_s=index * DT_S, source="pose", target=np.array([index / 100]), stamp_s=index * DT_S)
        )
        command = rig.core.handle(Tick(now_s=index * DT_S)).command
        assert command is not None
        sources.append((round(index * DT_S - seen_s, 6) > 0.2, command.source))
    assert set(sources) == {(False, "pose"), (True, "hold")}
    assert rig.count("slowed_ticks") == 0


def test_how_long_chunks_take_is_known_behind_a_hand_over_and_not_behind_a_start() -> None:
    rig = Rig(policy=Continuing(guidance="identity"), late_ticks=3)
    rig.tick(60)
    assert rig.delays[-1] == 3
    rig.offer(0.1)
    rig.tick(2)
    rig.offer(0.0, claims=False)
    told = len(rig.delays)
    rig.late_ticks = 1
    rig.tick(9)
    assert rig.delays[told] == 3, "the first chunk behind it came after one row, those before it after three"
    rig.core.handle(Started(now_s=rig.index * DT_S, position=np.zeros(1)))
    told = len(rig.delays)
    rig.tick(9)
    assert rig.delays[told] == 1
