"""A camera that has stopped shows one picture while the robot moves."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dualsys.data.folder import FolderData, FolderTrack
from dualsys.data.quality.finding import Finding, Place, runs, worst

WARN_S = 1.0
FAIL_S = 2.0
MOTION = 0.05
"""Share of its range that some joint moves in a stretch that counts as motion."""
_LEVELS = 6
"""Video keeps the levels of a still picture to a few of 255."""
_SHARE = 1e-4
"""Pixels that may differ in two pictures of a camera that has stopped."""


def check_cameras(data: FolderData) -> Finding:
    """No camera shows one picture for longer than `WARN_S` while joints move."""
    if not data.cameras:
        return Finding(check="cameras", verdict="skip", summary="no camera")
    places: list[Place] = []
    longest_s = 0.0
    for name, track in data.cameras.items():
        for place in _frozen(data, name, track):
            places.append(place)
            longest_s = max(longest_s, (place.last_row - place.first_row + 1) / data.fps)
    if not places:
        return Finding(
            check="cameras",
            verdict="pass",
            summary=f"{len(data.cameras)} cameras, none stands still for {WARN_S:g} s while joints move",
        )
    return Finding(
        check="cameras",
        verdict=worst(["fail" if longest_s >= FAIL_S else "warn"]),
        summary=f"{len(places)} stretches of one picture while joints move, the longest {longest_s:.1f} s",
        where=tuple(places),
        mend="drop these episodes; check the camera's cable, its driver and that it is read once a frame",
    )


def _frozen(data: FolderData, name: str, track: FolderTrack) -> Iterator[Place]:
    spread = np.ptp(data.states, axis=0)
    same = _same_as_before(track.frames)
    for episode, (start, length) in enumerate(zip(data.episode_starts, data.episode_lengths, strict=True)):
        shown = track.frame_of_row[start : start + length]
        # A row shows the picture of the row before where its frame is the same, or a new one that looks the same.
        still = (np.diff(shown) == 0) | same[shown[1:]]
        for first, stop in runs(still):
            rows = data.states[start + first : start + stop + 1]
            moved = np.ptp(rows, axis=0) > MOTION * spread
            if (stop + 1 - first) / data.fps >= WARN_S and np.any(moved & (spread > 0)):
                yield Place(episode=episode, first_row=first, last_row=stop, what=f"camera {name}")


def _same_as_before(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """`(f,)` whether a frame looks like the one before it."""
    same = np.zeros(len(frames), bool)
    before = None
    for index in range(len(frames)):
        frame = np.asarray(frames[index], np.int16)
        if before is not None:
            changed = np.abs(frame - before).max(axis=-1) > _LEVELS
            same[index] = changed.mean() < _SHARE
        before = frame
    return same
