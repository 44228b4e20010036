"""Episodes of an evaluation that hasn't ended, in a file beside its result: a kill costs those under way.

The first line says of what, each other one is an episode. A line is written whole and is on the disk before the next
episode is taken in; the end of a line that a kill tore off is ignored.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self, final

from dualsys.app.evaluation.job import EpisodeJob, PlayedEpisode
from dualsys.app.flattened import flattened
from dualsys.app.rollout import EpisodeResult
from dualsys.data.begun import differing_settings
from dualsys.errors import ConfigError
from dualsys.files import written_or_said

FORMAT = 1


def num_kept(path: Path) -> int:
    """Episodes in a journal; none where it isn't there."""
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


def journal_of(result: Path) -> Path:
    """Where the journal of a result's file lies."""
    return result.with_name(f"{result.stem}.partial.jsonl")


@final
class Journal:
    """What is known of an evaluation, held by one process at a time. Made by `opened_journal`."""

    def __init__(self, path: Path, file: IO[bytes], played: Mapping[EpisodeJob, PlayedEpisode]) -> None:
        self._path, self._file = path, file
        self.played = dict(played)
        """Of earlier runs and of this one."""

    def add(self, episode: PlayedEpisode) -> None:
        """Keep an episode. Raises `CannotWrite`, as on a full disk."""
        job = {"evaluation": episode.job.evaluation, "task": episode.job.task, "seed": episode.job.seed}
        line = {**job, "wall_s": round(episode.wall_s, 3), "episode": asdict(episode.result)}
        with written_or_said(self._path):
            _append(self._file, line)
        self.played[episode.job] = episode

    @classmethod
    def begin(cls, path: Path, file: IO[bytes], facts: Mapping[str, Any]) -> Self:
        """A journal without episodes."""
        with written_or_said(path):
            file.truncate(0)
            _append(file, {"journal": FORMAT, **facts})
            _keep_name(path)
        return cls(path, file, {})

    @classmethod
    def go_on(cls, path: Path, file: IO[bytes], facts: Mapping[str, Any]) -> Self:
        """The journal that is there. Raises `ConfigError` where it is of something else, or damaged."""
        file.seek(0)
        whole, _, torn = file.read().rpartition(b"\n")
        if not whole:
            return cls.begin(path, file, facts)
        header, *lines = [_parsed(path, number, line) for number, line in enumerate(whole.split(b"\n"), start=1)]
        _require_same(path, header, {"journal": FORMAT, **facts})
        if torn:
            with written_or_said(path):
                file.truncate(len(whole) + 1)
        return cls(path, file, _episodes(path, lines))


@contextmanager
def opened_journal(path: Path, facts: Mapping[str, Any], *, resume: bool) -> Iterator[Journal]:
    """Begin a journal, or go on with the one that is there; no other process may have it meanwhile.

    Args:
        path: The file. Who asked for it removes it when the result is written.
        facts: What the evaluation is of, as JSON holds it: all that decides its episodes beside their seeds.
        resume: Whether to go on; where nothing is there, it is begun.

    Raises:
        ConfigError: it is of something else, damaged, in use, or there although nobody asked to go on.
        CannotWrite: there is no room.
    """
    with written_or_said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another evaluation writes {path}; wait for it, or give another --json") from error
        if not resume and (count := num_kept(path)) > 0:
            raise ConfigError(
                f"{path} holds {count} episodes of an evaluation that was stopped; add --resume to go on with it, or "
                "delete it"
            )
        journal = (Journal.go_on if resume else Journal.begin)(path, file, facts)
        try:
            yield journal
        finally:
            if not journal.played:  # nothing to go on with
                path.unlink(missing_ok=True)


def _append(file: IO[bytes], line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def _keep_name(path: Path) -> None:
    """A new file's name is on the disk when its folder is."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_constant=_refuse)
    except ValueError as error:
        raise ConfigError(f"{path} is damaged in line {number} ({error}): delete it and evaluate again") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is damaged in line {number} ({value!r}): delete it and evaluate again")
    return value


def _refuse(constant: str) -> None:
    """NaN and Infinity, which are no JSON, and nothing that `add` writes."""
    raise ValueError(f"{constant} is no number")


def _require_same(path: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    before, now = (flattened(_by_index(each)) for each in (found, json.loads(json.dumps(asked))))
    if differing := differing_settings(before, now):
        raise ConfigError(f"{path} was begun with {differing}: go on with the same, or give another --json for this")


def _by_index(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluations by number, so that what differs of one is told by name."""
    evaluations = facts.get("evaluations")
    if not isinstance(evaluations, list):
        return dict(facts)
    if len(evaluations) == 1:
        return {**facts, "evaluations": 1, **evaluations[0]}
    numbered = {str(number): each for number, each in enumerate(evaluations, start=1)}
    return {**facts, "evaluations": len(evaluations), "evaluation": numbered}


def _episodes(path: Path, lines: list[dict[str, Any]]) -> dict[EpisodeJob, PlayedEpisode]:
    """By what was asked for. One that is there twice has to be the same."""
    known: dict[EpisodeJob, PlayedEpisode] = {}
    for number, line in enumerate(lines, start=2):
        try:
            result, wall_s = EpisodeResult(**line.pop("episode")), float(line.pop("wall_s"))
            job = EpisodeJob(**line)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path} is damaged in line {number} ({error}): delete it and evaluate again") from error
        if job in known and known[job].result != result:
            raise ConfigError(f"{path} has two results of {job} that differ: delete it and evaluate again")
        known[job] = PlayedEpisode(job=job, result=result, wall_s=wall_s)
    return known
