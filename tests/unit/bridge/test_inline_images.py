"""Old images on the virtual clock: the same policy as in threads and processes."""

from typing import Any

import numpy as np
import pytest

import dualsys
from dualsys.bridge.inline import InlineDriver
from dualsys.chunk_policies import build_policy
from dualsys.decision import DecisionCore
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError
from dualsys.messages import ActionChunk, ActionPrefix, Command, Observation
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.testing import KnownPlanner, PoseActor, fake_embodiment

ARM = fake_embodiment(2, cameras=True)
SPEC = SubgoalSpec(num_tokens=2, dim=3)
DT_S = 0.02
FROZEN_S, AGAIN_S = 1.0, 5.0
IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)


class Looking(PoseActor):
    """Notes how old the images were that it acted on, and what was running."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(ARM, SPEC, np.array([0.4, -0.4]), **settings)
        self.seen: list[tuple[float, float]] = []
        self.prefixes: list[ActionPrefix | None] = []
        self.guidances = frozenset({"identity"})

    def act(self, observation: Observation, subgoal: Any, prefix: ActionPrefix | None = None) -> ActionChunk:
        """Note and act."""
        self.seen.append((observation.stamp_s, observation.stamp_s - observation.oldest_stamp_s))
        self.prefixes.append(prefix)
        return super().act(observation, subgoal, prefix)


def observation(stamp_s: float, *, frozen: bool = True) -> Observation:
    still = frozen and FROZEN_S < stamp_s < AGAIN_S
    stamps_s = {"head": FROZEN_S if still else stamp_s}
    return Observation(stamp_s=stamp_s, state=np.zeros(2), images={"head": IMAGE}, image_stamps_s=stamps_s)


def drive(driver: Any, seconds: float, *, frozen: bool = True) -> list[Command]:
    return [driver.step(observation(tick * DT_S, frozen=frozen)) for tick in range(round(seconds / DT_S))]


def controller(actor: PoseActor, image: StalenessConfig | None = None) -> dualsys.Controller:
    return dualsys.Controller(KnownPlanner(SPEC), actor, image=image)


def test_a_frozen_camera_makes_no_chunk_and_brings_the_motion_to_rest() -> None:
    actor = Looking()
    with controller(actor) as robot:
        commands = drive(robot, 6.0)
        images = robot.driver.images
    assert max(age_s for _, age_s in actor.seen) == pytest.approx(2.0)
    silent = [stamp_s for stamp_s, _ in actor.seen if FROZEN_S + 2.0 + 1e-6 < stamp_s < AGAIN_S]
    assert silent == [], "older than expire_s"
    assert (images.outages, images.old_images > 0) == (1, True)
    at_rest = [command for command in commands if 4.9 <= command.stamp_s < AGAIN_S]
    assert {command.source for command in at_rest} <= {"hold"}
    # The request that waited is answered from the very first image that is new.
    assert min(stamp_s for stamp_s, _ in actor.seen if stamp_s > FROZEN_S + 2.1) == pytest.approx(AGAIN_S)
    assert commands[-1].source == "actor"


def test_what_is_done_with_old_images_is_configured() -> None:
    keeps = StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.5, on_expired="keep")
    actor = Looking()
    with controller(actor, keeps) as robot:
        commands = drive(robot, 3.0)
        images = robot.driver.images
    assert max(age_s for _, age_s in actor.seen) > 1.8
    assert commands[-1].source == "actor"
    assert (images.outages, images.old_images) == (0, sum(age_s > 0.2 for _, age_s in actor.seen))
    slows = StalenessConfig(fresh_s=0.1, usable_s=0.2, expire_s=0.5, on_stale="slow")
    with pytest.raises(ConfigError, match="with an old image an actor can keep or hold, not slow"):
        controller(Looking(), slows)


def test_fresh_images_change_nothing() -> None:
    targets = []
    for image in (None, StalenessConfig(fresh_s=0.0, usable_s=0.0, expire_s=0.0, on_stale="hold")):
        with controller(Looking(), image) as robot:
            targets.append([command.target.tobytes() for command in drive(robot, 2.0, frozen=False)])
            assert robot.driver.images.counts() == {"outages": 0, "old_images": 0}
    assert targets[0] == targets[1]


def test_a_request_that_waited_tells_what_runs_now() -> None:
    """A camera that is away for four ticks: the rows that run are four later than when the request was made."""
    actor, config = Looking(dt_s=DT_S), CoreConfig(chunk_policy="real-time-chunking", first_subgoal_wait_s=0.0)
    core = DecisionCore(ARM, config, build_policy(config.chunk_policy))
    gate = SafetyGate(ARM, DT_S, SafetyConfig())
    image = StalenessConfig(fresh_s=0.0, usable_s=0.0, expire_s=0.0)
    driver = InlineDriver(None, actor, core, gate, TimingConfig(actor_latency_s=0.0), image=image)
    driver.reset(observation(0.0))
    requests = []
    for tick in range(20):
        late = 5 <= tick < 9
        seen = observation(tick * DT_S, frozen=False)
        if late:
            seen = Observation(
                stamp_s=seen.stamp_s, state=seen.state, images=seen.images, image_stamps_s={"head": 4 * DT_S}
            )
        driver.step(seen)
        requests.append(core.requester.in_flight)
    (asked,) = {request.sequence: request for request in requests[5:9] if request is not None}.values()
    assert [round(stamp_s / DT_S) for stamp_s, _ in actor.seen[:3]] == [0, 9, 10]
    given = actor.prefixes[1]
    assert asked.prefix is not None
    assert given is not None
    np.testing.assert_allclose(given.rows, asked.prefix.rows[4:], atol=1e-12)
    assert requests[10] is None


def test_nobody_answers_a_request_that_an_episodes_start_has_forgotten() -> None:
    actor = Looking()
    with controller(actor) as robot:
        drive(robot, 4.0)
        before = len(actor.seen)
        robot.reset(seed=1)
        robot.step(observation(4.0))
        robot.step(observation(AGAIN_S))
        assert len(actor.seen) == before + 1
        assert robot.driver.core.status().counts["chunks_refused_request"] == 0
