"""The decision core's behaviours, each with times small enough to follow on paper."""

from typing import Any

import numpy as np
import pytest

from dualsys.chunk_policies import Naive, SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.errors import SpecMismatch
from dualsys.events import ChunkArrived, ChunkRequest, Decision, Fault, Observed, Started, SubgoalArrived, Tick
from dualsys.messages import ActionChunk, Command
from dualsys.protocols import ChunkPolicy
from dualsys.settings import CoreConfig, StalenessConfig
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(1)
DT_S = 0.02


class Rig:
    """A core at 50 Hz whose rows say which row they are: the target is the row number over 1000."""

    def __init__(self, policy: ChunkPolicy | None = None, **config: Any) -> None:
        settings = {"first_subgoal_wait_s": 0.0, **config}
        self.core = DecisionCore(ARM, CoreConfig(**settings), policy or SkipByDelay())
        self.core.handle(Started(now_s=0.0, position=np.array([0.5])))
        self.last: Decision = self.core.handle(Observed(stamp_s=0.0, state=np.zeros(1)))
        self.requests: list[ChunkRequest] = []

    def tick(self, now_s: float, *, observed: bool = True) -> Command:
        if observed:
            self.core.handle(Observed(stamp_s=now_s, state=np.zeros(1)))
        self.last = self.core.handle(Tick(now_s=now_s))
        if self.last.request is not None:
            self.requests.append(self.last.request)
        assert self.last.command is not None
        return self.last.command

    def ticks(self, first: int, stop: int) -> list[Command]:
        return [self.tick(index * DT_S) for index in range(first, stop)]

    def answer(
        self, asked: ChunkRequest, *, now_s: float = 10.0, horizon: int = 20, offset: float = 0.0, **changes: Any
    ) -> None:
        fields: dict[str, Any] = {
            "rows": np.arange(horizon, dtype=np.float64)[:, None] / 1000 + offset,
            "dt_s": DT_S,
            "start_stamp_s": asked.stamp_s,
            "request": asked.sequence,
            "sequence": asked.sequence,
        } | changes
        self.last = self.core.handle(ChunkArrived(chunk=ActionChunk(**fields), now_s=now_s))

    def count(self, name: str) -> int:
        return self.core.status().counts[name]


def test_the_start_pose_is_held_until_the_first_chunk() -> None:
    rig = Rig()
    commands = rig.ticks(0, 4)
    assert [(c.source, c.target[0], c.chunk_sequence) for c in commands] == [("start", 0.5, -1)] * 4
    rig.answer(rig.requests[0])
    command = rig.tick(4 * DT_S)
    # Nothing was consumed while the start was held, so nothing is skipped.
    assert (command.source, command.row, command.target[0]) == ("actor", 0.0, 0.0)


@pytest.mark.parametrize(("policy", "first_row"), [(SkipByDelay(), 3.0), (Naive(), 0.0)])
def test_the_policy_says_where_a_chunk_starts(policy: ChunkPolicy, first_row: float) -> None:
    rig = Rig(policy)
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    rig.ticks(1, 8)
    second = rig.requests[1]
    assert second.stamp_s == pytest.approx(5 * DT_S)
    rig.answer(second, offset=1.0)
    command = rig.tick(8 * DT_S)
    assert command.chunk_sequence == second.sequence
    assert command.row == pytest.approx(first_row)
    assert command.target[0] == pytest.approx(1.0 + first_row / 1000)


def test_rows_not_consumed_while_held_are_not_skipped() -> None:
    """A chunk observed at tick 5 starts at tick 22 behind 13 rows: four of the 17 ticks in between were held."""
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    rig.ticks(1, 8)
    second = rig.requests[1]
    assert second.stamp_s == pytest.approx(5 * DT_S)
    # The state expires after 0.2 s: ten ticks go on without one, four are held.
    held = [rig.tick(index * DT_S, observed=False) for index in range(8, 22)]
    assert [c.source for c in held].count("hold") == 4
    assert all(c.limited == ("stale",) for c in held if c.source == "hold")
    rig.answer(second)
    command = rig.tick(22 * DT_S)
    assert command.chunk_sequence == second.sequence
    assert command.row == pytest.approx(13.0)


def test_a_chunk_that_runs_out_is_held_and_counted() -> None:
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0], horizon=3)
    commands = rig.ticks(1, 6)
    assert [c.source for c in commands] == ["actor", "actor", "actor", "hold", "hold"]
    assert commands[-1].target[0] == 0.002
    assert rig.count("starved_ticks") == 2
    assert rig.core.status().phase == "starved"


def test_rows_not_consumed_while_starved_are_not_skipped() -> None:
    """Observed at row 4 of 8, arrived five ticks after the chunk ran out at row 7: three were consumed, not eight."""
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0], horizon=8)
    rig.ticks(1, 13)
    assert rig.requests[1].stamp_s == pytest.approx(5 * DT_S)
    rig.answer(rig.requests[1])
    assert rig.tick(13 * DT_S).row == pytest.approx(3.0)


def test_a_chunk_all_of_whose_rows_were_consumed_is_refused_as_late() -> None:
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    rig.ticks(1, 12)
    rig.answer(rig.requests[1], horizon=5)
    command = rig.tick(12 * DT_S)
    assert command.chunk_sequence == rig.requests[0].sequence
    assert rig.count("chunks_refused_late") == 1


@pytest.mark.parametrize(
    ("changes", "counter"),
    [
        ({"request": 7}, "chunks_refused_request"),
        ({"sequence": -1}, "chunks_refused_sequence"),
        ({"rows": np.zeros((4, 2))}, "chunks_refused_shape"),
        ({"rows": np.full((4, 1), np.nan)}, "chunks_refused_finite"),
        ({"dt_s": 0.0}, "chunks_refused_timing"),
        ({"start_stamp_s": 99.0}, "chunks_refused_timing"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused_and_asked_again(changes: dict[str, Any], counter: str) -> None:
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0], **changes)
    assert rig.count(counter) == 1
    assert rig.tick(DT_S).source == "start"
    rig.ticks(2, 7)
    asked_again = len(rig.requests) == 2
    assert asked_again == (counter != "chunks_refused_request"), "the one in flight may still be answered"


def test_an_answer_counts_once() -> None:
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    rig.answer(rig.requests[0], offset=1.0)
    assert rig.count("chunks_refused_request") == 1
    assert rig.tick(DT_S).target[0] == 0.0


def test_requests_keep_an_absolute_grid() -> None:
    """A tick that comes late delays its own request, not those after it."""
    rig = Rig(actor_hz=10.0)
    times_s = [0.0, 0.05, 0.13, 0.17, 0.21, 0.29, 0.31]
    for now_s in times_s:
        rig.tick(now_s)
        if rig.last.request is not None:
            rig.answer(rig.last.request)
    assert [r.stamp_s for r in rig.requests] == [0.0, 0.13, 0.21, 0.31]


def test_one_request_in_flight_until_it_times_out() -> None:
    rig = Rig(actor_hz=10.0, request_timeout_s=0.35)
    for index in range(41):
        rig.tick(index * 0.01)
    assert [r.stamp_s for r in rig.requests] == pytest.approx([0.0, 0.35])
    assert rig.count("requests_timed_out") == 1
    # Grid points 0.1, 0.2, 0.3 and 0.4 passed while one was in flight.
    assert rig.count("requests_skipped") == 4
    rig.answer(rig.requests[0])
    assert rig.count("chunks_refused_request") == 1
    rig.answer(rig.requests[1])
    assert rig.tick(0.42).source == "actor"


def test_a_fault_of_the_actor_frees_its_request() -> None:
    rig = Rig(actor_hz=10.0)
    rig.tick(0.0)
    rig.core.handle(Fault(now_s=0.05, kind="actor", detail="died"))
    rig.tick(0.1)
    assert [r.stamp_s for r in rig.requests] == [0.0, 0.1]
    assert rig.count("faults") == 1


def test_the_first_request_waits_for_the_first_subgoal_but_not_for_ever() -> None:
    rig = Rig(first_subgoal_wait_s=0.1)
    rig.ticks(0, 3)
    assert rig.requests == []
    rig.core.handle(SubgoalArrived(sequence=0, epoch=0, observation_stamp_s=0.0, time_to_live_s=np.inf))
    rig.tick(3 * DT_S)
    assert [(r.stamp_s, r.use_subgoal) for r in rig.requests] == [(3 * DT_S, True)]

    alone = Rig(first_subgoal_wait_s=0.1)
    alone.ticks(0, 7)
    assert [(r.stamp_s, r.use_subgoal) for r in alone.requests] == [(5 * DT_S, False)]
    assert alone.count("requests_null") == 1


@pytest.mark.parametrize(("time_to_live_s", "last_used_s"), [(np.inf, 0.4), (0.2, 0.2)])
def test_an_expired_subgoal_decays_to_null(time_to_live_s: float, last_used_s: float) -> None:
    subgoal = StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4, on_expired="null")
    rig = Rig(subgoal=subgoal)
    rig.core.handle(SubgoalArrived(sequence=0, epoch=0, observation_stamp_s=0.0, time_to_live_s=time_to_live_s))
    for index in range(31):
        rig.tick(index * DT_S)
        if rig.last.request is not None:
            rig.answer(rig.last.request)
    assert [r.use_subgoal for r in rig.requests] == [r.stamp_s <= last_used_s + 1e-9 for r in rig.requests]
    assert rig.core.status().subgoal == "expired"
    assert rig.tick(31 * DT_S).source == "actor", "null is not a reason to stop"


def test_motion_can_be_held_while_the_subgoal_is_expired() -> None:
    subgoal = StalenessConfig(fresh_s=0.05, usable_s=0.05, expire_s=0.1, on_expired="hold")
    rig = Rig(subgoal=subgoal)
    rig.core.handle(SubgoalArrived(sequence=0, epoch=0, observation_stamp_s=0.0, time_to_live_s=np.inf))
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    assert [c.source for c in rig.ticks(1, 8)] == ["actor"] * 5 + ["hold"] * 2
    rig.core.handle(SubgoalArrived(sequence=1, epoch=0, observation_stamp_s=0.15, time_to_live_s=np.inf))
    command = rig.tick(8 * DT_S)
    assert command.source == "actor"
    assert command.row == pytest.approx(5.0), "it goes on where it stopped"


def test_an_expired_chunk_holds_and_a_new_one_moves_at_once() -> None:
    chunk = StalenessConfig(fresh_s=0.05, usable_s=0.05, expire_s=0.1)
    rig = Rig(chunk=chunk, actor_hz=100.0)
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    commands = rig.ticks(1, 9)
    assert [c.source for c in commands] == ["actor"] * 5 + ["hold"] * 3
    rig.answer(rig.requests[-1], start_stamp_s=8 * DT_S)
    assert rig.tick(9 * DT_S).source == "actor"


def test_the_newest_planner_epoch_wins_and_older_subgoals_are_refused() -> None:
    rig = Rig()
    for epoch, sequence in ((0, 4), (0, 3), (1, 0), (0, 9), (1, 0)):
        event = SubgoalArrived(sequence=sequence, epoch=epoch, observation_stamp_s=0.0, time_to_live_s=1.0)
        rig.last = rig.core.handle(event)
    assert (rig.count("subgoals"), rig.count("subgoals_refused"), rig.count("planner_restarts")) == (2, 3, 1)


def test_a_subgoal_from_before_the_start_is_refused() -> None:
    rig = Rig()
    rig.core.handle(Started(now_s=5.0, position=np.zeros(1)))
    rig.last = rig.core.handle(SubgoalArrived(sequence=0, epoch=0, observation_stamp_s=4.9, time_to_live_s=9.0))
    assert rig.count("subgoals_refused") == 1


def test_a_command_names_its_chunk_its_subgoal_and_their_ages() -> None:
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0], subgoal_sequence=3, subgoal_epoch=2, subgoal_age_s=0.25)
    command = rig.ticks(1, 4)[-1]
    assert (command.chunk_sequence, command.subgoal_sequence, command.subgoal_epoch) == (0, 3, 2)
    assert command.chunk_age_s == pytest.approx(0.06)
    assert command.subgoal_age_s == pytest.approx(0.31)


def test_a_start_forgets_the_motion_and_the_request_before() -> None:
    rig = Rig()
    rig.tick(0.0)
    first = rig.requests[0]
    rig.answer(first)
    rig.ticks(1, 6)
    in_flight = rig.requests[1]
    rig.core.handle(Started(now_s=0.0, position=np.array([-0.5])))
    rig.answer(in_flight)
    assert rig.count("chunks_refused_request") == 1
    command = rig.tick(0.0)
    assert (command.source, command.target[0]) == ("start", -0.5)
    assert rig.requests[-1].sequence == 2, "sequences go on over a start"


def test_a_late_tick_goes_on_by_at_most_the_longest_gap() -> None:
    rig = Rig(max_tick_gap_s=0.1)
    rig.tick(0.0)
    rig.answer(rig.requests[0], horizon=60)
    rig.tick(DT_S)
    assert rig.tick(DT_S + 0.15).row == pytest.approx(5.0)
    assert rig.count("late_ticks") == 1


def test_a_tick_decided_again_counts_once() -> None:
    rig = Rig()
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    command = rig.tick(0.0)
    assert (command.source, command.row) == ("actor", 0.0)
    assert (rig.count("ticks"), rig.count("start_ticks"), rig.count("playing_ticks")) == (1, 0, 1)


def test_before_a_start_there_is_no_command() -> None:
    core = DecisionCore(ARM, CoreConfig(), Naive())
    assert core.handle(Tick(now_s=0.0)).command is None
    core.handle(Started(now_s=0.0, position=np.array([np.nan])))
    assert core.handle(Tick(now_s=0.1)).command is None
    assert (core.status().phase, core.status().counts["bad_events"]) == ("idle", 1)


def test_a_stamp_from_the_future_does_not_lock_later_observations_out() -> None:
    rig = Rig()
    rig.core.handle(Observed(stamp_s=1e6, state=np.zeros(1)))
    assert rig.tick(0.0, observed=False).source == "start"
    freshness = [rig.core.status().state]
    rig.tick(DT_S)
    assert [*freshness, rig.core.status().state] == ["expired", "fresh"]


@pytest.mark.parametrize("answer", [float("nan"), -1.0, "two", None])
def test_a_chunk_policy_that_makes_no_sense_or_fails_is_counted(answer: Any) -> None:
    class Odd(Naive):  # type: ignore[misc]
        def first_row(self, consumed_rows: float) -> float:
            if answer is None:
                raise KeyError(consumed_rows)
            return answer  # type: ignore[no-any-return]

    rig = Rig(Odd())
    rig.tick(0.0)
    rig.answer(rig.requests[0])
    assert rig.tick(DT_S).source == "start"
    assert rig.count("chunks_refused_policy") == 1


def test_rows_are_copied_on_arrival() -> None:
    rig = Rig()
    rig.tick(0.0)
    rows = np.zeros((5, 1))
    rig.answer(rig.requests[0], rows=rows)
    rows += 9.0
    assert rig.tick(DT_S).target[0] == 0.0


def test_phases_add_up_to_all_ticks() -> None:
    rig = Rig()
    rig.ticks(0, 3)
    rig.answer(rig.requests[0], horizon=4)
    rig.ticks(3, 9)
    for index in range(9, 30):
        rig.tick(index * DT_S, observed=False)
    phases = sum(rig.count(f"{phase}_ticks") for phase in ("start", "playing", "starved", "held"))
    assert phases == rig.count("ticks") == 30


def test_delta_actions_are_refused() -> None:
    joint = Joint(name="x", lower=-1, upper=1)
    arm = EmbodimentSpec(name="arm", joints=(joint,), state_names=("x",), action_representation="delta")
    with pytest.raises(SpecMismatch, match="drift"):
        DecisionCore(arm, CoreConfig(), Naive())
