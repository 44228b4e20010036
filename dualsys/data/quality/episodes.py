"""Episodes as wholes: how long they are, what they are told, whether one is there twice."""

import hashlib

import numpy as np

from dualsys.data.folder import FolderData
from dualsys.data.quality.finding import Finding, Place

SHORTEST_S = 0.2
OUTLIER = 4.0
"""An episode this many times longer or shorter than the median stands out."""


def check_lengths(data: FolderData) -> Finding:
    """No episode is a fragment, none is far longer or shorter than the others."""
    seconds = data.episode_lengths / data.fps
    median_s = float(np.median(seconds))
    fragments = seconds < SHORTEST_S
    odd = (seconds > OUTLIER * median_s) | (seconds < median_s / OUTLIER)
    summary = (
        f"{len(seconds)} episodes of {seconds.min():.1f} to {seconds.max():.1f} s, median {median_s:.1f} s, "
        f"{len(data.states)} rows"
    )
    if not fragments.any() and not odd.any():
        return Finding(check="lengths", verdict="pass", summary=summary)
    return Finding(
        check="lengths",
        verdict="fail" if fragments.any() else "warn",
        summary=f"{summary}; {int(fragments.sum())} fragments, {int((odd & ~fragments).sum())} outliers",
        where=tuple(_place(data, int(episode)) for episode in np.flatnonzero(fragments | odd)),
        mend="drop fragments; look at outliers: a recording that was not stopped teaches to stand still",
    )


def check_instructions(data: FolderData) -> Finding:
    """Every episode says in words what is to be done."""
    missing = [episode for episode, text in enumerate(data.instructions) if not text.strip()]
    distinct = len({text for text in data.instructions if text.strip()})
    if not missing:
        return Finding(check="instructions", verdict="pass", summary=f"{distinct} distinct instructions")
    return Finding(
        check="instructions",
        verdict="fail",
        summary=f"{len(missing)} of {len(data.instructions)} episodes have no instruction",
        where=tuple(_place(data, episode) for episode in missing),
        mend="give the task in words: dualsys data import --instruction 'what is to be done'",
    )


def check_duplicates(data: FolderData) -> Finding:
    """No two episodes have the same rows."""
    first_with: dict[bytes, int] = {}
    places = []
    for episode, (start, length) in enumerate(zip(data.episode_starts, data.episode_lengths, strict=True)):
        rows = slice(start, start + length)
        digest = hashlib.sha256(data.states[rows].tobytes() + data.actions[rows].tobytes()).digest()
        original = first_with.setdefault(digest, episode)
        if original != episode:
            places.append(_place(data, episode, f"the same as episode {original}"))
    if not places:
        return Finding(check="duplicates", verdict="pass", summary="no two episodes have the same rows")
    return Finding(
        check="duplicates",
        verdict="fail",
        summary=f"{len(places)} episodes repeat another",
        where=tuple(places),
        mend="drop the repetitions: they weigh twice in training, and leak from it into validation",
    )


def _place(data: FolderData, episode: int, what: str = "") -> Place:
    return Place(episode=episode, first_row=0, last_row=int(data.episode_lengths[episode]) - 1, what=what)
