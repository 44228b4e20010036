"""Workers of an evaluation: every episode is played once, whatever dies; what they refuse is said at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from dualsys.app.evaluation.alone import alone
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.crew import Crew, play_all
from dualsys.app.evaluation.crews import death_of
from dualsys.app.evaluation.identity import Identity
from dualsys.app.evaluation.job import Death, EpisodeJob, Outcome, PlayedEpisode, Refusal
from dualsys.app.evaluation.player import Player
from dualsys.app.process_crew import LATE, process_crew
from dualsys.app.rollout import EpisodeResult
from dualsys.errors import BridgeError, ConfigError

ROOT = Path(__file__).parents[3]
TASK = "arm/reach"


def job(seed: int) -> EpisodeJob:
    return EpisodeJob(evaluation=0, task=TASK, seed=seed)


def played(what: EpisodeJob) -> PlayedEpisode:
    result = EpisodeResult(
        seed=what.seed, instruction="reach", success=True, duration_s=1.0, reward=0.5, limited_ticks=0, info={}
    )
    return PlayedEpisode(job=what, result=result, wall_s=0.01)


class Scripted:
    """A crew of some size that plays in the order given, but for deaths that are foretold: how many, by seed."""

    def __init__(self, size: int, deaths: dict[int, int]) -> None:
        self._size, self._deaths = size, dict(deaths)
        self._busy: dict[int, EpisodeJob] = {}
        self.given: list[int] = []

    @property
    def idle(self) -> list[int]:
        return [each for each in range(self._size) if each not in self._busy]

    def give(self, job: EpisodeJob, worker: int) -> None:
        assert worker in self.idle
        self.given.append(job.seed)
        self._busy[worker] = job

    def outcomes(self) -> list[Outcome]:
        each = self._busy.pop(next(iter(self._busy)))
        if self._deaths.get(each.seed, 0):
            self._deaths[each.seed] -= 1
            return [Death(job=each, cause="killed")]
        return [played(each)]


def play(crew: Crew, seeds: range, *, max_retries: int = 2) -> tuple[list[int], list[int]]:
    """Seeds that came out, and those at which a worker died."""
    deaths: list[int] = []
    jobs = map(job, seeds)
    ended = list(play_all(crew, jobs, max_retries=max_retries, on_death=lambda death: deaths.append(death.job.seed)))
    return [each.result.seed for each in ended], deaths


class Recorded(Scripted):
    """Notes the tasks that each worker was given, and plays the episodes of one worker faster than those of others."""

    def __init__(self, size: int, deaths: dict[int, int], fast: int) -> None:
        super().__init__(size, deaths)
        self.tasks: dict[int, list[str]] = {each: [] for each in range(size)}
        self._fast = fast

    def give(self, job: EpisodeJob, worker: int) -> None:
        super().give(job, worker)
        self.tasks[worker].append(job.task)

    def outcomes(self) -> list[Outcome]:
        self._busy = dict(sorted(self._busy.items(), key=lambda each: each[0] != self._fast))
        return super().outcomes()


@pytest.mark.parametrize("fast", [0, 1, 2])
@pytest.mark.parametrize("deaths", [{}, {3: 2, 11: 1}])
def test_a_worker_keeps_to_its_task_and_then_goes_where_most_is_left(fast: int, deaths: dict[int, int]) -> None:
    """A scene is built where a task is taken up, which takes longer than many an episode."""
    count = {"a/few": 2, "a/many": 12, "a/some": 5, "b/many": 12}
    jobs = [EpisodeJob(evaluation=0, task=task, seed=seed) for task, seeds in count.items() for seed in range(seeds)]
    crew = Recorded(3, deaths, fast)
    ended = [each.job for each in play_all(crew, jobs, max_retries=2, on_death=lambda death: None)]
    assert sorted(ended, key=jobs.index) == jobs, "each once"
    assert [tasks[0] for tasks in crew.tasks.values()] == ["a/many", "b/many", "a/many"]
    if not deaths:
        changes = [sum(one != other for one, other in pairwise(tasks)) for tasks in crew.tasks.values()]
        assert sum(changes) <= 4, crew.tasks
        assert all(len(list(groupby(tasks))) == len(set(tasks)) for tasks in crew.tasks.values()), "none comes back"


def test_an_episode_whose_worker_dies_is_played_again_before_those_that_wait() -> None:
    crew = Scripted(2, {1: 2})
    ended, deaths = play(crew, range(6))
    assert sorted(ended) == list(range(6))
    assert deaths == [1, 1]
    assert crew.given == [0, 1, 2, 1, 3, 1, 4, 5]


def test_an_episode_that_kills_whoever_plays_it_is_named_when_the_others_have_been_played() -> None:
    crew = Scripted(2, {1: 9})
    ended: list[int] = []
    with pytest.raises(BridgeError, match=rf"died, 3 of them each: {TASK} seed 1 \(killed\)\. .*--resume"):
        ended.extend(
            each.job.seed for each in play_all(crew, map(job, range(5)), max_retries=2, on_death=lambda death: None)
        )
    assert sorted(crew.given) == [0, 1, 1, 1, 2, 3, 4]


def test_where_all_die_it_is_soon_given_up() -> None:
    crew = Scripted(1, dict.fromkeys(range(50), 9))
    with pytest.raises(BridgeError, match=r"seed 0 .* seed 1 .* seed 2 "):
        play(crew, range(50), max_retries=0)
    assert len(crew.given) == 3


class Faulty:
    """Plays by seed: `die` once, `kill` always, `raise` something; marks in a folder whom it has met."""

    def __init__(self, folder: Path, ways: dict[int, str]) -> None:
        self._folder, self._ways = folder, ways

    def outcome(self, what: EpisodeJob) -> Outcome:
        way = self._ways.get(what.seed, "")
        marks = len(list(self._folder.glob(f"{what.seed}.*")))
        (self._folder / f"{what.seed}.{marks}.{os.getpid()}").touch()
        if way == "kill" or (way == "die" and not marks):
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "exit":
            os._exit(5)
        if way == "sleep":
            time.sleep(600)
        if way == "raise":
            return Refusal(job=what, error=ConfigError("no such planner"))
        return played(what)


def faulty(folder: Path, ways: dict[int, str]) -> Callable[[], Any]:
    return partial(Faulty, folder, ways)


def met(folder: Path, seed: int) -> list[str]:
    return sorted(path.suffix for path in folder.glob(f"{seed}.*"))


def test_a_killed_process_costs_its_episode_one_try_and_nothing_else(tmp_path: Path) -> None:
    with process_crew(2, faulty(tmp_path, {2: "die"}), lost=death_of) as crew:
        ended, deaths = play(crew, range(8))
    assert sorted(ended) == list(range(8))
    assert deaths == [2]
    assert len(set(met(tmp_path, 2))) == 2, "in another process"
    assert all(len(met(tmp_path, seed)) == 1 for seed in range(8) if seed != 2)
    assert str(os.getpid()) not in {mark[1:] for seed in range(8) for mark in met(tmp_path, seed)}


@pytest.mark.parametrize(("way", "cause"), [("kill", "killed by SIGKILL: out of memory"), ("exit", "exited with 5")])
def test_how_workers_ended_is_told(tmp_path: Path, way: str, cause: str) -> None:
    told = pytest.raises(BridgeError, match=f"seed 1 .*{cause}")
    with process_crew(1, faulty(tmp_path, {1: way}), lost=death_of) as crew, told:
        play(crew, range(3), max_retries=1)
    assert [len(met(tmp_path, seed)) for seed in range(3)] == [1, 2, 1]


def test_one_that_hangs_is_given_up_and_another_takes_its_place(tmp_path: Path) -> None:
    """Time to come up does not count, nor time that others have waited."""
    with process_crew(2, faulty(tmp_path, {1: "sleep"}), lost=death_of, timeout_s=2.0) as crew:
        deaths: list[Death] = []
        ended: list[int] = []
        with pytest.raises(BridgeError, match=LATE):
            ended.extend(
                each.job.seed for each in play_all(crew, map(job, range(4)), max_retries=0, on_death=deaths.append)
            )
    assert [(death.job.seed, death.cause) for death in deaths] == [(1, LATE)]
    assert [len(met(tmp_path, seed)) for seed in range(4)] == [1, 1, 1, 1]


def test_what_a_worker_refuses_is_raised_and_ends_the_others(tmp_path: Path) -> None:
    started_s = time.monotonic()
    with (
        pytest.raises(ConfigError, match=r"^no such planner$"),
        process_crew(2, faulty(tmp_path, {0: "sleep", 1: "raise"}), lost=death_of) as crew,
    ):
        play(crew, range(4))
    assert time.monotonic() - started_s < 120


class OddError(Exception):
    """Cannot be made again from what it says."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def test_what_is_raised_in_a_worker_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    player = Player([])
    for error, kind in ((ConfigError("wrong"), ConfigError), (OddError(1, 2), RuntimeError)):

        def refuse(what: EpisodeJob, error: Exception = error) -> PlayedEpisode:
            raise error

        monkeypatch.setattr(Player, "play", lambda self, what, refuse=refuse: refuse(what))
        outcome = player.outcome(job(0))
        assert isinstance(outcome, Refusal)
        assert type(outcome.error) is kind
        assert str(error) in str(outcome.error)
        assert "in refuse" in outcome.error.__notes__[0]


def test_a_worker_with_something_else_is_refused_with_what_differs() -> None:
    config = EvalConfig(suite_or_task="humanoid/touch", planner="null", actor="hold")
    here = Identity.of(config)
    there = replace(here, weights="another", versions=here.versions | {"mujoco": "0.1"})
    outcome = Player([config], [there]).outcome(EpisodeJob(evaluation=0, task="humanoid/touch", seed=8000))
    assert isinstance(outcome, Refusal)
    assert isinstance(outcome.error, BridgeError)
    assert "versions.mujoco '0.1' (now " in str(outcome.error)
    assert f"weights 'another' (now {here.weights!r})" in str(outcome.error)
    assert "python" not in str(outcome.error)


def test_alone_nobody_else_plays(tmp_path: Path) -> None:
    class Here(Faulty):
        def play(self, what: EpisodeJob) -> PlayedEpisode:
            outcome = self.outcome(what)
            assert isinstance(outcome, PlayedEpisode)
            return outcome

        def close(self) -> None:
            (tmp_path / "closed").touch()

    with alone(partial(Here, tmp_path, {})) as crew:  # type: ignore[arg-type]
        ended, _ = play(crew, range(3))
    assert ended == [0, 1, 2]
    assert {mark for seed in range(3) for mark in met(tmp_path, seed)} == {f".{os.getpid()}"}
    assert (tmp_path / "closed").exists()


PARENT = """
import sys
from pathlib import Path
from dualsys.app.evaluation.crews import death_of
from dualsys.app.process_crew import process_crew
from tests.unit.app.test_crew import faulty, play
if __name__ == "__main__":
    with process_crew(2, faulty(Path(sys.argv[1]), {0: "sleep", 1: "sleep"}), lost=death_of) as crew:
        play(crew, range(2))
"""


@pytest.mark.slow
def test_no_worker_outlives_who_started_it(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    marks = tmp_path / "marks"
    marks.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(marks)], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    deadline_s = time.monotonic() + 120
    while len(list(marks.iterdir())) < 2:
        assert time.monotonic() < deadline_s
        assert parent.poll() is None
        time.sleep(0.05)
    workers = [int(path.suffix[1:]) for path in marks.iterdir()]
    parent.kill()
    parent.wait()
    while any(Path(f"/proc/{worker}/cmdline").exists() and is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
