"""Delays of a run on the wall clock, from its log."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

MOST_SAMPLES = 10_000
"""Of each series, the newest: 20 s of a tick at 500 Hz."""

SERIES: Mapping[str, str] = {
    "planner_latency_s": "from a plan's beginning until its subgoal was out",
    "actor_latency_s": "from a chunk's beginning until it was out",
    "chunk_turnaround_s": "from the observation that a chunk was made from until the first command of it",
    "subgoal_age_s": "from the oldest source of a subgoal's observation until it was out",
    "camera_delay_s": "from the moment that a frame shows until it could be seen",
    "camera_interval_s": "between the moments that two frames in a row show",
    "tick_interval_s": "between two commands in a row",
    "tick_lateness_s": "of a command behind the tick's grid, up to a period",
}
"""What is measured, and what each is."""


def series_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Samples in seconds by series, from the first episode on; one that the log says nothing of is left out.

    Logs of before `began_stamp_s` stood in them tell no latencies of planner and actor, only ages and turnarounds.
    """
    by_kind: dict[str, list[Mapping[str, Any]]] = {kind: [] for kind in ("subgoal", "chunk", "frame", "command")}
    period_s, episodes = 0.0, []
    for line in lines:
        kind = line.get("kind", "")
        if kind == "header":
            period_s = 1.0 / float(line.get("config", {}).get("control_hz") or np.inf)
        elif kind == "episode":
            episodes.append(float(line["stamp_s"]))
        elif kind in by_kind:
            by_kind[kind].append(line)
    begin_s = min(episodes, default=-np.inf)  # what was before it was warming up
    subgoals = [line for line in by_kind["subgoal"] if float(line["emitted_stamp_s"]) >= begin_s]
    frames = [line for line in by_kind["frame"] if float(line["stamp_s"]) >= begin_s]
    chunks = by_kind["chunk"]
    ticks = [float(line["stamp_s"]) for line in by_kind["command"]]
    found = {
        "planner_latency_s": _between(subgoals, "began_stamp_s", "emitted_stamp_s"),
        "actor_latency_s": _between(chunks, "began_stamp_s", "ready_stamp_s"),
        "chunk_turnaround_s": _turnarounds(chunks, by_kind["command"]),
        "subgoal_age_s": _between(subgoals, "observation_stamp_s", "emitted_stamp_s"),
        "camera_delay_s": _between(frames, "stamp_s", "ready_stamp_s"),
        "camera_interval_s": _intervals([float(line["stamp_s"]) for line in frames], episodes),
        "tick_interval_s": _intervals(ticks, episodes),
        "tick_lateness_s": _lateness(ticks, episodes, period_s),
    }
    return {name: values[-MOST_SAMPLES:] for name, values in found.items() if values}


def _between(lines: list[Mapping[str, Any]], begun: str, ended: str) -> list[float]:
    known = [line for line in lines if line.get(begun) is not None and line.get(ended) is not None]
    return [max(0.0, float(line[ended]) - float(line[begun])) for line in known]


def _turnarounds(chunks: list[Mapping[str, Any]], commands: list[Mapping[str, Any]]) -> list[float]:
    first: dict[int, float] = {}
    for line in commands:
        first.setdefault(int(line["chunk_sequence"]), float(line["stamp_s"]))
    played = [line for line in chunks if int(line["sequence"]) in first]
    return [max(0.0, first[int(line["sequence"])] - float(line["start_stamp_s"])) for line in played]


def _intervals(stamps_s: list[float], episodes_s: list[float]) -> list[float]:
    """Differences of neighbours, but for those with an episode's beginning between them."""
    return [late - early for part in _parts(stamps_s, episodes_s) for early, late in pairwise(part)]


def _lateness(stamps_s: list[float], episodes_s: list[float], period_s: float) -> list[float]:
    """How far each tick was behind its grid, up to a period; one that was missed shows in the intervals.

    Where in the period the grid lies is told by where no tick ever is: it begins behind the widest such gap.
    """
    late: list[float] = []
    for part in _parts(stamps_s, episodes_s) if period_s > 0 else []:
        phases_s = np.mod(np.array(part) - part[0], period_s)
        ordered_s = np.sort(phases_s)
        gaps_s = np.diff(ordered_s, prepend=ordered_s[-1] - period_s)
        late += [float(each) for each in np.mod(phases_s - ordered_s[int(gaps_s.argmax())], period_s)]
    return late


def _parts(stamps_s: list[float], episodes_s: list[float]) -> list[list[float]]:
    places = np.searchsorted(np.array(stamps_s), sorted(episodes_s))
    borders = sorted({0, len(stamps_s), *map(int, places)})
    return [stamps_s[begin:end] for begin, end in pairwise(borders)]  # none is empty
