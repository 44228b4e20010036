"""A tiny dataset written by LeRobot itself, for the importers to read. Runs where LeRobot is installed; see README.md.

python tests/interop/write_with_lerobot.py FOLDER [--images]
"""

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FPS = 10
SIZE = 64
EPISODES = ((8, "open the drawer"), (6, "close the drawer"), (7, "open the drawer"))
"""Rows, and what is to be done."""


def row_of(episode: int, t: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """State `(2,)`, action `(2,)` and picture `(64, 64, 3)`: a block that moves down, further right in each episode."""
    before = max(t - 1, 0)
    state = np.array([0.1 * before, episode - 0.05 * before], np.float32)
    action = np.array([0.1 * t, episode - 0.05 * t], np.float32)
    picture = np.full((SIZE, SIZE, 3), 60, np.uint8)
    picture[8 * (t % 6) : 8 * (t % 6) + 16, 16 * episode : 16 * episode + 16] = (200, 40, 40 * t % 256)
    return state, action, picture


def write(root: Path, *, images: bool) -> None:
    """Through `LeRobotDataset.create`, of whichever version is installed: 0.3.3 writes v2.1, 0.6.1 v3.0."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    names = ["shoulder", "elbow"]
    vector = {"dtype": "float32", "shape": (2,), "names": names}
    kind = "image" if images else "video"
    features = {
        "observation.state": vector,
        "action": vector,
        "observation.images.front": {
            "dtype": kind,
            "shape": (SIZE, SIZE, 3),
            "names": ["height", "width", "channels"],
        },
    }
    dataset: Any = LeRobotDataset.create(
        "local/tiny", fps=FPS, features=features, root=root, robot_type="arm", use_videos=not images
    )
    told_apart = version("lerobot") < "0.4"
    for episode, (length, task) in enumerate(EPISODES):
        for t in range(length):
            state, action, picture = row_of(episode, t)
            frame = {"observation.state": state, "action": action, "observation.images.front": picture}
            if told_apart:
                dataset.add_frame(frame, task=task)
            else:
                dataset.add_frame({**frame, "task": task})
        dataset.save_episode()
    if hasattr(dataset, "finalize"):
        dataset.finalize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to; must not exist")
    parser.add_argument("--images", action="store_true", help="pictures inside the rows instead of videos")
    options = parser.parse_args()
    write(options.folder, images=options.images)
    sys.stdout.write(f"written by LeRobot {version('lerobot')}\n")
