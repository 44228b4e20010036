"""The planner's, the actor's and the cameras' loops over local boxes, step by step."""

from typing import Any

import numpy as np
import pytest

from dualsys.bridge.actor_loop import ActorLoop
from dualsys.bridge.boxes import (
    CHUNK,
    EPISODE,
    POSE,
    REQUEST,
    STATE,
    LocalBoxes,
    camera_boxes,
    status_box,
    subgoal_box,
)
from dualsys.bridge.camera_loop import CameraLoop
from dualsys.bridge.planner_loop import PlannerLoop
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.scene import CameraFrame, Episode, ScenePose
from dualsys.bridge.senses import Senses
from dualsys.errors import BridgeError
from dualsys.events import ChunkRequest
from dualsys.image_ages import ImageAges
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal, Observation
from dualsys.settings import StalenessConfig
from dualsys.testing import FaultyActor, FaultyPlanner, KnownPlanner, PoseActor
from tests.unit.bridge.loop_parts import SEEING, SPEC, DrawnEnvironment, SteppedClock, brightness, system

CONFIG = system(embodiment=SEEING)


class World:
    """What the tick and the cameras would write."""

    def __init__(self) -> None:
        self.boxes, self.clock = LocalBoxes(), SteppedClock()
        self.senses = Senses(
            episode=self.boxes.reader(EPISODE),
            state=self.boxes.reader(STATE),
            cameras={name: self.boxes.reader(spec) for name, spec in camera_boxes(CONFIG).items()},
        )
        self._sequence = 0

    def show(self, *, episode: int = 0, start_s: float = 100.0, state_s: float = 101.0, frame_s: float = 100.9) -> None:
        """Publish an episode, a state and a frame."""
        self._sequence += 1
        self._write(EPISODE, Episode(number=episode, seed=episode + 7, start_s=start_s, instruction=f"do {episode}"))
        self._write(STATE, Observation(stamp_s=state_s, state=np.full(3, 0.1)))
        frame = CameraFrame(stamp_s=frame_s, episode=episode, image=np.zeros((4, 6, 3), dtype=np.uint8))
        self._write(camera_boxes(CONFIG)["head"], frame)

    def _write(self, spec: Any, value: Any) -> None:
        self.boxes.writer(spec).write(value, sequence=self._sequence, observation_stamp_s=0.0)

    def ask(self, sequence: int, *, use_subgoal: bool = True) -> None:
        """Publish a request."""
        request = ChunkRequest(sequence=sequence, stamp_s=101.0, use_subgoal=use_subgoal)
        self.boxes.writer(REQUEST).write(request, sequence=sequence, observation_stamp_s=101.0)

    def give(self, sequence: int, stamp_s: float) -> None:
        """Publish a subgoal."""
        subgoal = LatentSubgoal(
            tokens=np.zeros((4, 8), dtype=np.float32), observation_stamp_s=stamp_s, sequence=sequence, epoch=3
        )
        self.boxes.writer(subgoal_box(CONFIG)).write(subgoal, sequence=sequence, observation_stamp_s=stamp_s)

    def reporter(self, name: str) -> Reporter:
        """A reporter."""
        return Reporter(self.boxes.writer(status_box(name)), self.clock)

    def planner_loop(self, planner: Any, **options: Any) -> PlannerLoop:
        """A planner's loop."""
        return PlannerLoop(
            planner,
            senses=self.senses,
            outbox=self.boxes.writer(subgoal_box(CONFIG)),
            reporter=self.reporter("planner"),
            clock=self.clock,
            hz=5.0,
            **options,
        )

    def actor_loop(self, actor: Any) -> ActorLoop:
        """An actor's loop."""
        return ActorLoop(
            actor,
            senses=self.senses,
            requests=self.boxes.reader(REQUEST),
            subgoals=self.boxes.reader(subgoal_box(CONFIG)),
            outbox=self.boxes.writer(CHUNK),
            reporter=self.reporter("actor"),
            clock=self.clock,
        )


class NotingActor(PoseActor):
    """Notes the prefixes it is given."""

    prefixes: list[ActionPrefix | None]

    def act(self, observation: Observation, subgoal: Any, prefix: ActionPrefix | None = None) -> ActionChunk:
        self.prefixes.append(prefix)
        return super().act(observation, subgoal, prefix)


@pytest.mark.parametrize("late_rows", [0.0, 2.25, 40.0])
def test_running_rows_are_those_of_the_observations_moment(late_rows: float) -> None:
    """A busy actor sees a newer state than the request's: what runs from then on is what it continues."""
    world = World()
    actor = NotingActor(SEEING, SPEC, np.full(3, 0.4))
    actor.prefixes = []
    ramp = np.arange(10.0)[:, None] * np.array([0.01, 0.02, -0.01])
    prefix = ActionPrefix(rows=ramp, inference_delay=2, guidance="identity")
    request = ChunkRequest(sequence=0, stamp_s=101.0, use_subgoal=False, prefix=prefix)
    world.boxes.writer(REQUEST).write(request, sequence=0, observation_stamp_s=101.0)
    world.show(state_s=101.0 + late_rows * actor.dt_s)
    assert world.actor_loop(actor).step()
    (given,) = actor.prefixes
    if late_rows > 9:
        assert given is None
        return
    assert given is not None
    expected = (np.arange(late_rows, 9.0 + 1e-9))[:, None] * np.array([0.01, 0.02, -0.01])
    np.testing.assert_allclose(given.rows, expected, atol=1e-9)
    assert given.inference_delay == 2
    if late_rows == 0:
        np.testing.assert_array_equal(given.rows, ramp)


def test_senses_wait_for_all_of_this_episode() -> None:
    world = World()
    assert world.senses.newest() is None
    world.show(episode=1, start_s=102.0, state_s=101.0)
    assert world.senses.newest() is None
    world.show(episode=1, start_s=102.0, state_s=103.0, frame_s=102.5)
    sensed = world.senses.newest()
    assert sensed is not None
    episode, observation = sensed
    assert episode.seed == 8
    assert observation.instruction == "do 1"
    assert observation.oldest_stamp_s == 102.5
    assert observation.images["head"].shape == (4, 6, 3)
    assert observation.goal_image is None


def test_a_frame_of_an_earlier_episode_is_not_mixed_in() -> None:
    world = World()
    world.show(episode=1)
    world._sequence += 1
    world._write(EPISODE, Episode(number=2, seed=0, start_s=100.0, instruction=""))
    assert world.senses.newest() is None


def test_the_planner_waits_plans_and_counts_on() -> None:
    world = World()
    loop = world.planner_loop(KnownPlanner(SPEC))
    assert not loop.step()
    world.show()
    assert loop.step()
    assert loop.step()
    stamped = world.boxes.reader(subgoal_box(CONFIG)).read_stamped()
    assert stamped is not None
    stamps, subgoal = stamped
    assert (stamps.sequence, subgoal.sequence, subgoal.epoch) == (1, 1, 1)
    assert stamps.observation_stamp_s == subgoal.observation_stamp_s == 100.9
    again = world.planner_loop(KnownPlanner(SPEC))
    assert again.step()
    assert world.boxes.reader(subgoal_box(CONFIG)).last_sequence == 2


def test_the_planner_forgets_at_a_new_episode() -> None:
    world, planner = World(), KnownPlanner(SPEC)
    loop = world.planner_loop(planner)
    world.show()
    for _ in range(3):
        loop.step()
    assert len(planner.stamps_s) == 3
    world.show(episode=1)
    loop.step()
    assert len(planner.stamps_s) == 1


@pytest.mark.parametrize("failure", ["nan", "shape", "nothing", "error"])
def test_a_bad_plan_leaves_the_one_before(failure: Any) -> None:
    world = World()
    world.show()
    loop = world.planner_loop(FaultyPlanner(KnownPlanner(SPEC), ["none", failure, failure, "none"]), max_failures=3)
    assert [loop.step() for _ in range(4)] == [True, False, False, True]
    assert world.boxes.reader(subgoal_box(CONFIG)).last_sequence == 1


def test_too_many_failures_in_a_row_end_the_loop() -> None:
    world = World()
    world.show()
    loop = world.planner_loop(FaultyPlanner(KnownPlanner(SPEC), ["error"]), max_failures=2)
    assert not loop.step()
    with pytest.raises(BridgeError, match=r"2 times in a row.*InjectedError"):
        loop.step()


def test_the_actor_answers_each_request_once_with_the_newest_subgoal() -> None:
    world = World()
    actor = PoseActor(SEEING, SPEC, np.full(3, 0.4))
    loop = world.actor_loop(actor)
    world.show()
    assert not loop.step()
    world.give(0, 100.5)
    world.give(1, 100.7)
    world.ask(4)
    assert loop.step()
    assert not loop.step()
    chunk = world.boxes.reader(CHUNK).read()
    assert chunk is not None
    assert (chunk.request, chunk.sequence, chunk.subgoal_sequence, chunk.subgoal_epoch) == (4, 4, 1, 3)
    assert chunk.start_stamp_s == 101.0
    assert chunk.subgoal_age_s == pytest.approx(0.3)


def test_the_actor_takes_no_subgoal_that_is_not_wanted_or_of_an_earlier_episode() -> None:
    world = World()
    actor = PoseActor(SEEING, SPEC, np.full(3, 0.4))
    loop = world.actor_loop(actor)
    world.show()
    world.give(0, 99.0)
    world.ask(0)
    assert loop.step()
    world.give(1, 100.5)
    world.ask(1, use_subgoal=False)
    assert loop.step()
    assert [subgoal for _, subgoal in actor.calls] == [None, None]
    chunk = world.boxes.reader(CHUNK).read()
    assert chunk is not None
    assert chunk.subgoal_sequence == -1


def test_a_request_waits_until_there_is_something_to_see() -> None:
    world = World()
    loop = world.actor_loop(PoseActor(SEEING, SPEC, np.full(3, 0.4)))
    world.ask(0)
    assert not loop.step()
    world.show()
    assert loop.step()


@pytest.mark.parametrize("failure", ["nan", "shape", "nothing", "error", "stamp"])
def test_instead_of_a_bad_chunk_one_of_no_rows_is_sent(failure: Any) -> None:
    world = World()
    world.show()
    loop = world.actor_loop(FaultyActor(PoseActor(SEEING, SPEC, np.full(3, 0.4)), [failure, "none"]))
    world.ask(0)
    assert not loop.step()
    assert not loop.step()
    none = world.boxes.reader(CHUNK).read()
    assert none is not None
    assert (none.request, none.rows.shape) == (0, (0, 3))
    world.ask(1)
    assert loop.step()


def test_no_chunk_is_made_from_the_images_of_a_camera_that_has_stopped() -> None:
    world = World()
    world.senses.images = ImageAges(StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.5))
    loop = world.actor_loop(PoseActor(SEEING, SPEC, np.full(3, 0.4)))
    world.show(state_s=101.0, frame_s=100.4)
    world.ask(0)
    assert [loop.step() for _ in range(3)] == [False] * 3
    assert loop._status()["outages"] == 1
    world.show(state_s=101.1, frame_s=100.7)
    assert loop.step()
    assert loop._status()["old_images"] == 1, "stale, and used all the same"
    world.show(state_s=101.2, frame_s=101.1)
    world.ask(1)
    assert loop.step()
    assert (loop._status()["outages"], loop._status()["old_images"]) == (1, 1)


@pytest.mark.parametrize(
    ("on_stale", "on_expired", "steps"), [("hold", "hold", [1, 0, 0]), ("keep", "keep", [1, 1, 1])]
)
def test_what_is_done_with_old_images_is_configured(on_stale: Any, on_expired: Any, steps: list[int]) -> None:
    world = World()
    policy = StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.5, on_stale=on_stale, on_expired=on_expired)
    world.senses.images = ImageAges(policy)
    loop = world.actor_loop(PoseActor(SEEING, SPEC, np.full(3, 0.4)))
    made = []
    for number, age_s in enumerate((0.15, 0.3, 0.6)):
        world.show(state_s=101.0 + number, frame_s=101.0 + number - age_s)
        world.ask(number)
        made.append(int(loop.step()))
    assert made == steps
    assert loop._status()["old_images"] == (2 if on_stale == "keep" else 0)


def test_an_actor_whose_boxes_fail_answers_the_next_request() -> None:
    world = World()
    world.show()
    loop = world.actor_loop(PoseActor(SEEING, SPEC, np.full(3, 0.4)))
    newest, broken = world.senses.newest, [True]

    def read_broken() -> Any:
        if broken:
            raise BridgeError("a malformed frame")
        return newest()

    world.senses.newest = read_broken  # type: ignore[method-assign]
    world.ask(0)
    assert not loop.step()
    broken.clear()
    assert not loop.step()
    world.ask(1)
    assert loop.step()


def test_the_camera_draws_the_newest_pose_once_with_its_stamp_and_scene() -> None:
    world, environment = World(), DrawnEnvironment()
    box = camera_boxes(CONFIG)["head"]
    loop = CameraLoop(
        environment,
        poses=world.boxes.reader(POSE),
        outboxes={"head": world.boxes.writer(box)},
        reporter=world.reporter("camera"),
        clock=world.clock,
        hz=10.0,
    )
    assert not loop.step()
    for sequence, (episode, seed, position) in enumerate([(0, 40, 0.2), (0, 40, 0.5), (1, 41, -0.5)]):
        pose = ScenePose(stamp_s=100.0 + sequence, episode=episode, seed=seed, physics=np.full(3, position))
        world.boxes.writer(POSE).write(pose, sequence=sequence, observation_stamp_s=pose.stamp_s)
        assert loop.step()
        assert not loop.step()
        frame = world.boxes.reader(box).read()
        assert frame is not None
        assert (frame.stamp_s, frame.episode) == (pose.stamp_s, episode)
        assert int(frame.image[0, 0, 0]) == brightness(position)
    assert environment.seeds == [40, 41]
