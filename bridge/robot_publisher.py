"""What the tick shows of the robot to the other loops: the episode, the state, and the pose that it is drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.scene import Episode, ScenePose
from dualsys.bridge.simulated_robot import SimulatedRobot
from dualsys.bridge.stop_wire import StopWord
from dualsys.events import ChunkRequest, Offered, SourceName
from dualsys.messages import ActionChunk, LatentSubgoal, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class TickBoxes:
    """The tick's ends of the mailboxes."""

    episode: Mailbox[Episode]
    state: Mailbox[Observation]
    pose: Mailbox[ScenePose]
    request: Mailbox[ChunkRequest]
    subgoal: Mailbox[LatentSubgoal]
    chunk: Mailbox[ActionChunk]
    offers: Mapping[SourceName, Mailbox[Offered]]
    stop: Mailbox[StopWord]


@final
class RobotPublisher:
    """Writes what a robot senses, with the robot's own stamps.

    Args:
        robot: What is shown.
        boxes: Where it goes.
    """

    def __init__(self, robot: SimulatedRobot, boxes: TickBoxes) -> None:
        self._robot = robot
        self._boxes = boxes
        self._attempts = 0
        self._states = 0
        self._poses = 0

    def publish_episode(self, episode: Episode) -> None:
        """The episode or attempt that begins, and the robot in it."""
        self._boxes.episode.write(episode, sequence=self._attempts, observation_stamp_s=episode.start_s)
        self._attempts += 1
        self.publish_state()
        self.publish_pose(episode)

    def publish_state(self) -> None:
        """The newest state."""
        observation = Observation(stamp_s=self._robot.stamp_s, state=self._robot.state())
        self._boxes.state.write(observation, sequence=self._states, observation_stamp_s=observation.stamp_s)
        self._states += 1

    def publish_pose(self, episode: Episode) -> None:
        """The newest pose, where there is something to draw."""
        pose = self.pose(episode)
        if pose is not None:
            self._boxes.pose.write(pose, sequence=self._poses, observation_stamp_s=pose.stamp_s)
            self._poses += 1

    def pose(self, episode: Episode) -> ScenePose | None:
        """The newest pose; None where there is nothing to draw."""
        physics = self._robot.physics()
        if physics is None:
            return None
        return ScenePose(stamp_s=self._robot.stamp_s, episode=episode.number, seed=episode.seed, physics=physics)
