"""A small robot that moves as robots do: a servo follows smooth targets two rows behind, a camera watches."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualsys.data import CameraTrack, DatasetWriter, Episode
from dualsys.data.info import Provenance
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint

FPS = 50
LAG_ROWS = 2
ROWS_PER_FRAME = 5
SIZE = 32
SPEC = EmbodimentSpec(
    name="three-joints",
    joints=tuple(Joint(name=name, lower=-2.0, upper=2.0) for name in ("shoulder", "elbow", "wrist")),
    state_names=("shoulder", "elbow", "wrist"),
    cameras=(CameraSpec(name="head", height=SIZE, width=SIZE),),
)


def motion_episode(seed: int, length: int = 160) -> Episode:
    """From rest to two places and back, each joint at its own time."""
    rng = np.random.default_rng(seed)
    targets = np.stack([_path(rng, length) for _ in SPEC.joints], axis=1)
    states = np.concatenate([np.repeat(targets[:1], LAG_ROWS, axis=0), targets[:-LAG_ROWS]])
    shown = np.arange(length) // ROWS_PER_FRAME
    frames = np.stack([_picture(states[row]) for row in range(0, length, ROWS_PER_FRAME)])
    track = CameraTrack(frames=frames, frame_of_row=shown, stamps_s=np.arange(len(frames)) * ROWS_PER_FRAME / FPS)
    return Episode(
        seed=seed,
        instruction=f"move to place {seed}",
        states=states.astype(np.float32),
        actions=targets.astype(np.float32),
        cameras={"head": track},
    )


def write_motions(root: Path, episodes: int = 4) -> None:
    """A dataset without a defect."""
    writer = DatasetWriter(root, SPEC, fps=FPS)
    for seed in range(episodes):
        writer.stage(motion_episode(seed))
    origin = Provenance(embodiment=SPEC, task="tests/motions", expert="Path", versions={"dualsys": "0"})
    writer.finish(range(episodes), origin)


def _path(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    path = np.zeros(length)
    for goal in rng.uniform(0.3, 1.0, 2) * rng.choice([-1, 1], 2):
        start = int(rng.integers(5, length - 60))
        phase = np.clip((np.arange(length) - start) / 50, 0, 1)
        smooth = phase**3 * (10 - 15 * phase + 6 * phase**2)
        path += (goal - path) * smooth
    return path


def _picture(state: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A block whose place tells the first two joints, its colour the third."""
    picture = np.full((SIZE, SIZE, 3), 90, np.uint8)
    row, column = (np.clip(state[:2], -1, 1) * 12 + 13).astype(int)
    picture[row : row + 6, column : column + 6] = (230, 30, int(128 + 100 * np.tanh(state[2])))
    return picture
