"""Small, exact stand-ins: everything they do can be worked out on paper."""

import numpy as np

from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, SubgoalSpec
from dualsys.messages import ActionChunk, ActionPrefix, Command, FloatArray, LatentSubgoal, Observation
from dualsys.protocols import Clock


def fake_embodiment(num_joints: int = 3, *, cameras: bool = False) -> EmbodimentSpec:
    """An arm of joints from -1 to 1 rad, at most 2 rad/s and 20 rad/s^2, that senses its positions."""
    names = tuple(f"joint{index}" for index in range(num_joints))
    return EmbodimentSpec(
        name="fake",
        joints=tuple(Joint(name=name, lower=-1, upper=1, max_velocity=2, max_acceleration=20) for name in names),
        state_names=names,
        cameras=(CameraSpec(name="head", height=4, width=6),) if cameras else (),
    )


class PoseActor:
    """Goes in a straight line to a pose at a given speed, from wherever it is; notes with which subgoals it was called.

    Row `i` is the present position moved towards the pose by at most `speed * i * dt`, a joint at a time.

    Args:
        embodiment: The robot.
        subgoal_spec: What it accepts, and leaves unread.
        pose: Where to go `(nu,)`.
        speed: Per second, in the joints' units.
        horizon: Rows in a chunk.
        dt_s: Time between rows.
    """

    def __init__(
        self,
        embodiment: EmbodimentSpec,
        subgoal_spec: SubgoalSpec,
        pose: FloatArray,
        *,
        speed: float = 1.0,
        horizon: int = 32,
        dt_s: float = 0.02,
    ) -> None:
        self.embodiment = embodiment
        self.subgoal_spec = subgoal_spec
        self.horizon = horizon
        self.dt_s = dt_s
        self.calls: list[tuple[float, LatentSubgoal | None]] = []
        """Stamp of the observation and the subgoal of each call since the reset."""
        self._pose = np.array(pose, dtype=np.float64)
        self._speed = speed

    def reset(self, *, seed: int = 0) -> None:
        """Forget the calls."""
        del seed
        self.calls.clear()

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Chunk that goes to the pose."""
        del prefix
        self.calls.append((observation.stamp_s, subgoal))
        position = self.embodiment.position_in(observation.state)
        reach = self._speed * self.dt_s * np.arange(self.horizon)[:, None]
        rows = position + np.clip(self._pose - position, -reach, reach)
        return ActionChunk(rows=rows, dt_s=self.dt_s, start_stamp_s=observation.stamp_s)


class KnownPlanner:
    """Emits tokens that are all `1, 2, 3 ...`, counting its calls since the reset."""

    def __init__(self, subgoal_spec: SubgoalSpec) -> None:
        self.subgoal_spec = subgoal_spec
        self.stamps_s: list[float] = []
        """Stamps of the observations it was started with since the reset."""

    def reset(self, *, seed: int = 0) -> None:
        """Count from 1 again."""
        del seed
        self.stamps_s.clear()

    def plan(self, observation: Observation) -> LatentSubgoal:
        """The next number, everywhere."""
        self.stamps_s.append(observation.stamp_s)
        spec, number = self.subgoal_spec, len(self.stamps_s)
        prefix = None if spec.prefix_shape is None else np.full(spec.prefix_shape, number, dtype=np.float32)
        return LatentSubgoal(
            tokens=np.full((spec.num_tokens, spec.dim), number, dtype=np.float32),
            keys=prefix,
            values=prefix,
            observation_stamp_s=observation.oldest_stamp_s,
            producer="known",
        )


class IdealRobot:
    """Is where it was commanded to be, at once. Senses positions under the joints' names, else zeros; sees black."""

    def __init__(self, embodiment: EmbodimentSpec, clock: Clock, position: FloatArray | None = None) -> None:
        self.embodiment = embodiment
        self.closed = False
        self.commands: list[Command] = []
        self._clock = clock
        self._position = np.zeros(embodiment.num_actions) if position is None else np.array(position, dtype=np.float64)

    def observe(self) -> Observation:
        """Where it is now."""
        by_name = dict(zip((joint.name for joint in self.embodiment.joints), self._position, strict=True))
        state = np.array([by_name.get(name, 0.0) for name in self.embodiment.state_names])
        images = {c.name: np.zeros((c.height, c.width, 3), dtype=np.uint8) for c in self.embodiment.cameras}
        return Observation(stamp_s=self._clock.now_s(), state=state, images=images)

    def command(self, command: Command) -> None:
        """Be there."""
        self.commands.append(command)
        self._position = np.array(command.target)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
