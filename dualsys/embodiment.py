"""The contracts that a robot, a planner and an actor are checked against when a controller is built.

They come from files (checkpoints, robot descriptions), so they are pydantic models: unknown keys are refused. They
validate and they generate: `check_observation` at the borders, `fake_observation` in tests and warm-ups.
"""

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dualsys.errors import InvalidObservation, SpecMismatch
from dualsys.messages import FloatArray, Observation
from dualsys.subgoal_spec import PrefixSpec as PrefixSpec
from dualsys.subgoal_spec import Spec as Spec
from dualsys.subgoal_spec import SubgoalSpec as SubgoalSpec

Unit = Literal["rad", "m", "1", "rad/s", "m/s"]


class Joint(Spec):
    """One commanded degree of freedom with its limits. `unit` holds for what is commanded; rates are per second of it.

    In `rad/s` or `m/s` a velocity is commanded, as of a base's wheels: `lower` and `upper` are its limits,
    `max_velocity` is how fast it may change, and where nobody commands it, it is zero.
    """

    name: str
    lower: float
    upper: float
    max_velocity: float | None = None
    """None: not limited."""
    max_acceleration: float | None = None
    max_jerk: float | None = None
    """Needs an acceleration limit; see `dualsys.jerk_filter` for what it costs."""
    unit: Unit = "rad"

    @property
    def is_velocity(self) -> bool:
        """Whether a velocity is commanded: what is held then is zero, not the last value."""
        return self.unit in ("rad/s", "m/s")

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if not self.lower < self.upper:
            raise ValueError(f"joint {self.name!r}: lower {self.lower} is not below upper {self.upper}")
        for rate in (self.max_velocity, self.max_acceleration, self.max_jerk):
            if rate is not None and not rate > 0:
                raise ValueError(f"joint {self.name!r}: a rate limit must be positive, got {rate}")
        if self.max_jerk is not None and self.max_acceleration is None:
            raise ValueError(f"joint {self.name!r}: a jerk limit needs an acceleration limit; give max_acceleration")
        return self


class JointGroup(Spec):
    """Joints that are commanded together. `dualsys.action_groups` draws what rates and horizons mean."""

    name: str
    joints: tuple[str, ...]
    rate_hz: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Rows a second of this group; None: every row of a chunk counts. A whole part of the chunk's rate."""
    horizon: int | None = Field(default=None, gt=0)
    """Rows of its own, at its rate, that a chunk has for it at most; None: as many as fit."""

    @property
    def has_its_own_time(self) -> bool:
        """Whether its rows are others than the chunk's."""
        return self.rate_hz is not None or self.horizon is not None


class CameraSpec(Spec):
    """Shape of one camera's image, `(height, width, 3)` uint8 RGB."""

    name: str
    height: int = Field(gt=0)
    width: int = Field(gt=0)

    def __str__(self) -> str:
        return f"{self.name} {self.width}x{self.height}"


class EmbodimentSpec(Spec):
    """What a robot senses and takes: the contract between a robot, a checkpoint and a dataset."""

    name: str
    joints: tuple[Joint, ...]
    """Order of every action row and command."""
    state_names: tuple[str, ...]
    """Order of `Observation.state`."""
    groups: tuple[JointGroup, ...] = ()
    cameras: tuple[CameraSpec, ...] = ()
    action_representation: Literal["joint", "delta", "end-effector"] = "joint"

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [joint.name for joint in self.joints]
        if len(set(names)) != len(names):
            raise ValueError(f"embodiment {self.name!r}: joint names repeat")
        for group in self.groups:
            unknown = set(group.joints) - set(names)
            if unknown:
                raise ValueError(
                    f"embodiment {self.name!r}: group {group.name!r} names unknown joints {sorted(unknown)}"
                )
        for group in self.groups:
            others = {name for other in self.groups if other is not group for name in other.joints}
            shared = others & set(group.joints) if group.has_its_own_time else set()
            if shared:
                raise ValueError(
                    f"embodiment {self.name!r}: group {group.name!r} has a rate or a horizon of its own and shares "
                    f"{sorted(shared)} with another group: nobody knows whose rows count"
                )
        return self

    @property
    def num_actions(self) -> int:
        """`nu`, the length of a command."""
        return len(self.joints)

    @property
    def num_states(self) -> int:
        """`nx`, the length of `Observation.state`."""
        return len(self.state_names)

    @property
    def velocities(self) -> NDArray[np.bool_]:
        """Which commands are velocities `(nu,)`."""
        return np.array([joint.is_velocity for joint in self.joints], dtype=np.bool_)

    @property
    def lower(self) -> FloatArray:
        """Lower position limits `(nu,)`."""
        return np.array([joint.lower for joint in self.joints], dtype=np.float64)

    @property
    def upper(self) -> FloatArray:
        """Upper position limits `(nu,)`."""
        return np.array([joint.upper for joint in self.joints], dtype=np.float64)

    @property
    def max_velocity(self) -> FloatArray:
        """Velocity limits `(nu,)`, infinite where there is none."""
        return np.array([np.inf if j.max_velocity is None else j.max_velocity for j in self.joints], dtype=np.float64)

    @property
    def max_acceleration(self) -> FloatArray:
        """Acceleration limits `(nu,)`, infinite where there is none."""
        limits = [np.inf if j.max_acceleration is None else j.max_acceleration for j in self.joints]
        return np.array(limits, dtype=np.float64)

    @property
    def max_jerk(self) -> FloatArray:
        """Jerk limits `(nu,)`, infinite where there is none."""
        return np.array([np.inf if j.max_jerk is None else j.max_jerk for j in self.joints], dtype=np.float64)

    def check_observation(self, observation: Observation, *, cameras: bool = True) -> None:
        """Refuse an observation that doesn't fit. Raises `InvalidObservation`; `cameras=False` leaves images unread."""
        state = observation.state
        if state.shape != (self.num_states,):
            raise InvalidObservation(f"{self.name}: state has shape {state.shape}, expected ({self.num_states},)")
        if not np.all(np.isfinite(state)):
            bad = [self.state_names[i] for i in np.flatnonzero(~np.isfinite(state))]
            raise InvalidObservation(f"{self.name}: state is not finite at {bad}")
        for name, stamp_s in [("the state", observation.stamp_s), *observation.image_stamps_s.items()]:
            if not math.isfinite(stamp_s):
                raise InvalidObservation(
                    f"{self.name}: the stamp of {name} is {stamp_s}; give the seconds at which it was sensed, on the "
                    "robot's clock"
                )
        if not cameras:
            return
        for camera in self.cameras:
            if camera.name not in observation.images:
                raise InvalidObservation(
                    f"{self.name}: no image from camera {camera.name!r}; "
                    f"the observation has {sorted(observation.images)}"
                )
            image = observation.images[camera.name]
            expected = (camera.height, camera.width, 3)
            if image.shape != expected or image.dtype != np.uint8:
                raise InvalidObservation(
                    f"{self.name}: camera {camera.name!r} gave {image.dtype} {image.shape}, expected uint8 {expected}"
                )

    def position_in(self, state: FloatArray) -> FloatArray:
        """Present position of the commanded joints `(nu,)`, read from a state.

        A joint's position is the state of the same name. A unitless action (unit `1`) has none and rests at 0, as does
        a velocity that isn't sensed. Raises `SpecMismatch` for a joint in radians or metres without a state.
        """
        order = {name: index for index, name in enumerate(self.state_names)}
        missing = [joint.name for joint in self.joints if joint.name not in order and joint.unit in ("rad", "m")]
        if missing:
            raise SpecMismatch(
                f"embodiment {self.name!r} commands {missing} but senses no state of that name: a motion cannot start "
                f"from where the robot is; state_names are {list(self.state_names)}"
            )
        rest = np.clip(np.zeros(self.num_actions), self.lower, self.upper)
        present = [state[order[j.name]] if j.name in order else rest[i] for i, j in enumerate(self.joints)]
        return np.array(present, dtype=np.float64)

    def moved(self, state: FloatArray, by: FloatArray) -> FloatArray:
        """State `(nx,)` with the commanded joints moved by `(nu,)`; joints that it doesn't sense are left out."""
        order = {name: index for index, name in enumerate(self.state_names)}
        sensed = [(order[joint.name], way) for joint, way in zip(self.joints, by, strict=True) if joint.name in order]
        after = np.array(state, dtype=np.float64)
        for index, way in sensed:
            after[index] += way
        return after

    def seen_through(self, cameras: Iterable[str]) -> Self:
        """The same robot with those of its cameras that are named, in the order in which they are named."""
        own = {camera.name: camera for camera in self.cameras}
        return self.model_copy(update={"cameras": tuple(own[name] for name in cameras if name in own)})

    def fake_observation(self, rng: np.random.Generator, *, stamp_s: float = 0.0, instruction: str = "") -> Observation:
        """A random observation that fits, for tests and warm-ups."""
        images = {c.name: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in self.cameras}
        state = rng.uniform(-0.1, 0.1, self.num_states)
        return Observation(stamp_s=stamp_s, state=state, images=images, instruction=instruction)

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with anything in the spec."""
        fields = self.model_dump(mode="json")
        for joint in fields["joints"]:
            if joint["max_jerk"] is None:  # robots recorded before there were jerk limits keep their digits
                del joint["max_jerk"]
        for group in fields["groups"]:  # the same, before groups had rates
            for name in ("rate_hz", "horizon"):
                if group[name] is None:
                    del group[name]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    def require_same(self, other: "EmbodimentSpec", *, ours: str, theirs: str) -> None:
        """Refuse another embodiment. Raises `SpecMismatch` naming both and the first differences."""
        if self == other:
            return
        raise SpecMismatch(
            f"{ours} is for embodiment {self.name!r} ({self.num_actions} joints, {self.num_states} states), "
            f"{theirs} for {other.name!r} ({other.num_actions} joints, {other.num_states} states); "
            f"they differ in {', '.join(self.differing(other))}"
        )

    def require_no_deltas(self) -> None:
        """Refuse delta actions, which can't be held. Raises `SpecMismatch`."""
        if self.action_representation == "delta":
            raise SpecMismatch(
                f"embodiment {self.name!r} takes delta actions: a target that is held would drift. "
                "Its actor has to turn deltas into positions (action_representation 'joint')"
            )

    def differing(self, other: "EmbodimentSpec") -> list[str]:
        """Names of the fields that another embodiment has otherwise."""
        return [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]
