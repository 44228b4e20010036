"""Videos of an evaluation's episodes: as many as were asked for, and one that can't be made costs nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import av
import pytest

from dualsys.app.evaluate import main
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.films import Films, film_all
from dualsys.errors import CannotWrite

TASK = "dm_control/cartpole-balance"
PROTOCOL = """
title = "short"
source = "these tests"
tasks = ["dm_control/*"]
unit = "task"
episodes = 3
first_seed = 8000
horizon_steps = 6
success = "return"
"""


@pytest.fixture
def config(tmp_path: Path) -> EvalConfig:
    protocol = tmp_path / "short.toml"
    protocol.write_text(PROTOCOL)
    return EvalConfig(
        suite_or_task=TASK,
        protocol=str(protocol),
        planner="null",
        actor="hold",
        videos=2,
        video_dir=tmp_path / "films",
        page=tmp_path / "page.html",
        json=tmp_path / "result.json",
    )


def film(config: EvalConfig, seed: int, outcome: str = "failure") -> Path:
    assert config.video_dir is not None
    return config.video_dir / f"dm_control-cartpole-balance-{seed}-{outcome}.mp4"


def test_a_film_plays_as_fast_as_its_episode_went(config: EvalConfig, tmp_path: Path) -> None:
    """At 40 Hz every second picture is taken: 20 a second, where 25 were aimed at."""
    assert main(replace(config, suite_or_task="dm_control/walker-walk", episodes=1, videos=1)) == 0
    (path,) = (tmp_path / "films").glob("*.mp4")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 20
        assert sum(1 for _ in container.decode(stream)) == 3 + 10


def test_a_film_that_fails_costs_no_other_and_no_episode(
    config: EvalConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(config, 8000).mkdir(parents=True)  # nothing can be put in its place
    with pytest.raises(CannotWrite, match="directory"):
        main(config)
    assert f"no film of {TASK} seed 8000: cannot write" in capsys.readouterr().err
    assert film(config, 8001).is_file()
    assert not film(config, 8002).exists(), "two were asked for"
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:video/mp4") == 1
    assert not (tmp_path / "result.json").exists()
    film(config, 8000).rmdir()
    assert main(replace(config, resume=True)) == 0
    report = json.loads((tmp_path / "result.json").read_text())
    assert report["timings"]["episodes_kept"] == 3
    with av.open(str(film(config, 8000))) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10
    assert not list((tmp_path / "films").glob(".*")), "nothing half made"


def test_a_film_that_ends_otherwise_says_so(config: EvalConfig) -> None:
    """As one of a policy that draws at random may."""
    episode = {"seed": 8001, "success": True, "instruction": "balance", "duration_s": 1.0}
    report = {"tasks": [{"task": TASK, "per_episode": [episode]}]}
    films = film_all([config], [report], ["planner_hz 5"])
    told = "planner_hz 5: balance (1.00 s). Filmed, it ended otherwise: failure"
    assert films == Films(shown={film(config, 8001, "success"): told}, failures=[])
    assert film_all([replace(config, video_dir=None)], [report]) == Films()
