"""A chunk that fails ends its request: the arm isn't left without one until the request has timed out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.actor_loop import ActorLoop
from dualsys.bridge.assembly import make_senses, tick_boxes
from dualsys.bridge.boxes import CHUNK, REQUEST, LocalBoxes, status_box, subgoal_box
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.scene import Episode
from dualsys.bridge.tape_file import read_parts
from dualsys.bridge.tape_reel import TapeReel
from dualsys.bridge.tick_inbox import TickInbox
from dualsys.bridge.tick_measures import TickMeasures
from dualsys.chunk_policies import build_policy
from dualsys.decision import DecisionCore
from dualsys.events import Observed, Started, Tick
from dualsys.messages import Observation
from dualsys.protocols import Actor
from dualsys.replay import replay
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig
from dualsys.tape import Tape
from dualsys.testing import FaultyActor, PoseActor
from tests.unit.bridge.loop_parts import EMBODIMENT, SPEC, SteppedClock, system

CONFIG = system(core=CoreConfig(first_subgoal_wait_s=0.0), control_hz=50.0, state_hz=50.0)
DT_S = 0.02


class Rig:
    """The tick's and the actor's halves over local boxes; the actor answers between two ticks."""

    def __init__(self, actor: Actor, tape: Tape) -> None:
        boxes, clock = LocalBoxes(), SteppedClock()
        self.boxes, self.measures, self._tape = tick_boxes(CONFIG, boxes), TickMeasures(), tape
        self.core = DecisionCore(EMBODIMENT, CONFIG.core, build_policy(CONFIG.core.chunk_policy), tape)
        self.gate = SafetyGate(EMBODIMENT, DT_S, CONFIG.safety)
        self.inbox = TickInbox(self.boxes, self.core, lambda *_, **__: None)
        self.loop = ActorLoop(
            actor,
            senses=make_senses(CONFIG, boxes),
            requests=boxes.reader(REQUEST),
            subgoals=boxes.reader(subgoal_box(CONFIG)),
            outbox=boxes.writer(CHUNK),
            reporter=Reporter(boxes.writer(status_box("actor")), clock),
            clock=clock,
        )
        self.asked_s: list[float] = []
        self.sources: list[str] = []

    def play(self, ticks: int) -> None:
        """Begin, and tick."""
        self.boxes.episode.write(
            Episode(number=0, seed=0, start_s=0.0, instruction=""), sequence=0, observation_stamp_s=0.0
        )
        self.gate.reset(np.zeros(3))
        self.core.handle(Started(now_s=0.0, position=np.zeros(3)))
        for tick in range(ticks):
            self._tick(tick, tick * DT_S)
            self.loop.step()

    def _tick(self, number: int, now_s: float) -> None:
        state = np.zeros(3)
        self.boxes.state.write(Observation(stamp_s=now_s, state=state), sequence=number, observation_stamp_s=now_s)
        self.core.handle(Observed(stamp_s=now_s, state=state))
        self.inbox.look(now_s, self.measures)
        decision = self.core.handle(Tick(now_s=now_s))
        assert decision.command is not None
        command = self.gate.limit(decision.command)
        self._tape.add(command)
        self.sources.append(command.source)
        if decision.request is not None:
            self.asked_s.append(now_s)
            sequence = decision.request.sequence
            self.boxes.request.write(decision.request, sequence=sequence, observation_stamp_s=now_s)


@pytest.mark.parametrize("failure", ["error", "nan", "shape", "nothing", "stamp"])
def test_the_next_request_comes_within_one_period_and_replays_are_identical(failure: Any, tmp_path: Path) -> None:
    actor = FaultyActor(
        PoseActor(EMBODIMENT, SPEC, np.full(3, 0.4)), ["none", "none", failure, "none", failure, "none"]
    )
    with TapeReel(tmp_path / "run.mcap", CONFIG.tape_head(), part_bytes=2**24) as reel:
        rig = Rig(actor, reel)
        rig.play(100)
    period_s = 1.0 / CONFIG.core.actor_hz
    assert np.diff(rig.asked_s).max() <= period_s + 1e-6
    counts = rig.core.status().counts
    failed = rig.loop._status()["failures"] + rig.loop._status()["refused"]
    assert failed > 1
    assert (counts["requests_timed_out"], counts["chunks_refused_shape"]) == (0, failed)
    assert rig.measures.chunks.count == rig.loop._status()["chunks"] - (rig.asked_s[-1] == 99 * DT_S)
    assert set(rig.sources[5:]) == {"actor"}, "with a chunk of 0.64 s and a request each 0.1 s it never starves"
    again = replay(*read_parts(reel.files))
    assert again.identical, again.first_difference
    assert again.commands == 100


def test_what_fails_once_a_chunk_is_sent_leaves_it_the_answer(tmp_path: Path) -> None:
    class Full:
        def chunk(self, chunk: Any) -> None:
            raise OSError(28, "no space left on device")

        def event(self, *_: Any, **__: Any) -> None:
            """Nothing."""

    with TapeReel(tmp_path / "run.mcap", CONFIG.tape_head(), part_bytes=2**24) as reel:
        rig = Rig(PoseActor(EMBODIMENT, SPEC, np.full(3, 0.4)), reel)
        rig.loop._log = Full()  # type: ignore[assignment]
        rig.play(20)
    assert rig.core.status().counts["chunks_refused_shape"] == 0
    assert rig.loop._status()["failures"] == len(rig.asked_s)
    assert rig.sources[-1] == "actor"
