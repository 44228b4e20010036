"""Does an attempt get anywhere? Seen from what a robot has: its joints, what it was sent, what its planner tells.

    still         for `still_s` no joint has moved to speak of, though chunks were played
    to and fro    a joint went over its own range again and again: `path / range` is 1 for a straight motion, 2 more for
                  each time it came back

         position   .--.  .--.  .--.
                  .'    ''    ''    ''    path / range = 7

    missed grasp  a gripper has closed and come to rest where it was sent: something between its fingers would keep them
                  from there
    completed     the planner says so

A gripper's joints are taken to close away from zero. Something that is held means that there is progress: a robot that
has picked a thing up and stands still is done, not stuck.
"""

from collections import deque
from typing import final

import numpy as np

from dualsys.chunking import is_number
from dualsys.embodiment import EmbodimentSpec
from dualsys.events import Setback
from dualsys.messages import FloatArray
from dualsys.settings import RecoveryConfig

SAMPLE_S = 0.04
"""Time between two looks at the joints."""
_LONG = 3
"""Going to and fro is looked for over so many times `still_s`."""
_SETTLED_SHARE = 0.05
"""Of its velocity limit, what a gripper's joint may still move at when the gripper has settled."""
_SETTLE_S = 0.2


@final
class ProgressWatch:
    """Looks at one attempt. `restart` begins another.

    Args:
        embodiment: Limits and groups.
        config: Where the bounds are.
    """

    def __init__(self, embodiment: EmbodimentSpec, config: RecoveryConfig) -> None:
        self._config = config
        spans = np.where(np.isfinite(embodiment.upper - embodiment.lower), embodiment.upper - embodiment.lower, 1.0)
        self._speeds = np.where(np.isfinite(embodiment.max_velocity), embodiment.max_velocity, spans)
        self._spans = np.maximum(spans, 1e-9)
        joints = [joint.name for joint in embodiment.joints]
        self._sensed = [index for index, name in enumerate(joints) if name in embodiment.state_names]
        self._order = [embodiment.state_names.index(joints[index]) for index in self._sensed]
        self._grippers = [_members(embodiment, name) for name in gripper_groups(embodiment, config)]
        self._short = max(2, round(config.still_s / SAMPLE_S) + 1)
        self._settling = max(2, round(_SETTLE_S / SAMPLE_S) + 1)
        self._seen: deque[FloatArray] = deque(maxlen=_LONG * self._short)
        self._sent: deque[FloatArray] = deque(maxlen=self._settling)
        self._looked_s = 0.0
        self.restart(0.0)

    def restart(self, now_s: float) -> None:
        """A new attempt begins from wherever the joints are when they are next looked at."""
        self.pause(now_s)
        self._begin: FloatArray | None = None
        self._missed = 0
        self._was_closed = [False] * len(self._grippers)
        self._was_completed = False

    def pause(self, now_s: float) -> None:
        """Nothing is played: standing still says nothing."""
        self._seen.clear()
        self._sent.clear()
        self._looked_s = now_s - SAMPLE_S

    def look(self, now_s: float, state: FloatArray, target: FloatArray, progress: float) -> Setback | None:
        """What is wrong, while chunks are played.

        Args:
            now_s: Time of the tick.
            state: As it was sensed `(nx,)`.
            target: What was sent `(nu,)`.
            progress: As the planner tells it; below 0 where it tells none.
        """
        completed = is_number(progress) and progress >= self._config.completed_at
        fresh, self._was_completed = completed and not self._was_completed, completed
        if fresh:
            return "completed"
        if now_s - self._looked_s < SAMPLE_S * (1 - 1e-6):
            return None
        self._looked_s = now_s
        position = self._position(state, target)
        if self._begin is None:
            self._begin = position
        self._seen.append(position)
        self._sent.append(target)
        if self._misses_now(position, target):
            return "missed_grasp"
        return "no_progress" if self._is_stuck() and not self.holds(position, target) else None

    def _position(self, state: FloatArray, target: FloatArray) -> FloatArray:
        """Joints `(nu,)`; those that are not sensed are taken to be where they were sent."""
        position = np.array(target, dtype=np.float64)
        position[self._sensed] = state[self._order]
        return position

    def holds(self, position: FloatArray, target: FloatArray) -> bool:
        """Whether something keeps a gripper that has closed from where it was sent."""
        bound = self._config.held_error
        return any(
            self._is_closed(joints, position) and bool((np.abs(position - target)[joints] > bound).any())
            for joints in self._grippers
        )

    def _is_closed(self, joints: list[int], position: FloatArray) -> bool:
        assert self._begin is not None
        closing = (np.abs(position) - np.abs(self._begin))[joints] / self._spans[joints]
        return float(closing.mean()) > self._config.closed_share

    def _misses_now(self, position: FloatArray, target: FloatArray) -> bool:
        if len(self._sent) < self._settling or not self._config.max_missed_grasps:
            return False
        recent = np.array(self._sent)
        moved = recent.max(axis=0) - recent.min(axis=0)
        for index, joints in enumerate(self._grippers):
            closed = self._is_closed(joints, position)
            settled = bool((moved <= _SETTLED_SHARE * _SETTLE_S * self._speeds)[joints].all())
            if closed and (self._was_closed[index] or not settled):
                continue
            self._was_closed[index] = closed
            self._missed += closed and not bool((np.abs(position - target)[joints] > self._config.held_error).any())
        return self._missed >= self._config.max_missed_grasps

    def _is_stuck(self) -> bool:
        if len(self._seen) < self._short:
            return False
        seen = np.array(self._seen)
        recent = seen[-self._short :]
        bound = self._config.still_speed * self._config.still_s * self._speeds
        if ((recent.max(axis=0) - recent.min(axis=0)) <= bound).all():
            return True
        if len(self._seen) < _LONG * self._short:
            return False
        spread = seen.max(axis=0) - seen.min(axis=0)
        path = np.abs(np.diff(seen, axis=0)).sum(axis=0)
        return bool((path[spread > bound] > self._config.to_and_fro * spread[spread > bound]).any())


def gripper_groups(embodiment: EmbodimentSpec, config: RecoveryConfig) -> tuple[str, ...]:
    """Names of the groups that close on things."""
    names = tuple(group.name for group in embodiment.groups)
    if config.grippers is None:
        return tuple(name for name in names if "hand" in name or "gripper" in name)
    return tuple(name for name in config.grippers if name in names)


def _members(embodiment: EmbodimentSpec, name: str) -> list[int]:
    joints = [joint.name for joint in embodiment.joints]
    group = next(group for group in embodiment.groups if group.name == name)
    return [joints.index(joint) for joint in group.joints]
