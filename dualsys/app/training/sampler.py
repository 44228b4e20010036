"""Batches as the controller will meet them: the planner's view is older than the actor's.

At run time the newest subgoal was made from a frame that is one camera period, the planner's latency and up to one
planner period old. So a sample is one frame for the planner and, some rows later, `r` moments for the actor; the delay
between them is drawn from those that a run log measured, or evenly up to a bound. A step's batch depends on the seed
and the step alone, so that a resumed training sees what the killed one would have seen.

Shape legend: B frames, R moments a frame, A action rows, U actions, X states.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dualsys.app.recording import BLOCK_POSITIONS, HAND_TARGETS, TARGET_POSITION
from dualsys.app.training.share import WHOLE, Share
from dualsys.data.frame_cache import FrameStore
from dualsys.data.reader import DemonstrationDataset, FrameTrack
from dualsys.errors import DatasetError
from dualsys.messages import ImageArray
from dualsys.telemetry import read_log


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What training reads of a dataset: N rows, E episodes, F frames."""

    states: NDArray[np.float32]
    """`(N, X)`."""
    actions: NDArray[np.float32]
    """`(N, U)`."""
    frames: FrameStore
    """`(F, h, w, 3)`."""
    frame_of_row: NDArray[np.int64]
    """`(N,)`."""
    frame_stamps_s: NDArray[np.float32]
    """`(N,)` when the shown frame was taken, from the start of the episode."""
    episode_starts: NDArray[np.int64]
    episode_lengths: NDArray[np.int64]
    instructions: tuple[str, ...]
    folder_of_episode: NDArray[np.int64]
    """`(E,)` which of the joined datasets an episode is from."""
    target_positions: NDArray[np.float32]
    """`(N, T, 3)` metres, of each hand's target; NaN for an idle hand, and where the dataset does not tell."""
    object_positions: NDArray[np.float32]
    """`(N, O, 3)` metres of every kind of object; NaN where absent, no kinds where the dataset does not tell."""
    dt_s: float
    robot_of_episode: NDArray[np.int64] | None = None
    """`(E,)` which robot an episode is of; None where all are of one."""
    actor_track: FrameTrack | None = None
    """What the actor's own camera saw; None for an actor without one."""
    goals: bool = False
    """Whether batches carry what an episode's last frame shows, as the goal it came to."""
    subgoals: NDArray[np.float32] | None = None
    """`(F, K, C)` of a planner that stays as it is, by frame; None where it is trained."""

    @classmethod
    def of(cls, dataset: DemonstrationDataset, camera: str, actor_camera: str | None = None) -> Self:
        """Of a dataset, through the planner's and the actor's camera. Raises `DatasetError` for one it lacks."""
        for name in (camera, actor_camera):
            if name is not None and name not in dataset.cameras:
                raise DatasetError(f"the dataset has no camera {name!r}; it has {sorted(dataset.cameras)}")
        track = dataset.cameras[camera]
        unknown = np.full((len(dataset), 3), np.nan, np.float32)
        targets = dataset.extras.get(HAND_TARGETS, dataset.extras.get(TARGET_POSITION, unknown))
        return cls(
            states=dataset.states,
            actions=dataset.actions,
            frames=track.frames,
            frame_of_row=track.frame_of_row,
            frame_stamps_s=track.stamp_of_row_s,
            episode_starts=dataset.episode_starts,
            episode_lengths=dataset.episode_lengths,
            instructions=dataset.instructions,
            folder_of_episode=dataset.folder_of_episode,
            target_positions=targets.reshape(len(dataset), -1, 3),
            object_positions=dataset.extras.get(BLOCK_POSITIONS, unknown[:, :0]).reshape(len(dataset), -1, 3),
            dt_s=1.0 / dataset.fps,
            robot_of_episode=dataset.robot_of_episode,
            actor_track=None if actor_camera is None else dataset.cameras[actor_camera],
        )

    def episode_of_frame(self) -> NDArray[np.int64]:
        """`(F,)`: no frame is shown in two episodes."""
        episode_of_row = np.repeat(np.arange(len(self.episode_lengths)), self.episode_lengths)
        episodes = np.zeros(len(self.frames), np.int64)
        episodes[self.frame_of_row] = episode_of_row
        return episodes

    def actor_frames_at(self, rows: NDArray[np.int64]) -> ImageArray | None:
        """Images of the actor's camera at some rows, of any shape; None for an actor without one."""
        if self.actor_track is None:
            return None
        frames = self.actor_track.frames[self.actor_track.frame_of_row[rows.reshape(-1)]]
        return frames.reshape(*rows.shape, *frames.shape[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One training step's data, in physical units."""

    images: ImageArray
    """`(B, h, w, 3)`."""
    instructions: list[str]
    target_positions: NDArray[np.float32]
    """`(B, T, 3)` in metres, for the helpers; NaN where there is none or nobody knows."""
    object_positions: NDArray[np.float32]
    """`(B, O, 3)` of every kind of object; NaN where it is absent."""
    states: NDArray[np.float32]
    """`(B, R, X)`."""
    actions: NDArray[np.float32]
    """`(B, R, A, U)`."""
    is_real: NDArray[np.bool_]
    """`(B, R, A)`: False where the episode has ended and the row repeats its last one."""
    ages_s: NDArray[np.float32]
    """`(B, R)`: age of the planner's view at the actor's moment."""
    views: NDArray[np.int64]
    """`(B,)`: row of the dataset that the planner sees."""
    robots: NDArray[np.int64] | None = None
    """`(B,)` number of the robot of each; None where all are of one."""
    actor_images: ImageArray | None = None
    """`(B, R, h, w, 3)` from the actor's own camera at its moments; None for an actor without one."""
    goal_images: ImageArray | None = None
    """`(B, h, w, 3)` the episode's last frame of the planner's camera; None where goals aren't asked for."""
    actor_goal_images: ImageArray | None = None
    """The same of the actor's camera."""
    subgoals: NDArray[np.float32] | None = None
    """`(B, K, C)` of a planner that stays as it is; None where it is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSampler:
    """Draws batches from some episodes of a dataset."""

    data: TrainingData
    episodes: NDArray[np.int64]
    horizon: int
    frames_per_batch: int
    moments_per_frame: int
    delays_rows: NDArray[np.int64]
    """Offsets to draw from, each as likely as it is frequent here: an empirical histogram."""
    seed: int
    shares: NDArray[np.float64]
    """`(folders,)` each joined dataset's share of the frames; zeros: as many as it has rows."""

    def draw(self, step: int, share: Share = WHOLE) -> Batch:
        """Batch of a step, or a worker's share of it: the same for the same seed and step."""
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.choice(self.episodes, self.frames_per_batch, p=self._chances())
        starts, lengths = self.data.episode_starts[chosen], self.data.episode_lengths[chosen]
        # Indices are drawn for the whole batch, rows and frames are read for the share.
        view = starts + (rng.random(len(chosen)) * lengths).astype(np.int64)
        delay = rng.choice(self.delays_rows, (len(chosen), self.moments_per_frame))
        chosen, starts, lengths, view, delay = (share.of(each) for each in (chosen, starts, lengths, view, delay))
        last = (starts + lengths - 1)[:, None]
        moment = np.minimum(view[:, None] + delay, last)
        rows = moment[:, :, None] + np.arange(self.horizon)
        is_real = rows <= last[:, :, None]
        rows = np.minimum(rows, last[:, :, None])
        ages = (moment - starts[:, None]) * self.data.dt_s - self.data.frame_stamps_s[view][:, None]
        frames = self.data.frame_of_row[view]
        return Batch(
            images=self.data.frames[frames],
            instructions=[self.data.instructions[episode] for episode in chosen],
            target_positions=self.data.target_positions[view],
            object_positions=self.data.object_positions[view],
            states=self.data.states[moment],
            actions=self.data.actions[rows],
            is_real=is_real,
            ages_s=ages.astype(np.float32),
            views=view,
            robots=None if self.data.robot_of_episode is None else self.data.robot_of_episode[chosen],
            actor_images=self.data.actor_frames_at(moment),
            goal_images=self.data.frames[self.data.frame_of_row[last[:, 0]]] if self.data.goals else None,
            actor_goal_images=self.data.actor_frames_at(last[:, 0]) if self.data.goals else None,
            subgoals=None if self.data.subgoals is None else self.data.subgoals[frames],
        )

    def _chances(self) -> NDArray[np.float64]:
        """Of each episode `(e,)`: by rows, since long ones hold the hard parts, and by its dataset's share."""
        lengths = self.data.episode_lengths[self.episodes].astype(np.float64)
        folders = self.data.folder_of_episode[self.episodes]
        rows = np.bincount(folders, weights=lengths, minlength=len(self.shares))
        wanted = np.where(self.shares.any(), self.shares, rows) * (rows > 0)
        chances = lengths * (wanted / np.maximum(rows, 1.0))[folders]
        normalised: NDArray[np.float64] = chances / chances.sum()
        return normalised


def even_delays(max_delay_s: float, dt_s: float) -> NDArray[np.int64]:
    """Every delay from none to a bound, in rows, once."""
    return np.arange(round(max_delay_s / dt_s) + 1)


def measured_delays(log: Path, dt_s: float) -> NDArray[np.int64]:
    """Ages, in rows, of the subgoals that chunks of a recorded run were made with. Raises `DatasetError` for none."""
    ages = [line["subgoal_age_s"] for line in read_log(log) if line.get("kind") == "chunk"]
    known = np.array([age for age in ages if age is not None], dtype=np.float64)
    if not len(known):
        raise DatasetError(f"{log} has no chunk made with a subgoal: record one with `dualsys run --log {log}`")
    return np.rint(known / dt_s).astype(np.int64)
