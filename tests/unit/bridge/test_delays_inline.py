"""Late cameras, commands and links on the virtual clock, against closed forms."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import dualsys
from dualsys.bridge.inline import InlineDriver
from dualsys.chunk_policies import SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError
from dualsys.messages import ActionChunk, Command, ImageArray, Observation
from dualsys.protocols import Actor, Planner
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.testing import KnownPlanner, PoseActor, fake_embodiment
from dualsys.timing import LinkConfig

ARM = fake_embodiment(2, cameras=True)
SPEC = SubgoalSpec(num_tokens=2, dim=3)
DT_S = 0.02
POSE = np.array([0.4, -0.4])
OLD = StalenessConfig(fresh_s=50.0, usable_s=50.0, expire_s=50.0, on_expired="null")


class Images(Mapping[str, ImageArray]):
    """Shows the tick, can be looked at in its own tick alone, and notes when that happens."""

    def __init__(self, tick: int, clock: list[int], looks: list[int]) -> None:
        self._tick, self._clock, self._looks = tick, clock, looks

    def __getitem__(self, name: str) -> ImageArray:
        """Draw."""
        assert self._clock[0] == self._tick, "a picture can only be taken of the present"
        self._looks.append(self._tick)
        return np.full((4, 6, 3), self._tick % 256, dtype=np.uint8)

    def __iter__(self) -> Iterator[str]:
        """The one camera."""
        return iter(("head",))

    def __len__(self) -> int:
        """One."""
        return 1


class SeeingPlanner(KnownPlanner):
    """Notes the tick that it was shown, the stamp of the picture and that of the state."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.seen: list[tuple[int, int, int]] = []

    def plan(self, observation: Observation) -> Any:
        """Look, note, plan."""
        stamp_s = observation.image_stamps_s.get("head", observation.stamp_s)
        shown = int(observation.images["head"][0, 0, 0])
        self.seen.append((shown, round(stamp_s / DT_S), round(observation.stamp_s / DT_S)))
        return super().plan(observation)


def driver(planner: Planner | None = None, actor: Actor | None = None, **timing: Any) -> InlineDriver:
    config = CoreConfig(first_subgoal_wait_s=0.0, subgoal=OLD, request_timeout_s=0.3)
    core, gate = DecisionCore(ARM, config, SkipByDelay()), SafetyGate(ARM, DT_S, SafetyConfig())
    return InlineDriver(planner, actor or PoseActor(ARM, SPEC, POSE), core, gate, TimingConfig(**timing))


def steps(one: InlineDriver, count: int, *, seed: int = 0, looks: list[int] | None = None) -> list[Command]:
    clock, noted = [0], [] if looks is None else looks
    commands = []
    for tick in range(count):
        clock[0] = tick
        images = Images(tick, clock, noted)
        seen = Observation(stamp_s=tick * DT_S, state=np.zeros(2), images=images)
        if tick == 0:
            one.reset(seen, seed=seed)
        commands.append(one.step(seen))
    return commands


def bits(commands: list[Command]) -> list[tuple[Any, ...]]:
    return [(each.target.tobytes(), each.stamp_s, each.chunk_sequence, each.subgoal_sequence) for each in commands]


@pytest.mark.parametrize("ticks", [1, 2, 7])
def test_a_fixed_actuation_delay_shifts_the_commands_by_as_many_ticks(ticks: int) -> None:
    at_once = steps(driver(KnownPlanner(SPEC)), 60)
    late = steps(driver(KnownPlanner(SPEC), actuation_delay_s=ticks * DT_S), 60)
    assert bits(late[ticks:]) == bits(at_once[:-ticks])
    assert [each.source for each in late[:ticks]] == ["start"] * ticks
    np.testing.assert_array_equal([each.target for each in late[:ticks]], np.zeros((ticks, 2)))


def test_commands_that_overtake_one_another_never_go_back() -> None:
    one = driver(actuation_delay_s="uniform:0,0.2")
    stamps = [each.stamp_s for each in steps(one, 200) if each.source != "start"]
    assert stamps == sorted(stamps)
    assert one.counts["commands_overtaken"] > 20


@pytest.mark.parametrize("ticks", [1, 3])
def test_late_frames_are_older_than_the_state_and_say_so(ticks: int) -> None:
    planner = SeeingPlanner()
    one = driver(planner, camera_delay_s=ticks * DT_S, planner_hz=10.0)
    steps(one, 40)
    assert [now for _, _, now in planner.seen] == [5, 10, 15, 20, 25, 30, 35]
    for shown, stamped, now in planner.seen:
        assert shown == stamped == now - ticks
    assert one.counts["planner_starts_blind"] == 1, "at the very beginning no frame has come yet"


def test_a_camera_of_its_own_rate_draws_no_more_often() -> None:
    planner, looks = SeeingPlanner(), list[int]()
    steps(driver(planner, camera_hz=10.0, camera_delay_s=2 * DT_S, planner_hz=25.0), 21, looks=looks)
    assert looks == [0, 5, 10, 15, 20]
    assert [(shown, now) for shown, _, now in planner.seen] == [
        (0, 2), (0, 4), (0, 6), (5, 8), (5, 10), (10, 12), (10, 14), (10, 16), (15, 18), (15, 20),
    ]  # fmt: skip


def test_without_delays_nobody_looks_but_the_models() -> None:
    looks: list[int] = []
    steps(driver(SeeingPlanner(), planner_hz=5.0), 21, looks=looks)
    assert looks == [0, 10, 20]


def test_an_actor_waits_for_the_first_frame() -> None:
    actor = PoseActor(ARM, SPEC, POSE)
    commands = steps(driver(None, actor, camera_delay_s=3 * DT_S), 10)
    assert [each.source for each in commands[:5]] == ["start", "start", "start", "actor", "actor"]
    assert actor.calls[0][0] == pytest.approx(3 * DT_S)


def test_a_link_delays_both_ways_and_the_age_counts_from_the_observation() -> None:
    planner, actor = SeeingPlanner(), PoseActor(ARM, SPEC, POSE)
    link = LinkConfig(observation_s=2 * DT_S, subgoal_s=3 * DT_S)
    steps(driver(planner, actor, planner_hz=5.0, planner_latency_s=4 * DT_S, link=link), 51)
    assert [shown for shown, _, _ in planner.seen] == [0, 10, 20, 30, 40], "what was seen when it was sent"
    for stamp_s, subgoal in actor.calls:
        arrived = [tick for tick in (0, 10, 20, 30, 40) if (tick + 9) * DT_S <= stamp_s + 1e-9]
        assert (subgoal is None) == (not arrived)
        if subgoal is not None:
            assert subgoal.observation_stamp_s == pytest.approx(arrived[-1] * DT_S)
            assert subgoal.emitted_stamp_s == pytest.approx((arrived[-1] + 6) * DT_S)


def test_a_planner_behind_a_link_is_busy_while_it_plans_alone() -> None:
    """The way takes longer than the period: several are under way, none is skipped."""
    planner = KnownPlanner(SPEC)
    link = LinkConfig(observation_s=0.3, subgoal_s=0.3)
    one = driver(planner, planner_hz=10.0, planner_latency_s=0.08, link=link)
    steps(one, 101)
    assert one.counts["planner_starts_skipped"] == 0
    assert len(planner.stamps_s) == 18


def test_no_subgoal_older_than_the_last_is_ever_used() -> None:
    actor = PoseActor(ARM, SPEC, POSE)
    link = LinkConfig(subgoal_s="uniform:0,0.6")
    one = driver(KnownPlanner(SPEC), actor, planner_hz=25.0, link=link)
    commands = steps(one, 400)
    used = [subgoal.sequence for _, subgoal in actor.calls if subgoal is not None]
    assert used == sorted(used)
    assert all(now.subgoal_sequence >= before.subgoal_sequence for before, now in pairwise(commands))
    assert one.counts["subgoals_overtaken"] > 10
    assert one.core.status().counts["subgoals_refused"] == 0, "the core never saw them"


def test_an_observation_that_was_overtaken_is_not_planned_from() -> None:
    planner = KnownPlanner(SPEC)
    one = driver(planner, planner_hz=25.0, link=LinkConfig(observation_s="uniform:0,0.6"))
    steps(one, 400)
    assert planner.stamps_s == sorted(planner.stamps_s)
    assert one.counts["observations_overtaken"] > 10
    assert one.counts["planner_starts"] == len(planner.stamps_s)


def test_where_subgoals_are_lost_the_last_one_stays() -> None:
    actor = PoseActor(ARM, SPEC, POSE)
    one = driver(KnownPlanner(SPEC), actor, planner_hz=10.0, link=LinkConfig(subgoal_drop=0.5))
    steps(one, 500)
    used = [subgoal.sequence for _, subgoal in actor.calls if subgoal is not None]
    assert used == sorted(used)
    lost, starts = one.counts["subgoals_lost"], one.counts["planner_starts"]
    assert 30 < lost < 70
    assert len(set(used)) == starts - lost
    assert len(used) > len(set(used)), "some serve more than one chunk"


def test_observations_that_are_lost_start_no_plan() -> None:
    planner = KnownPlanner(SPEC)
    one = driver(planner, planner_hz=10.0, link=LinkConfig(observation_drop=0.5))
    steps(one, 500)
    assert one.counts["observations_lost"] + len(planner.stamps_s) == 100
    assert 30 < one.counts["observations_lost"] < 70


NOISY: dict[str, Any] = {
    "planner_latency_s": "lognormal:0.12,0.05",
    "actor_latency_s": "normal:0.04,0.02",
    "camera_delay_s": "uniform:0.02,0.08",
    "actuation_delay_s": "uniform:0,0.03",
    "link": LinkConfig(observation_s="uniform:0,0.1", subgoal_s="uniform:0,0.3", subgoal_drop=0.2),
}


def test_the_same_seed_gives_the_same_bits_and_another_one_others() -> None:
    one = driver(SeeingPlanner(), **NOISY)
    first, other, again = (bits(steps(one, 150, seed=seed)) for seed in (3, 4, 3))
    # A chunk's and a subgoal's numbers go on from episode to episode; what they say doesn't.
    assert [each[:2] for each in first] == [each[:2] for each in again]
    assert [each[:2] for each in first] != [each[:2] for each in other]
    assert bits(steps(driver(SeeingPlanner(), **NOISY), 150, seed=3)) == first


def test_one_parts_delays_do_not_hang_on_anothers() -> None:
    """With a planner that draws more often, the actor's latencies stay what they were."""
    calls = []
    for hz in (1.0, 10.0):
        actor = PoseActor(ARM, SPEC, POSE)
        steps(driver(KnownPlanner(SPEC), actor, planner_hz=hz, **NOISY), 150, seed=3)
        calls.append([stamp_s for stamp_s, _ in actor.calls])
    assert calls[0] == calls[1]


def test_an_actor_beyond_its_time_goes_on_until_it_is_done() -> None:
    """A request is given up after 0.3 s; what comes later is refused, and nobody acts meanwhile."""
    actor = PoseActor(ARM, SPEC, POSE)
    one = driver(None, actor, actor_latency_s="uniform:0.05,0.7")
    commands = steps(one, 1000)
    counts = one.core.status().counts
    assert counts["requests_timed_out"] > 5
    assert counts["chunks_refused_request"] > 5
    assert commands[-1].source in ("actor", "hold")
    begun = [stamp_s for stamp_s, _ in actor.calls]
    assert min(late - early for early, late in pairwise(begun)) >= 0.05 - 1e-9


def test_a_latency_that_is_never_in_time_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"actor_latency_s uniform:0\.4,0\.5 is not below"):
        driver(actor_latency_s="uniform:0.4,0.5")


class Noting(PoseActor):
    """Notes the observation and the subgoal of each chunk."""

    def __init__(self) -> None:
        super().__init__(ARM, SPEC, POSE, horizon=8, dt_s=DT_S)
        self.made: list[tuple[int, int]] = []

    def act(self, observation: Observation, subgoal: Any, prefix: Any = None) -> ActionChunk:
        """Note and act."""
        seen_s = -1.0 if subgoal is None else subgoal.observation_stamp_s
        self.made.append((round(observation.stamp_s / DT_S), round(seen_s / DT_S)))
        return super().act(observation, subgoal, prefix)


def controlled(actor: PoseActor, timing: TimingConfig, core: CoreConfig) -> list[Command]:
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    with dualsys.Controller(KnownPlanner(SPEC), actor, timing=timing, core=core) as controller:
        return [
            controller.step(Observation(stamp_s=tick * DT_S, state=np.zeros(2), images={"head": image}))
            for tick in range(40)
        ]


@pytest.mark.parametrize(("rows", "every"), [(None, 4), (1, 1), (3, 3), (8, 8)])
def test_a_frozen_world_plans_acts_and_executes_in_turns(rows: int | None, every: int) -> None:
    actor = Noting()
    late = TimingConfig(
        planner_latency_s=0.5, actor_latency_s="uniform:0,0.2", camera_delay_s=0.1, actuation_delay_s=0.1,
        link=LinkConfig(subgoal_s=0.2), world="frozen", execution_horizon=rows,
    )  # fmt: skip
    commands = controlled(actor, late, CoreConfig())
    assert actor.made == [(tick, tick) for tick in range(0, 40, every)], "each with a subgoal of its own moment"
    assert [round(each.row) for each in commands] == [tick % every for tick in range(40)]
    assert {each.source for each in commands} == {"actor"}


def test_a_frozen_world_is_no_latency_and_a_planner_as_fast_as_the_chunks() -> None:
    frozen = controlled(Noting(), TimingConfig(world="frozen", planner_latency_s=0.3), CoreConfig())
    hz = 1.0 / (4 * DT_S)
    plain = controlled(Noting(), TimingConfig(planner_hz=hz), CoreConfig(actor_hz=hz, first_subgoal_wait_s=0.0))
    assert bits(frozen) == bits(plain)


def test_a_frozen_world_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="execution_horizon 9 is more than the 8 rows"):
        controlled(Noting(), TimingConfig(world="frozen", execution_horizon=9), CoreConfig())
    short = StalenessConfig(fresh_s=0.01, usable_s=0.02, expire_s=0.1)
    with pytest.raises(ConfigError, match=r"longer than core\.chunk\.expire_s 0\.1"):
        controlled(Noting(), TimingConfig(world="frozen", execution_horizon=8), CoreConfig(chunk=short))
    with pytest.raises(ConfigError, match="in a frozen world nothing takes time"):
        driver(world="frozen", planner_latency_s=0.1)
