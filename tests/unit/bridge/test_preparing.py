"""Subgoals are made ready between requests, once each, and that changes nothing but when the work is done."""

from typing import Any

import numpy as np
import pytest

from dualsys.actor.flow_actor import FlowActor
from dualsys.bridge.actor_loop import ActorLoop
from dualsys.bridge.boxes import CHUNK, EPISODE, REQUEST, STATE, LocalBoxes, status_box, subgoal_box
from dualsys.bridge.inline import InlineDriver
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.scene import Episode
from dualsys.bridge.senses import Senses
from dualsys.chunk_policies import SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.events import ChunkRequest
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal, Observation
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, TimingConfig
from dualsys.testing import KnownPlanner, PoseActor, ReachEnvironment
from tests.unit.actor.sampled_experts import ARM, make_actor
from tests.unit.actor.sampled_experts import SPEC as FLOW_SPEC
from tests.unit.bridge.loop_parts import EMBODIMENT, SPEC, SteppedClock, system

CONFIG = system()


class NotingActor(PoseActor):
    """Notes in which order it is told what."""

    def __init__(self) -> None:
        super().__init__(EMBODIMENT, SPEC, np.full(3, 0.4))
        self.notes: list[str] = []
        self.fails = False

    def prepare(self, subgoal: LatentSubgoal) -> None:
        """Note it."""
        self.notes.append(f"prepare {subgoal.sequence}")
        if self.fails:
            raise ValueError("cannot")

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Note it."""
        self.notes.append(f"act {-1 if subgoal is None else subgoal.sequence}")
        return super().act(observation, subgoal, prefix)


class World:
    """An actor's loop over boxes that the test fills."""

    def __init__(self, actor: Any) -> None:
        self.boxes, clock = LocalBoxes(), SteppedClock()
        self.write(EPISODE, Episode(number=0, seed=7, start_s=100.0, instruction=""), 0)
        self.write(STATE, Observation(stamp_s=101.0, state=np.full(3, 0.1)), 0)
        self.loop = ActorLoop(
            actor,
            senses=Senses(episode=self.boxes.reader(EPISODE), state=self.boxes.reader(STATE), cameras={}),
            requests=self.boxes.reader(REQUEST),
            subgoals=self.boxes.reader(subgoal_box(CONFIG)),
            outbox=self.boxes.writer(CHUNK),
            reporter=Reporter(self.boxes.writer(status_box("actor")), clock),
            clock=clock,
        )

    def write(self, box: Any, value: Any, sequence: int) -> None:
        """Publish."""
        self.boxes.writer(box).write(value, sequence=sequence, observation_stamp_s=100.5)

    def give(self, sequence: int) -> None:
        """Publish a subgoal."""
        tokens = np.full((4, 8), sequence, dtype=np.float32)
        self.write(
            subgoal_box(CONFIG), LatentSubgoal(tokens=tokens, observation_stamp_s=100.5, sequence=sequence), sequence
        )

    def ask(self, sequence: int) -> None:
        """Publish a request."""
        self.write(REQUEST, ChunkRequest(sequence=sequence, stamp_s=101.0, use_subgoal=True), sequence)


def test_a_subgoal_is_prepared_once_before_it_is_asked_for() -> None:
    actor = NotingActor()
    world = World(actor)
    assert not world.loop.prepare()
    world.give(0)
    assert [world.loop.prepare() for _ in range(3)] == [True, False, False]
    world.give(1)
    world.give(2)
    assert world.loop.prepare()
    world.ask(0)
    assert world.loop.step()
    assert actor.notes == ["prepare 0", "prepare 2", "act 2"]
    assert world.loop._status()["prepared"] == 2


def test_the_newest_subgoal_is_used_prepared_or_not() -> None:
    actor = NotingActor()
    world = World(actor)
    world.give(0)
    world.loop.prepare()
    world.give(1)
    world.ask(0)
    world.loop.step()
    assert actor.notes == ["prepare 0", "act 1"]


def test_a_subgoal_that_cannot_be_prepared_is_counted_once_and_the_loop_goes_on() -> None:
    actor = NotingActor()
    actor.fails = True
    world = World(actor)
    world.give(0)
    assert [world.loop.prepare() for _ in range(2)] == [False, False]
    world.ask(0)
    assert world.loop.step()
    assert actor.notes == ["prepare 0", "act 0"]
    assert world.loop._status()["failures"] == 1


def test_an_actor_that_prepares_nothing_is_left_alone() -> None:
    world = World(PoseActor(EMBODIMENT, SPEC, np.full(3, 0.4)))
    world.give(0)
    assert not world.loop.prepare()


class Unprepared:
    """An actor without its `prepare`."""

    def __init__(self, actor: FlowActor) -> None:
        self.embodiment, self.subgoal_spec = actor.embodiment, actor.subgoal_spec
        self.horizon, self.dt_s = actor.horizon, actor.dt_s
        self._actor = actor

    def reset(self, *, seed: int = 0) -> None:
        """Passed on."""
        self._actor.reset(seed=seed)

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Passed on."""
        return self._actor.act(observation, subgoal, prefix)


class AlwaysPrepared(Unprepared):
    """Prepares other subgoals, and then the one it acts on."""

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Passed on."""
        other = LatentSubgoal(tokens=np.full((4, 8), 0.5, dtype=np.float32), observation_stamp_s=0.0)
        for prepared in (other, subgoal):
            if prepared is not None:
                self._actor.prepare(prepared)
        return super().act(observation, subgoal, prefix)


@pytest.mark.parametrize("backend", ["eager", "onnx"])
def test_a_run_on_the_virtual_clock_is_the_same_with_and_without(backend: str) -> None:
    runs = []
    for wrapper in (Unprepared, AlwaysPrepared):
        actor = wrapper(make_actor(noise="fresh").with_backend(backend))
        environment = ReachEnvironment(ARM, np.full(2, 0.3), control_dt_s=0.02)
        timing = TimingConfig(planner_latency_s=0.1, actor_latency_s=0.03)
        driver = InlineDriver(
            KnownPlanner(FLOW_SPEC),
            actor,
            # An actor that has learned nothing jumps between its rows.
            DecisionCore(ARM, CoreConfig(outlier_reach_s=0.0, outlier_speed=0.0), SkipByDelay()),
            SafetyGate(ARM, 0.02, SafetyConfig()),
            timing,
        )
        environment.reset(seed=1)
        driver.reset(environment.observe(), seed=1)
        targets = []
        for _ in range(100):
            targets.append(driver.step(environment.observe()).target)
            environment.step(targets[-1])
        runs.append(np.array(targets))
    assert np.array_equal(runs[0], runs[1])
    assert np.ptp(runs[0], axis=0).min() > 1e-3
