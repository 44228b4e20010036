"""One episode of an expert, recorded: what was observed, what the expert wanted, what the camera saw and when."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dualsys.data.episode import CameraTrack, Episode
from dualsys.data.layout import PRIVILEGED
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, ImageArray, Observation
from dualsys.protocols import Environment, Privileged

MAX_TAIL_S = 30.0
"""Of a recording's end, after success."""
USUAL_CAMERA_HZ = 10.0
"""Frames a second where none are asked for and the rows' rate can be divided so."""
_WHOLE = 1e-6
"""Share by which rounding may have moved a rate."""
TARGET_POSITION = f"{PRIVILEGED}target_position"
BLOCK_POSITIONS = f"{PRIVILEGED}block_positions"
HAND_TARGETS = f"{PRIVILEGED}hand_targets"
CORRECTIONS = "corrections"
"""What `settings["kind"]` of a dataset's provenance says of corrections."""
CORRECTIONS_A_SEED = 100
"""Corrections are numbered `100 * seed + n`, `seed` being that of the controller's episode: they share its scene."""


class Demonstrator(Protocol):
    """A scripted expert bound to an environment. May look at what no policy may see."""

    @property
    def name(self) -> str:
        """For the dataset's provenance."""
        ...

    def reset(self, *, seed: int) -> None:
        """Plan the episode the environment has just been reset to; `seed` is for its noise."""
        ...

    def act(self) -> tuple[FloatArray, FloatArray]:
        """Target to record and target to send, `(nu,)` each: they differ by the noise that is meant to be corrected."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """How an episode is recorded."""

    rows_per_frame: int
    """A camera takes a frame every so many rows; it is shown until the next."""
    tail_rows: int = 0
    """Rows recorded after success, so that an actor learns to stay."""

    @classmethod
    def at(cls, rows_hz: int, *, camera_hz: float, tail_s: float) -> Self:
        """In an environment of `rows_hz` steps a second. Raises `ConfigError` where the cameras' rate doesn't fit."""
        return cls(rows_per_frame=rows_per_frame(camera_hz, rows_hz), tail_rows=round(tail_s * rows_hz))


def rows_hz_of(environment: Environment) -> int:
    """Rows a second of what is recorded in an environment: its own steps. Raises `ConfigError` where it isn't whole."""
    steps_hz = 1.0 / environment.control_dt_s
    if abs(steps_hz - round(steps_hz)) > _WHOLE * steps_hz:
        raise ConfigError(
            f"the environment makes {steps_hz:.6g} steps a second: a dataset's rate is a whole number; "
            "give it another control_dt_s"
        )
    return round(steps_hz)


def rows_per_frame(camera_hz: float, rows_hz: int) -> int:
    """Rows that show the same frame of a camera. Raises `ConfigError` for a rate that does not divide the rows'."""
    rows = rows_hz / camera_hz
    if rows < 1 or rows != round(rows):
        usual = usual_camera_hz(rows_hz)
        raise ConfigError(
            f"--camera-hz {camera_hz} does not divide the rows' {rows_hz} Hz; use {rows_hz} / n, such as {usual:g}"
        )
    return round(rows)


def usual_camera_hz(rows_hz: int) -> float:
    """Frames a second where none are asked for: 10, or the next more that divide the rows' rate; never more than it."""
    return rows_hz / max(1, int(rows_hz // USUAL_CAMERA_HZ))


def chosen_camera_hz(asked: float | None, rows_hz: int, say: Callable[[str], None]) -> float:
    """Frames a second: those asked for, else the usual ones, which are told where they aren't 10."""
    if asked is not None:
        return asked
    usual = usual_camera_hz(rows_hz)
    if usual != USUAL_CAMERA_HZ:
        say(f"{usual:g} frames a second: {USUAL_CAMERA_HZ:g} don't divide the rows' {rows_hz} Hz")
    return usual


def require_camera_hz(camera_hz: float | None) -> None:
    """Raise `ConfigError` for a rate of frames that is none. Whether it fits is known once there is an environment."""
    if camera_hz is not None and not 0 < camera_hz < math.inf:
        raise ConfigError(f"--camera-hz {camera_hz} must be positive: frames a second, such as 10")


def require_noise_and_tail(noise_rad: float, tail_s: float) -> None:
    """Raise `ConfigError` for execution noise or a recording's end that mean nothing, what is no number included."""
    if not (0 <= noise_rad <= math.pi and 0 <= tail_s <= MAX_TAIL_S):
        raise ConfigError(
            f"--noise-rad must be from 0 to pi and --tail-s from 0 to {MAX_TAIL_S:g} s, got {noise_rad:g} and "
            f"{tail_s:g}"
        )


def require_image_sides(*sides_px: int) -> None:
    """Raise `ConfigError` for the height or width of a picture that is none, or that video cannot hold."""
    asked = f"--image-size {' '.join(map(str, sides_px))}"
    if min(sides_px) < 1:
        raise ConfigError(f"{asked} must be positive: it is in pixels, such as 96")
    if any(side % 2 for side in sides_px):
        raise ConfigError(f"{asked} must be even: video cannot hold odd sizes")


def privileged_columns(environment: Environment) -> Mapping[str, Sequence[str]]:
    """Names of the columns that only a simulator knows, and of their components; none for an environment that tells
    nothing.
    """
    if not isinstance(environment, Privileged):
        return {}
    return {f"{PRIVILEGED}{name}": list(components) for name, components in environment.privileged_columns.items()}


def record_episode(
    environment: Environment, expert: Demonstrator, seed: int, settings: RecordingSettings
) -> Episode | None:
    """Run one episode; None where the expert failed.

    Row `t` holds the state observed at `t` control steps and the target the expert gave for it. Frames are taken in
    rows 0, `rows_per_frame`, ...; stamps count from the episode's first observation.
    """
    environment.reset(seed=seed)
    return record_from_here(environment, expert, seed, settings)


def record_from_here(
    environment: Environment,
    expert: Demonstrator,
    seed: int,
    settings: RecordingSettings,
    *,
    rows: int | None = None,
) -> Episode | None:
    """Record the expert from the present moment on, as `record_episode` does from a reset: None where it fails.

    With `rows` exactly so many are recorded, whether or not success is among them: the expert then goes on from it.
    """
    expert.reset(seed=seed)
    log = _Log(environment, settings)
    remaining, solved = rows, False
    while remaining is None or remaining > 0:
        recorded, sent = expert.act()
        log.add(environment.observe(), recorded)
        _, _, terminated, truncated, _ = environment.step(sent)
        solved = solved or environment.success
        if remaining is not None:
            remaining -= 1
        elif solved:
            remaining = settings.tail_rows
        if (terminated or truncated) and not solved:
            return None
    if rows is None and not environment.success:
        return None
    return log.episode(seed, environment.instruction, success=bool(environment.success))


class _Log:
    """Rows as they come."""

    def __init__(self, environment: Environment, settings: RecordingSettings) -> None:
        self._settings = settings
        self._privileged = environment if isinstance(environment, Privileged) else None
        self._cameras = [camera.name for camera in environment.embodiment.cameras]
        self._states: list[FloatArray] = []
        self._actions: list[FloatArray] = []
        self._stamps_s: list[float] = []
        self._frames: dict[str, list[ImageArray]] = {name: [] for name in self._cameras}
        self._extras: dict[str, list[FloatArray]] = {}

    def add(self, observation: Observation, action: FloatArray) -> None:
        """Append a row."""
        if len(self._states) % self._settings.rows_per_frame == 0:
            self._stamps_s.append(observation.stamp_s)
            for name in self._cameras:
                self._frames[name].append(np.array(observation.images[name]))
        self._states.append(observation.state)
        self._actions.append(action)
        if self._privileged is not None:
            facts = self._privileged.privileged()
            for name in self._privileged.privileged_columns:
                self._extras.setdefault(f"{PRIVILEGED}{name}", []).append(np.asarray(facts[name]).reshape(-1))

    def episode(self, seed: int, instruction: str, *, success: bool) -> Episode:
        """What was recorded."""
        stamps_s = np.array(self._stamps_s) - self._stamps_s[0]
        shown = np.arange(len(self._states)) // self._settings.rows_per_frame
        return Episode(
            seed=seed,
            instruction=instruction,
            success=success,
            states=_stacked(self._states),
            actions=_stacked(self._actions),
            cameras={
                name: CameraTrack(frames=np.stack(frames), frame_of_row=shown, stamps_s=stamps_s)
                for name, frames in self._frames.items()
            },
            extras={name: _stacked(rows) for name, rows in self._extras.items()},
        )


def _stacked(rows: list[FloatArray]) -> NDArray[np.float32]:
    return np.stack(rows).astype(np.float32)
