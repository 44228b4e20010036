"""Rows come at the promised rate, images are never from the future."""

import numpy as np

from dualsys.data.folder import FolderData
from dualsys.data.quality.finding import Finding, Place, places_of

TOLERANCE_S = 1e-4
"""LeRobot refuses to load rows whose stamps are further off."""


def check_stamps(data: FolderData) -> Finding:
    """`timestamp` is `row / fps` from the start of each episode; an image is no newer than its row."""
    rows = np.arange(len(data.states)) - np.repeat(data.episode_starts, data.episode_lengths)
    off_s = data.timestamps_s - rows / data.fps
    # float32 tells times apart only so far: half an hour into an episode its steps are 1e-4 s.
    tolerance_s = np.maximum(TOLERANCE_S, 2 * np.spacing(data.timestamps_s))
    back = np.diff(data.timestamps_s, prepend=np.float32(-1)) <= 0
    back[data.episode_starts] = False
    wrong = (np.abs(off_s) > tolerance_s) | back
    ahead: list[Place] = []
    for name, track in data.cameras.items():
        future = track.stamp_of_row_s > data.timestamps_s + tolerance_s
        ahead += places_of(future & ~wrong, data.episode_lengths, f"camera {name} shows the future")
        older = np.diff(track.stamp_of_row_s, prepend=np.float32(-1)) < 0
        older[data.episode_starts] = False
        ahead += places_of(older & ~wrong, data.episode_lengths, f"camera {name} goes back in time")
    where = (*places_of(wrong, data.episode_lengths, "timestamp"), *ahead)
    if not where:
        return Finding(check="stamps", verdict="pass", summary=f"every row on the grid of {data.fps} Hz")
    worst_s = float(np.max(np.abs(off_s)))
    return Finding(
        check="stamps",
        verdict="fail",
        summary=f"{int(wrong.sum())} rows off the grid of {data.fps} Hz, at worst by {worst_s:.4f} s; "
        f"{len(ahead)} stretches of images out of time",
        where=where,
        mend="resample the recording to a constant rate before it is written, or correct fps in meta/info.json",
    )
