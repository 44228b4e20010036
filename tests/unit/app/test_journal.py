"""The journal of an evaluation: what a kill leaves is gone on with, what is of something else is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from dualsys.app.evaluation.job import EpisodeJob, PlayedEpisode
from dualsys.app.evaluation.journal import journal_of, opened_journal
from dualsys.app.rollout import EpisodeResult
from dualsys.errors import ConfigError

FACTS: dict[str, Any] = {
    "evaluations": [{"config": {"seed": 8000, "core": {"actor_hz": 10.0}}, "controller_weights": "abc"}],
    "versions": {"mujoco": "3.3.0"},
}


def episode(seed: int, *, reward: float = 0.1) -> PlayedEpisode:
    result = EpisodeResult(
        seed=seed,
        instruction="touch the “red” block",
        success=seed % 2 == 0,
        duration_s=1 / 3,
        reward=reward,
        limited_ticks=3,
        info={"distance_m": 0.1 + 0.2, "is_held": None},
        chunks={"chunks": 7},
    )
    return PlayedEpisode(job=EpisodeJob(evaluation=0, task="a/b", seed=seed), result=result, wall_s=2.5)


def begin(path: Path, *seeds: int) -> None:
    with opened_journal(path, FACTS, resume=False) as journal:
        for seed in seeds:
            journal.add(episode(seed))


def kept(path: Path, facts: dict[str, Any] = FACTS) -> list[PlayedEpisode]:
    with opened_journal(path, facts, resume=True) as journal:
        return list(journal.played.values())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_of(tmp_path / "touch.json")


def test_it_lies_beside_the_result(path: Path) -> None:
    assert path.name == "touch.partial.jsonl"


def test_episodes_come_back_to_the_bit_and_more_are_added(path: Path) -> None:
    begin(path, 0, 1)
    with opened_journal(path, FACTS, resume=True) as journal:
        assert list(journal.played.values()) == [episode(0), episode(1)]
        journal.add(episode(2))
    assert kept(path) == [episode(seed) for seed in range(3)]
    assert path.read_bytes().count(b"\n") == 4


@pytest.mark.parametrize("end", range(1, 40, 3))
def test_the_end_of_a_line_that_was_torn_off_is_ignored_and_written_anew(path: Path, end: int) -> None:
    begin(path, 0, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-end])
    with opened_journal(path, FACTS, resume=True) as journal:
        assert list(journal.played.values()) == [episode(0)]
        journal.add(episode(1))
    assert path.read_bytes() == whole


def test_of_a_torn_first_line_nothing_is_left(path: Path) -> None:
    path.write_bytes(b'{"journal": 1, "evalu')
    begin(path, 3)
    assert kept(path) == [episode(3)]
    path.write_bytes(b'{"journal": 1, "evalu')
    with opened_journal(path, FACTS, resume=True) as journal:
        journal.add(episode(4))
    assert kept(path) == [episode(4)]


def test_one_without_episodes_goes_with_who_began_it(path: Path) -> None:
    begin(path)
    assert not path.exists()
    assert kept(path) == []
    assert not path.exists()


def test_one_that_is_there_is_not_written_over_unasked(path: Path) -> None:
    begin(path, 0, 1)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"holds 2 episodes .* add --resume to go on with it, or delete it"):
        begin(path, 0)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"versions": {"mujoco": "3.4.0"}}, r"versions\.mujoco '3\.3\.0' \(now '3\.4\.0'\)"),
        ({"evaluations": [FACTS["evaluations"][0] | {"controller_weights": "x"}]}, r"weights 'abc' \(now 'x'\)"),
        (
            {"evaluations": [{"config": {"seed": 8000, "core": {"actor_hz": 5.0}}, "controller_weights": "abc"}]},
            r"config\.core\.actor_hz 10\.0 \(now 5\.0\)",
        ),
        ({"evaluations": FACTS["evaluations"] * 2}, r"evaluations 1 \(now 2\)"),
    ],
)
def test_one_of_something_else_is_refused_with_what_differs(path: Path, change: dict[str, Any], told: str) -> None:
    begin(path, 0)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=rf"was begun with .*{told}.*another --json"):
        kept(path, FACTS | change)
    assert path.read_bytes() == before


def test_of_several_evaluations_the_one_that_differs_is_told(path: Path) -> None:
    two = FACTS | {"evaluations": [{"config": {"latency_s": 0.0}}, {"config": {"latency_s": 0.1}}]}
    with opened_journal(path, two, resume=False) as journal:
        journal.add(episode(0))
    other = FACTS | {"evaluations": [{"config": {"latency_s": 0.0}}, {"config": {"latency_s": 0.2}}]}
    with pytest.raises(ConfigError, match=r"begun with evaluation\.2\.config\.latency_s 0\.1 \(now 0\.2\):"):
        kept(path, other)


def test_two_at_once_are_refused(path: Path) -> None:
    with opened_journal(path, FACTS, resume=False) as journal:
        journal.add(episode(0))
        with pytest.raises(ConfigError, match="another evaluation writes"):
            kept(path)
    assert kept(path) == [episode(0)]


def test_an_episode_counts_once(path: Path) -> None:
    begin(path, 0, 1)
    with path.open("ab") as file:
        file.write(path.read_bytes().splitlines(keepends=True)[1])
    assert kept(path) == [episode(0), episode(1)]
    with opened_journal(path, FACTS, resume=True) as journal:
        journal.add(episode(1, reward=0.2))
    with pytest.raises(ConfigError, match="two results of a/b seed 1 that differ"):
        kept(path)


@pytest.mark.parametrize("line", [b"[1]\n", b"nonsense\n", b"{}\n", json.dumps({"episode": {}}).encode() + b"\n"])
def test_a_damaged_line_is_named(path: Path, line: bytes) -> None:
    begin(path, 0)
    with path.open("ab") as file:
        file.write(line)
    with pytest.raises(ConfigError, match="is damaged in line 3"):
        kept(path)


def test_a_number_that_json_does_not_know_is_damage(path: Path) -> None:
    begin(path, 0, 1)
    path.write_text(path.read_text().replace('"reward": 0.1', '"reward": NaN'))
    with pytest.raises(ConfigError, match=r"is damaged in line 2 \(NaN is no number\)"):
        kept(path)
