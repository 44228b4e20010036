"""An evaluation's page: whole, without the network, its numbers those of the result, whatever words are in it."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import pytest

from dualsys.app.cli import main
from dualsys.app.evaluate import evaluate
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.page import write_evaluation_page
from dualsys.app.evaluation.picture import success_figure
from dualsys.app.evaluation.table import result_table
from dualsys.errors import ConfigError
from dualsys.sim_envs.protocols import protocol_called

VOID = {"meta", "br", "img", "input", "link", "hr"}
IDLE = ["--planner", "null", "--actor", "hold", "--episodes", "2"]
FAST = ["dm_control/cartpole-balance", *IDLE]


class Page(HTMLParser):
    """Refuses tags that don't close in order; keeps what a browser would fetch, and the words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return evaluate(EvalConfig(suite_or_task=FAST[0], planner="null", actor="hold", episodes=2))


def written(report: dict[str, Any], folder: Path, **more: Any) -> Page:
    return Page(write_evaluation_page(report, folder / "page.html", **more).read_text())


def test_its_numbers_are_the_results(report: dict[str, Any], tmp_path: Path) -> None:
    page = written(report, tmp_path)
    said = " ".join(" ".join(page.words).split())
    (task,) = report["tasks"]
    low, high = task["ci95"]
    assert f"{100 * task['success']:.1f} % {100 * low:.1f} to {100 * high:.1f} % " in said.replace("  ", " ")
    assert f"{task['successes']}/{task['episodes']}" in page.words
    for episode in task["per_episode"]:
        assert str(episode["seed"]) in page.words
        assert f"{episode['duration_s']:.2f} s" in page.words
    for name, value in report["versions"].items():
        assert name in page.words
        assert str(value) in page.words
    assert any(words.startswith("null + hold; ") for words in page.words)
    assert all(each.startswith(("data:", "#")) for each in page.fetched)
    assert not re.search(r"https?://(?!www\.w3\.org|purl\.org|creativecommons)", (tmp_path / "page.html").read_text())


def test_what_was_left_out_is_told(report: dict[str, Any], tmp_path: Path) -> None:
    page = written(report | {"left_out": {"humanoid/stand": "unitree-g1"}}, tmp_path)
    said = " ".join(" ".join(page.words).split())
    assert "Left out, since null + hold doesn't drive their robot: humanoid/stand (unitree-g1)." in said
    assert "doesn't drive" not in " ".join(written(report, tmp_path).words)


def test_words_of_a_task_are_words(report: dict[str, Any], tmp_path: Path) -> None:
    spoiled = json.loads(json.dumps(report))
    spoiled["tasks"][0]["per_episode"][0]["instruction"] = "<script>alert('\"&</script>"
    spoiled["config"]["checkpoint"] = "<b>mine</b>"
    page = written(spoiled, tmp_path)
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "<script>alert('\"&</script>" in page.words


@pytest.mark.slow
def test_eval_writes_it_with_videos_that_play(tmp_path: Path) -> None:
    options = ["--page", str(tmp_path / "a.html"), "--video-dir", str(tmp_path / "films"), "--videos", "1"]
    assert main(["eval", "humanoid/touch", *IDLE, "--json", str(tmp_path / "a.json"), *options]) == 0
    page = Page((tmp_path / "a.html").read_text())
    (data,) = [each for each in page.fetched if each.startswith("data:video/mp4;base64,")]
    (tmp_path / "again.mp4").write_bytes(base64.b64decode(data.partition(",")[2]))
    with av.open(str(tmp_path / "again.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10
    result = json.loads((tmp_path / "a.json").read_text())
    assert any(result["tasks"][0]["per_episode"][0]["instruction"] in words for words in page.words)
    assert "page" not in result["config"]
    assert main(["report", str(tmp_path / "a.json"), "--videos", str(tmp_path / "films")]) == 0
    again = Page((tmp_path / "a.html").read_text())
    assert again.words == page.words


def test_where_returns_count_a_page_tells_them(report: dict[str, Any], tmp_path: Path) -> None:
    returns = [episode["reward"] for episode in report["tasks"][0]["per_episode"]]
    average = {"mean_return": 1.0, "successes": 0, "episodes": 2, "tasks": 1}
    definition = protocol_called("dm_control-benchmarking").model_dump(mode="json")
    by_return = {**report, "protocol": {"definition": definition, "deviations": [], "average": average, "groups": {}}}
    axis, _ = success_figure(by_return).axes
    assert axis.get_xlabel() == "mean return, 95 % interval"
    assert axis.patches[0].get_width() == pytest.approx(sum(returns) / 2)
    table = result_table(by_return)
    assert [str(column.header) for column in table.columns[1:3]] == ["mean return", "95 % interval"]
    assert list(table.columns[1].cells) == [f"{sum(returns) / 2:.1f}"]
    words = written(by_return, tmp_path).words
    assert "Return" in words
    assert f"{sum(returns) / 2:.1f}" in words
    better = json.loads(json.dumps(by_return))
    for episode in better["tasks"][0]["per_episode"]:
        episode["reward"] += 2.5
    compared = written(better, tmp_path, before=by_return).words
    assert "+2.5" in compared
    assert "+2.5 to +2.5" in compared
    assert not any("McNemar" in each for each in compared)
    assert not any("succeeded" in each or each in ("0.0 %", "0/2") for each in words), "nothing is a success here"


def test_a_sweep_has_its_curves(tmp_path: Path) -> None:
    sweep = ["--sweep", "actor-latency-s=0,0.1", "--page", str(tmp_path / "a.html"), "--json", str(tmp_path / "a.json")]
    assert main(["eval", *FAST, *sweep]) == 0
    page = Page((tmp_path / "a.html").read_text())
    result = json.loads((tmp_path / "a.json").read_text())
    for point in result["tasks"][0]["points"]:
        assert point["label"] in page.words
        assert f"{point['successes']}/{point['episodes']}" in page.words
    assert "Success against actor latency s" in page.words


@pytest.mark.slow
def test_a_sweep_by_a_protocol_tells_each_point_s_average_and_shows_its_films(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    facts = {"title": "one", "source": "tests", "tasks": ["humanoid/touch"], "success": "ever"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**facts, "episodes": 1, "first_seed": 8000}.items()]
    mine.write_text("\n".join(lines))
    page, result = tmp_path / "a.html", tmp_path / "a.json"
    told = ["--protocol", str(mine), "--sweep", "actor-latency-s=0,0.1", "--planner", "null", "--actor", "hold"]
    films = ["--video-dir", str(tmp_path / "films"), "--videos", "1"]
    assert main(["eval", "humanoid/touch", *told, *films, "--json", str(result), "--page", str(page)]) == 0
    sweep = json.loads(result.read_text())["sweep"]
    assert list(sweep["averages"]) == ["0", "0.1"]
    assert sweep["averages"]["0"]["episodes"] == 1
    shown = Page(page.read_text())
    assert sum(each.startswith("data:video") for each in shown.fetched) == 2
    assert any("actor_latency_s 0.1: " in words for words in shown.words)


def test_two_results_are_compared_in_pairs(report: dict[str, Any], tmp_path: Path) -> None:
    other = json.loads(json.dumps(report))
    task = other["tasks"][0]
    task["per_episode"][0]["success"] = not task["per_episode"][0]["success"]
    change = 1 if task["per_episode"][0]["success"] else -1
    task["successes"] += change
    page = written(other, tmp_path, before=report)
    assert f"{50.0 * change:+.1f}" in page.words
    task["per_episode"][1]["seed"] += 1
    with pytest.raises(ConfigError, match=r"seed 8001 is beside seed 8002: episodes must come in pairs. Evaluate both"):
        written(other, tmp_path, before=report)
    del task["per_episode"][1]
    with pytest.raises(ConfigError, match=r"balance: 2 episodes are beside 1: they must come in pairs\. Evaluate both"):
        written(other, tmp_path, before=report)
    task["task"] = "dm_control/cartpole-swingup"
    with pytest.raises(ConfigError, match="nothing to compare: the first is of dm_control/cartpole-balance, "):
        written(other, tmp_path, before=report)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nowhere.json"], "nowhere.json cannot be read: No such file or directory; `dualsys eval TASK"),
        (["report", "a.json", "b.json", "c.json"], "a page is of one training, or of one or two evaluations"),
        (["report", "folder", "--page", "x.html"], "--page is of an evaluation"),
        (["eval", *FAST, "--page", "x.htm"], "--page x.htm must be a file of the name NAME.html"),
    ],
)
def test_what_no_page_can_be_of(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_sweep_is_compared_with_nothing(report: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to compare: the first is a sweep, whose points are evaluations"):
        written(report, tmp_path, before=report | {"sweep": {"option": "planner_hz", "points": []}})


def test_a_file_that_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "half.json").write_text('{"tasks": [')
    assert main(["report", str(tmp_path / "half.json")]) == 2
    said = capsys.readouterr().err
    assert "half.json is no file that dualsys eval --json wrote, or a part of one" in said
    assert "dataset" not in said
    (tmp_path / "a.json").write_text('{"tasks": []}')
    assert main(["report", str(tmp_path / "a.json")]) == 2
    assert "it lacks tasks, config or versions" in capsys.readouterr().err
