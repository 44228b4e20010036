"""Each group plays exactly its rows at its times, ends in its own way, and changes nothing of the others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys import registry
from dualsys.action_groups import ActionGroups, chunk_rows
from dualsys.bridge.inline import InlineDriver
from dualsys.chunk_policies import SkipByDelay, build_policy
from dualsys.chunking import target_at
from dualsys.decision import DecisionCore
from dualsys.embodiment import EmbodimentSpec, JointGroup, SubgoalSpec
from dualsys.errors import SpecMismatch
from dualsys.events import ChunkArrived, EmergencyStop, Observed, Started, Tick
from dualsys.messages import ActionChunk, Command, FloatArray, Observation
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.testing import GroupActor, PoseActor, check_actor, fake_embodiment, mobile_embodiment
from dualsys.testing.groups import mobile_motions

DT_S = 0.02
SPEC = SubgoalSpec(num_tokens=1, dim=1)
ARM = fake_embodiment(3)


def grouped(**groups: dict[str, Any]) -> EmbodimentSpec:
    """The mobile robot with other rates and horizons."""
    robot = mobile_embodiment()
    members = {group.name: group.joints for group in robot.groups}
    made = tuple(JointGroup(name=name, joints=members[name], **fields) for name, fields in groups.items())
    return EmbodimentSpec(**(dict(robot) | {"groups": made}))


class Player:
    """A core that plays one chunk, ticked at any times."""

    def __init__(self, robot: EmbodimentSpec, rows: FloatArray, **config: Any) -> None:
        anything: dict[str, Any] = {"first_subgoal_wait_s": 0.0, "outlier_reach_s": 0.0, "outlier_speed": 0.0}
        self.robot = robot
        self.core = DecisionCore(robot, CoreConfig(**anything | config), SkipByDelay())
        self.core.handle(Started(now_s=0.0, position=np.zeros(robot.num_actions)))
        self._observe(0.0)
        asked = self.core.handle(Tick(now_s=0.0)).request
        assert asked is not None
        chunk = ActionChunk(rows=rows, dt_s=DT_S, start_stamp_s=0.0, request=asked.sequence, sequence=asked.sequence)
        self.core.handle(ChunkArrived(chunk=chunk, now_s=0.0))
        self.core.handle(Tick(now_s=0.0))

    def _observe(self, now_s: float) -> None:
        self.core.handle(Observed(stamp_s=now_s, state=np.zeros(self.robot.num_states)))

    def at(self, now_s: float, *, observed: bool = True) -> Command:
        if observed:
            self._observe(now_s)
        command = self.core.handle(Tick(now_s=now_s)).command
        assert command is not None
        return command


STRIDES = st.sampled_from([1, 2, 5, 10])


@settings(max_examples=80)
@given(STRIDES, STRIDES, st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 10]))
def test_a_group_plays_exactly_its_rows_at_its_times_and_ends_in_its_own_way(
    hand_stride: int, base_stride: int, hand_horizon: int, base_horizon: int, seed: int, ticks: int
) -> None:
    robot = grouped(
        arms={},
        hands={"rate_hz": 50 / hand_stride, "horizon": hand_horizon},
        base={"rate_hz": 50 / base_stride, "horizon": base_horizon},
    )
    rng, horizon, decay_s = np.random.default_rng(seed), 32, 0.3
    rows = rng.uniform(-1, 1, (horizon, 5))
    player = Player(robot, rows, velocity_decay_s=decay_s)
    hand_rows = min(hand_horizon, 1 + (horizon - 1) // hand_stride)
    base_rows = min(base_horizon, 1 + (horizon - 1) // base_stride)
    own_hand = rows[::hand_stride, 2][:hand_rows]
    own_base = rows[::base_stride, 3:][:base_rows]
    for index in range(1, (horizon - 1) * ticks):
        now_s = index * DT_S / ticks
        row = index / ticks
        target = player.at(now_s).target
        np.testing.assert_allclose(target[:2], target_at(rows[:, :2], row), atol=1e-9)
        before, after = (own_hand[min(int(row / hand_stride) + step, hand_rows - 1)] for step in (0, 1))
        assert min(before, after) - 1e-9 <= target[2] <= max(before, after) + 1e-9
        if index % (hand_stride * ticks) == 0:
            assert target[2] == pytest.approx(before, abs=1e-9)
        number = int(row / base_stride + 1e-7)
        if number < base_rows:
            np.testing.assert_array_equal(target[3:], own_base[number])
        else:
            late_s = (int(row + 1e-7) + 1 - base_rows * base_stride) * DT_S
            np.testing.assert_allclose(target[3:], own_base[-1] * max(1 - late_s / decay_s, 0), atol=1e-9)


@settings(max_examples=40)
@given(st.integers(1, 32), st.integers(0, 2**32 - 1), st.sampled_from(sorted(registry.names("chunk_policies"))))
def test_groups_without_a_time_of_their_own_change_no_bit(horizon: int, seed: int, policy: str) -> None:
    """The same chunks through an arm with groups, and through one that has none."""
    names = tuple(joint.name for joint in ARM.joints)
    groups = (JointGroup(name="one", joints=names[:1]), JointGroup(name="others", joints=names[1:]))
    parted = ARM.model_copy(update={"groups": groups})
    assert _commands(ARM, horizon, seed, policy) == _commands(parted, horizon, seed, policy)
    whole = ARM.model_copy(update={"groups": (JointGroup(name="all", joints=names, rate_hz=50),)})
    assert _commands(ARM, horizon, seed, policy) == _commands(whole, horizon, seed, policy)


def _commands(robot: EmbodimentSpec, horizon: int, seed: int, policy: str) -> list[tuple[bytes, float, str]]:
    rng = np.random.default_rng(seed)
    core = DecisionCore(robot, CoreConfig(first_subgoal_wait_s=0.0), build_policy(policy))
    core.handle(Started(now_s=0.0, position=np.zeros(3)))
    made: list[tuple[bytes, float, str]] = []
    for index in range(120):
        now_s = index * 0.005
        core.handle(Observed(stamp_s=now_s, state=np.zeros(3)))
        decision = core.handle(Tick(now_s=now_s))
        assert decision.command is not None
        made.append((decision.command.target.tobytes(), decision.command.row, decision.command.source))
        if decision.request is not None:
            asked = decision.request
            rows = 0.1 * rng.uniform(-1, 1, (horizon, 3))
            chunk = ActionChunk(rows=rows, dt_s=DT_S, start_stamp_s=now_s, request=asked.sequence, sequence=index)
            core.handle(ChunkArrived(chunk=chunk, now_s=now_s))
    return made


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_what_one_group_does_leaves_the_others_as_they_are(base_horizon: int, seed: int) -> None:
    rows = np.random.default_rng(seed).uniform(-1, 1, (32, 5))
    long, short = (Player(mobile_embodiment(base_horizon=horizon), rows) for horizon in (None, base_horizon))
    for index in range(1, 31):
        one, other = (player.at(index * DT_S).target for player in (long, short))
        np.testing.assert_array_equal(one[:3], other[:3])
    ended = max(0, 30 - base_horizon * 5)
    assert short.core.status().counts["group_ended_ticks"] == ended
    assert long.core.status().counts["group_ended_ticks"] == 0


@pytest.mark.parametrize("how", ["starved", "stale", "stopped", "damped"])
def test_a_base_comes_to_rest_when_nobody_commands_it_and_the_arm_holds(how: str) -> None:
    rows = np.tile([0.1, 0.2, 0.3, 0.5, -0.5], (8 if how == "starved" else 200, 1))
    ages = StalenessConfig(fresh_s=0.02, usable_s=0.04, expire_s=0.06, on_expired="damp" if how == "damped" else "hold")
    player = Player(mobile_embodiment(), rows, state=ages)
    gate = SafetyGate(player.robot, DT_S, SafetyConfig())
    gate.reset(np.zeros(5))
    sent = []
    for index in range(1, 60):
        if how == "stopped" and index == 15:
            player.core.handle(EmergencyStop(now_s=index * DT_S))
        observed = how in ("starved", "stopped") or index < 15
        sent.append(gate.limit(player.at(index * DT_S, observed=observed)).target)
    path = np.stack(sent)
    assert np.abs(path[:, 3:]).max() > 0.45
    np.testing.assert_array_equal(path[-1, 3:], [0.0, 0.0])
    np.testing.assert_allclose(path[-1, :3], [0.1, 0.2, 0.3], atol=1e-6)
    rates = np.abs(np.diff(path, axis=0)) / DT_S
    assert np.all(rates <= player.robot.max_velocity * (1 + 1e-9))
    assert gate.at_rest


def test_a_slowed_motion_slows_its_velocities_with_it() -> None:
    rows = np.tile([0.1, 0.2, 0.3, 0.5, -0.5], (400, 1))
    ages = StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.4, on_stale="slow")
    player = Player(mobile_embodiment(), rows, state=ages)
    targets = {index: player.at(index * 0.02, observed=False).target for index in range(1, 19)}
    np.testing.assert_allclose(targets[10][3:], [0.5, -0.5])
    np.testing.assert_allclose(targets[15][3:], [0.25, -0.25], atol=1e-9)
    np.testing.assert_allclose(targets[15][:3], [0.1, 0.2, 0.3])


def test_the_scripted_actor_is_played_as_it_was_meant() -> None:
    """Through the whole driver: at the times of its rows each group is at its formula."""
    robot = mobile_embodiment()
    actor = GroupActor(robot, SPEC, mobile_motions())
    check_actor(actor)
    core = DecisionCore(robot, CoreConfig(first_subgoal_wait_s=0.0), SkipByDelay())
    gate = SafetyGate(robot, 0.02, SafetyConfig(enabled=False))
    driver = InlineDriver(None, actor, core, gate, TimingConfig(control_hz=50))
    motions = mobile_motions()
    driver.reset(Observation(stamp_s=0.0, state=np.array([0.0, 0.4, 0.5])))
    for index in range(100):
        now_s = index * 0.02
        target = driver.step(Observation(stamp_s=now_s, state=np.zeros(3))).target
        np.testing.assert_allclose(target[:2], motions["arms"](now_s), atol=1e-9)
        np.testing.assert_allclose(target[2:3], motions["hands"](now_s), atol=1e-3)
        # New chunks come every 0.1 s, the base's period: the row of that moment, until the next.
        np.testing.assert_allclose(target[3:], motions["base"](index // 5 * 0.1), atol=1e-9)
    assert core.status().counts["chunks"] == 20


def test_what_does_not_fit_is_refused() -> None:
    robot = mobile_embodiment()
    motions = mobile_motions()
    core = DecisionCore(robot, CoreConfig(), SkipByDelay())
    with pytest.raises(
        SpecMismatch, match="group 'hands' has 25 rows a second, which is no whole part of the chunk's 33"
    ):
        GroupActor(robot, SPEC, motions, dt_s=0.03).act(Observation(stamp_s=0.0, state=np.zeros(3)), None)
    other = PoseActor(robot, SPEC, np.zeros(5), dt_s=0.03)
    with pytest.raises(SpecMismatch, match="the actor: group 'hands'"):
        InlineDriver(None, other, core, SafetyGate(robot, 0.02, SafetyConfig()), TimingConfig())
    with pytest.raises(ValueError, match=r"group 'two' has a rate or a horizon of its own and shares \['joint0'\]"):
        EmbodimentSpec(
            **dict(ARM)
            | {
                "groups": (
                    JointGroup(name="one", joints=("joint0",)),
                    JointGroup(name="two", joints=("joint0",), horizon=3),
                )
            }
        )
    with pytest.raises(SpecMismatch, match="which must hold every joint once; rows were given for"):
        chunk_rows(robot, {"arms": np.zeros((4, 2))}, DT_S)
    rows = {"arms": np.zeros((4, 2)), "hands": np.zeros((2, 1)), "base": np.zeros((1, 3))}
    with pytest.raises(SpecMismatch, match="group 'base' takes 1 to inf rows of 2 joints"):
        chunk_rows(robot, rows, DT_S)


def test_a_chunk_whose_rate_fits_no_group_is_refused_in_a_tick() -> None:
    groups = ActionGroups(mobile_embodiment(), 0.3)
    assert groups.problem(0.02) is None
    assert groups.problem(0.03) is not None
    player = Player(mobile_embodiment(), np.zeros((40, 5)))
    asked = next(filter(None, (_asked(player, index * DT_S) for index in range(1, 20))))
    chunk = ActionChunk(rows=np.zeros((9, 5)), dt_s=0.03, start_stamp_s=0.0, request=asked, sequence=asked)
    player.core.handle(ChunkArrived(chunk=chunk, now_s=1.0))
    assert player.core.status().counts["chunks_refused_timing"] == 1


def _asked(player: Player, now_s: float) -> int | None:
    player.core.handle(Observed(stamp_s=now_s, state=np.zeros(3)))
    request = player.core.handle(Tick(now_s=now_s)).request
    return None if request is None else request.sequence


def test_robots_without_rates_keep_their_fingerprint() -> None:
    plain = ARM.model_copy(update={"groups": (JointGroup(name="a", joints=("joint0",)),)})
    rated = ARM.model_copy(update={"groups": (JointGroup(name="a", joints=("joint0",), rate_hz=25),)})
    assert plain.fingerprint() == "160699daf03f"
    assert rated.fingerprint() != plain.fingerprint()
