"""What LeRobot's own reader sees in a dataset folder, as JSON. Runs where LeRobot is installed; see README.md.

python tests/interop/read_with_lerobot.py FOLDER > tests/interop/read_by_lerobot.json
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

PIXELS = ((0.25, 0.25), (0.25, 0.75), (0.5, 0.5), (0.75, 0.25), (0.75, 0.75))
"""Places in an image that are noted, as shares of its height and width."""
COLUMNS = ("observation.state", "action", "timestamp", "privileged.target_position", "privileged.hand_targets")
"""Columns whose numbers are noted."""
EVERY = 6
"""Pictures are noted of every so many rows: of held frames, each time in another place of its hold."""


def describe(root: Path) -> dict[str, Any]:
    """Episodes, features, and numbers of every row that tell whether another reader sees the same."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset(f"local/{root.name}", root=root, video_backend="pyav")
    rows = [dataset[index] for index in range(len(dataset))]
    first = rows[0]
    return {
        "lerobot": version("lerobot"),
        "episodes": dataset.num_episodes,
        "rows": dataset.num_frames,
        "fps": dataset.fps,
        "shapes": {key: list(getattr(value, "shape", ())) for key, value in sorted(first.items())},
        "lengths": [
            sum(int(row["episode_index"]) == episode for row in rows) for episode in range(dataset.num_episodes)
        ],
        "tasks": sorted({(int(row["episode_index"]), row["task"]) for row in rows}),
        "columns": {key: _sums([row[key].double().reshape(-1) for row in rows]) for key in COLUMNS},
        "images": {
            key: [_image(row[key]) for row in rows[::EVERY]] for key in first if key.startswith("observation.images.")
        },
    }


def _sums(rows: Any) -> dict[str, Any]:
    """Of rows `(m,)`: by component the sum, the sum weighted by the row's number, and how many are NaN (0 in sums)."""
    known = [row.nan_to_num() for row in rows]
    return {
        "sum": sum(known).tolist(),
        "weighted": sum((n + 1) * row for n, row in enumerate(known)).tolist(),
        "unknown": sum(row.isnan() for row in rows).tolist(),
    }


def _image(picture: Any) -> dict[str, Any]:
    """Levels 0 to 255 of `(3, h, w)` in [0, 1]: mean by channel, and some pixels."""
    levels = picture.double() * 255
    height, width = levels.shape[1:]
    pixels = [levels[:, int(y * height), int(x * width)].tolist() for y, x in PIXELS]
    return {
        "mean": [round(float(channel.mean()), 3) for channel in levels],
        "pixels": [[round(level) for level in pixel] for pixel in pixels],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the dataset")
    json.dump(describe(parser.parse_args().folder), sys.stdout)
    sys.stdout.write("\n")
