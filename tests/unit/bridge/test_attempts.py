"""An attempt that fails, in the drivers: who is reset with which seed, what is refused, what is said of it."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dualsys.bridge.actor_loop import ActorLoop
from dualsys.bridge.boxes import CHUNK, EPISODE, OFFERS, POSE, REQUEST, STATE, STOP, LocalBoxes, status_box, subgoal_box
from dualsys.bridge.inline import InlineDriver
from dualsys.bridge.planner_loop import PlannerLoop
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.robot_publisher import TickBoxes
from dualsys.bridge.scene import Episode
from dualsys.bridge.senses import Senses
from dualsys.bridge.simulated_robot import SimulatedRobot
from dualsys.bridge.tick_log import write_tick_log
from dualsys.bridge.tick_loop import TickLoop
from dualsys.bridge.wire import EpisodeCodec
from dualsys.chunk_policies import SkipByDelay
from dualsys.decision import DecisionCore
from dualsys.messages import LatentSubgoal, Observation
from dualsys.provenance import attempt_seed
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, RecoveryConfig, SafetyConfig, TimingConfig
from dualsys.telemetry import RunLog, read_log
from dualsys.testing import KnownPlanner, PoseActor, ReachEnvironment
from tests.unit.bridge.loop_parts import EMBODIMENT, SPEC, SteppedClock, system

RECOVERY = RecoveryConfig(enabled=True, still_s=0.3, max_recoveries=2)
CORE = CoreConfig(first_subgoal_wait_s=0.2, recovery=RECOVERY)
OUT_OF_REACH = np.full(3, 2.0)
SEED = 11
SEEDS = [SEED, attempt_seed(SEED, 1), attempt_seed(SEED, 2)]


class SeededActor(PoseActor):
    """Goes to a pose from which the task can't be done; notes the seeds it is reset with."""

    def __init__(self) -> None:
        super().__init__(EMBODIMENT, SPEC, np.full(3, 0.4))
        self.seeds: list[int] = []

    def reset(self, *, seed: int = 0) -> None:
        """Note it."""
        super().reset(seed=seed)
        self.seeds.append(seed)


class SeededPlanner(KnownPlanner):
    """Notes the seeds it is reset with."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.seeds: list[int] = []

    def reset(self, *, seed: int = 0) -> None:
        """Note it."""
        super().reset(seed=seed)
        self.seeds.append(seed)


def test_on_the_virtual_clock_both_models_begin_anew_and_the_log_says_so(tmp_path: Path) -> None:
    actor, planner = SeededActor(), SeededPlanner()
    environment = ReachEnvironment(EMBODIMENT, OUT_OF_REACH, control_dt_s=0.02)
    with RunLog(tmp_path / "run.jsonl") as log:
        driver = InlineDriver(
            planner,
            actor,
            DecisionCore(EMBODIMENT, CORE, SkipByDelay()),
            SafetyGate(EMBODIMENT, 0.02, SafetyConfig()),
            TimingConfig(planner_latency_s=0.1, actor_latency_s=0.03),
            log,
        )
        environment.reset(seed=SEED)
        driver.reset(environment.observe(), seed=SEED)
        for _ in range(400):
            environment.step(driver.step(environment.observe()).target)
    assert actor.seeds == planner.seeds == SEEDS
    retries = [line for line in read_log(tmp_path / "run.jsonl") if line["kind"] == "retry"]
    assert [line["reaction"] for line in retries] == ["resample", "home", "give_up"]
    # Every chunk of an attempt was made with a subgoal of that attempt.
    begun_s = retries[1]["stamp_s"]
    assert all(subgoal is not None and subgoal.observation_stamp_s >= begun_s for _, subgoal in actor.calls)


class DoneAtOnce(SeededPlanner):
    """Tells of each subgoal that it is completed."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """As known, and done."""
        return replace(super().plan(observation), progress=1.0)


def test_a_completed_subgoal_is_met_in_an_instant_that_is_decided_twice(tmp_path: Path) -> None:
    """Without latency the chunk that tells of it comes between the two decisions."""
    actor, planner = SeededActor(), DoneAtOnce()
    environment = ReachEnvironment(EMBODIMENT, OUT_OF_REACH, control_dt_s=0.02)
    with RunLog(tmp_path / "run.jsonl") as log:
        driver = InlineDriver(
            planner,
            actor,
            DecisionCore(EMBODIMENT, CoreConfig(recovery=RECOVERY), SkipByDelay()),
            SafetyGate(EMBODIMENT, 0.02, SafetyConfig()),
            TimingConfig(),
            log,
        )
        environment.reset(seed=SEED)
        driver.reset(environment.observe(), seed=SEED)
        driver.step(environment.observe())
    assert actor.seeds == planner.seeds == SEEDS[:2]
    retries = [line for line in read_log(tmp_path / "run.jsonl") if line["kind"] == "retry"]
    assert [(line["reason"], line["reaction"]) for line in retries] == [("completed", "none")]


class ActingClock(SteppedClock):
    """While the tick sleeps, both models do their work."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Any] = []

    def sleep_until_s(self, deadline_s: float) -> None:
        """Each once."""
        super().sleep_until_s(deadline_s)
        for model in self.models:
            model.step()


def test_on_the_wall_clock_the_tick_tells_both_models(tmp_path: Path) -> None:
    config = system(core=CORE, seed=SEED, seconds=8.0, log_folder=tmp_path)
    boxes, clock = LocalBoxes(), ActingClock()
    actor, planner = SeededActor(), SeededPlanner()
    senses = Senses(episode=boxes.reader(EPISODE), state=boxes.reader(STATE), cameras={})
    reporters = {name: Reporter(boxes.writer(status_box(name)), clock) for name in ("tick", "actor", "planner")}
    subgoals = boxes.writer(subgoal_box(config))
    loop = TickLoop(
        SimulatedRobot(ReachEnvironment(EMBODIMENT, OUT_OF_REACH, control_dt_s=0.01, max_steps=9999), control_hz=100.0),
        DecisionCore(EMBODIMENT, CORE, SkipByDelay()),
        SafetyGate(EMBODIMENT, 0.01, config.safety),
        TickBoxes(
            episode=boxes.writer(EPISODE),
            state=boxes.writer(STATE),
            pose=boxes.writer(POSE),
            request=boxes.writer(REQUEST),
            subgoal=subgoals,
            chunk=boxes.reader(CHUNK),
            offers={name: boxes.reader(box) for name, box in OFFERS.items()},
            stop=boxes.reader(STOP),
        ),
        clock,
        config,
        reporters["tick"],
    )
    loop.prepare()
    clock.models = [
        PlannerLoop(planner, senses=senses, outbox=subgoals, reporter=reporters["planner"], clock=clock, hz=100.0),
        ActorLoop(
            actor,
            senses=senses,
            requests=boxes.reader(REQUEST),
            subgoals=subgoals,
            outbox=boxes.writer(CHUNK),
            reporter=reporters["actor"],
            clock=clock,
        ),
    ]
    loop.run(threading.Event())
    assert planner.seeds == actor.seeds == SEEDS
    counters = loop.report()["counters"]
    assert (counters["recoveries"], counters["recoveries_given_up"], counters["starts"]) == (2, 1, 1)
    assert loop.commands is not None
    write_tick_log(tmp_path, loop.commands, loop.events)
    lines = read_log(tmp_path / "commands.jsonl")
    assert [line["reaction"] for line in lines if line["kind"] == "retry"] == ["resample", "home", "give_up"]
    assert {line["source"] for line in lines if line["kind"] == "command"} == {"start", "actor", "recover"}
    status = boxes.reader(status_box("tick")).read()
    assert status is not None
    assert status["recoveries"] == 2


def test_an_episodes_attempt_crosses_the_wire() -> None:
    codec = EpisodeCodec()
    episode = Episode(number=3, seed=SEED, start_s=1.5, instruction="lift it", attempt=2)
    back = codec.decode(codec.encode(episode))
    assert (back.key, back.model_seed) == ((3, 2), SEEDS[2])
