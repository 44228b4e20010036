"""A robot that was held elsewhere than where its motion stood still: it goes on from there, and smoothly."""

from typing import Any

import numpy as np
import pytest

from dualsys.chunk_policies import CrossFade, Naive, SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.events import ChunkArrived, ChunkRequest, Observed, Offered, Started, Tick
from dualsys.messages import ActionChunk, Command, FloatArray
from dualsys.protocols import ChunkPolicy
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig

DT_S, GOAL, POSE = 0.02, 1.0, -1.5
ARM = EmbodimentSpec(
    name="link",
    joints=(Joint(name="turn", lower=-3.0, upper=3.0, max_velocity=2.0, max_acceleration=20.0),),
    state_names=("turn",),
)


class Link:
    """A joint that is where it was sent, and an actor that goes from where it is to `GOAL` at 0.5 rad/s."""

    def __init__(self, safety: SafetyConfig, policy: ChunkPolicy | None = None, **config: Any) -> None:
        self.core = DecisionCore(
            ARM, CoreConfig(actor_hz=1.0, first_subgoal_wait_s=0.0, **config), policy or SkipByDelay()
        )
        self.gate = SafetyGate(ARM, DT_S, safety)
        self.now_s, self.position = 0.0, np.zeros(1)
        self.asked: ChunkRequest | None = None
        self.senses = True
        self.sent: list[float] = []
        self.gate.reset(self.position)
        self.core.handle(Started(now_s=0.0, position=self.position))

    def run(self, seconds: float) -> list[Command]:
        return [self._tick() for _ in range(round(seconds / DT_S))]

    def _tick(self) -> Command:
        if self.senses:
            self.core.handle(Observed(stamp_s=self.now_s, state=self.position))
        if self.asked is not None and self.senses:
            self.core.handle(ChunkArrived(chunk=self._chunk(self.asked, self.position), now_s=self.now_s))
        decision = self.core.handle(Tick(now_s=self.now_s))
        self.asked = decision.request
        assert decision.command is not None
        command = self.gate.limit(decision.command)
        self.position, self.now_s = command.target, self.now_s + DT_S
        self.sent.append(float(self.position[0]))
        return command

    def _chunk(self, asked: ChunkRequest, start: FloatArray) -> ActionChunk:
        way = 0.5 * DT_S * np.arange(100)[:, None]
        rows = start + np.clip(GOAL - start, -way, way)
        number = asked.sequence
        return ActionChunk(rows=rows, dt_s=DT_S, start_stamp_s=asked.stamp_s, request=number, sequence=number)

    def fastest(self) -> float:
        return float(np.abs(np.diff(self.sent)).max()) / DT_S

    def hardest_start(self, ticks: int = 25) -> float:
        """Largest acceleration of the first half second: later on the actor's own motion ends abruptly."""
        return float(np.abs(np.diff(self.sent[: ticks + 3], 2)).max()) / DT_S**2


def _damped(pose: float) -> tuple[SafetyConfig, dict[str, Any]]:
    ages = StalenessConfig(fresh_s=0.02, usable_s=0.06, expire_s=0.2, on_expired="damp")
    return SafetyConfig(damp_pose={"turn": pose}), {"state": ages}


def _held(pose: float) -> tuple[SafetyConfig, dict[str, Any]]:
    return SafetyConfig(hold_pose={"turn": pose}), {}


@pytest.mark.parametrize("policy", [SkipByDelay(), Naive(), CrossFade()])
@pytest.mark.parametrize("ways", [_held, _damped])
@pytest.mark.parametrize("lost_s", [4.0, 1.8])
def test_after_a_pose_it_begins_anew_from_there(ways: Any, policy: ChunkPolicy, lost_s: float) -> None:
    """Whether the old chunk has expired (2 s) or not: nothing is refused, and nothing goes back at full speed."""
    safety, config = ways(POSE)
    link = Link(safety, policy, **config)
    link.run(3.1)
    assert link.position[0] == pytest.approx(GOAL)
    link.senses = False
    link.run(lost_s)
    assert link.position[0] == pytest.approx(POSE)
    link.senses, link.sent = True, link.sent[-3:]
    commands = link.run(10.0)
    assert link.core.status().counts["chunks_refused_outlier"] == 0
    assert commands[-1].source == "actor"
    assert link.position[0] == pytest.approx(GOAL)
    assert link.fastest() < 0.9  # the actor goes at 0.5 rad/s, the limit is 2
    assert link.hardest_start() < 5.0


def test_a_pose_within_reach_is_left_smoothly_by_the_chunk_that_goes_on() -> None:
    """0.6 rad from where it was held: the old chunk is still good, and is blended in."""
    safety, config = _held(0.4)
    link = Link(safety, **config)
    link.run(3.1)
    link.senses = False
    link.run(1.5)
    assert link.position[0] == pytest.approx(0.4)
    link.senses, link.sent = True, link.sent[-3:]
    commands = link.run(5.0)
    assert commands[0].source == "actor"
    assert link.position[0] == pytest.approx(GOAL)
    assert link.hardest_start(ticks=3) < 5.0


def test_a_source_that_is_released_in_a_pose_leaves_the_robot_there() -> None:
    safety, config = _held(POSE)
    link = Link(safety, **config)
    link.core.handle(Offered(now_s=0.0, source="pose", target=np.array([GOAL]), stamp_s=0.0))
    link.run(6.0)
    assert link.position[0] == pytest.approx(POSE)
    link.core.handle(Offered(now_s=link.now_s, source="pose", target=np.zeros(1), stamp_s=link.now_s, claims=False))
    link.sent = link.sent[-3:]
    assert link.run(0.02)[0].target[0] == pytest.approx(POSE, abs=1e-3)
    link.run(10.0)
    assert link.position[0] == pytest.approx(GOAL)
    assert link.fastest() < 0.9


def test_a_pose_is_kept_until_what_was_old_is_new_again() -> None:
    """The state never fails; the subgoal has expired, and chunks without one go on coming."""
    ages = StalenessConfig(fresh_s=0.1, usable_s=0.1, expire_s=0.1, on_expired="hold")
    link = Link(SafetyConfig(hold_pose={"turn": POSE}), subgoal=ages)
    sources = {command.source for command in link.run(6.0)[10:]}
    assert sources == {"hold"}
    assert link.position[0] == pytest.approx(POSE)
