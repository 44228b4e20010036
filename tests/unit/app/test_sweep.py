"""Sweeps: which evaluations they are, what they add up to, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualsys.app import cli
from dualsys.app.evaluate import main
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.journal import journal_of
from dualsys.app.evaluation.overdue import require_in_time
from dualsys.app.evaluation.page import write_evaluation_page
from dualsys.app.evaluation.sweep import Sweep
from dualsys.app.evaluation.sweep_report import sweep_figure, sweep_report, sweep_tables
from dualsys.app.evaluation.table import result_table
from dualsys.app.intervals import wilson_interval
from dualsys.errors import ConfigError
from dualsys.sim_envs import make
from dualsys.sim_envs.protocols import protocol_called
from dualsys.timing import LinkConfig


def config(**options: Any) -> EvalConfig:
    return EvalConfig(suite_or_task="humanoid/touch", **options)


def test_a_sweep_is_the_same_evaluation_with_another_value() -> None:
    asked = config(sweep="planner-latency-s=0,0.05,0.5", sweep_frozen_world=True, execution_horizon=4, seed=8100)
    sweep = Sweep.of(asked)
    assert sweep.option == "planner_latency_s"
    assert [point.label for point in sweep.points] == ["0", "0.05", "0.5", "frozen-world"]
    assert [point.place for point in sweep.points] == [0.0, 0.05, 0.5, None]
    *moving, frozen = (point.config for point in sweep.points)
    assert [each.planner_latency_s for each in moving] == [0, 0.05, 0.5]
    with_more = Sweep.of(config(sweep="link.subgoal-s=0,0.1", sweep_frozen_world=True, camera_delay_s=0.05, seed=8100))
    assert with_more.points[-1].config == config(world="frozen", seed=8100), "without what it has no use for"
    assert moving[1] == config(planner_latency_s=0.05, seed=8100), "what `dualsys eval` alone would do"
    assert frozen == config(world="frozen", execution_horizon=4, seed=8100)


def test_distributions_links_and_rates_can_be_swept_over() -> None:
    sweep = Sweep.of(config(sweep="actor-latency-s=0.03;lognormal:0.03,0.02"))
    assert [point.config.actor_latency_s for point in sweep.points] == [0.03, "lognormal:0.03,0.02"]
    assert [point.place for point in sweep.points] == [0.03, 0.03]
    sweep = Sweep.of(config(sweep="link.subgoal-drop=0,0.25"))
    assert [point.config.link.subgoal_drop for point in sweep.points] == [0, 0.25]
    sweep = Sweep.of(config(sweep="planner-hz=1,5"))
    assert [point.config.planner_hz for point in sweep.points] == [1, 5]
    sweep = Sweep.of(config(sweep="core.actor-hz=5,20"))
    assert [point.config.core.actor_hz for point in sweep.points] == [5, 20]
    sweep = Sweep.of(config(sweep="execution-horizon=1,16", world="frozen"))
    assert [point.config.execution_horizon for point in sweep.points] == [1, 16]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sweep": "planner-latency-s"}, "write OPTION=VALUE"),
        ({"sweep": "planner-latency-s=0,,1"}, "write OPTION=VALUE"),
        ({"sweep": "planner-latncy-s=0,1"}, "Did you mean 'planner_latency_s'"),
        ({"sweep": "seed=0,1"}, "unknown option 'seed'"),
        ({"sweep": "planner-latency-s=0,0"}, "a value twice"),
        ({"sweep": "planner-latency-s=0,normal:0.1,0.1"}, "stands a semicolon"),
        ({"sweep": "planner-latency-s=trace:a/b.json;trace:a_b.json"}, "would have one file's name"),
        ({"sweep": "camera-hz=null,10"}, "camera-hz=null: give a number"),
        ({"sweep": "planner-latency-s=0,0.5", "world": "frozen"}, "nothing but execution-horizon has an effect"),
        ({"sweep": "link.subgoal-s=0,0.5", "policy": "ws://here:1"}, "a --policy has no planner of ours"),
        ({"sweep": "planner-hz=1,5", "policy": "ws://here:1"}, "a --policy has no planner of ours"),
        ({"sweep": "planner-latency-s=0,-1"}, "must be at least 0"),
        ({"sweep": "planner-latency-s=0,soon"}, "is no delay"),
        ({"sweep": "link.subgoal-drop=0,1"}, "must be below 1"),
        ({"sweep": "planner-hz=0,1"}, "must be above 0"),
        ({"sweep": "core.actor-hz=0,1"}, "--core.actor-hz 0.0 must be above 0"),
    ],
)
def test_what_is_no_sweep_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Sweep.of(config(**options))


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="--execution-horizon is for --world frozen"):
        config(execution_horizon=4)
    with pytest.raises(ConfigError, match="--sweep-frozen-world is one more point"):
        config(sweep_frozen_world=True)


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (["--planner-latency-s", "0.3"], "--planner-latency-s"),
        (["--camera-delay-s", "0.1", "--planner-hz", "1"], "--planner-hz, --camera-delay-s"),
        (["--link.subgoal-drop", "0.2"], "--link.subgoal-drop"),
        (["--core.actor-hz", "10"], "--core.actor-hz"),
    ],
)
def test_what_a_frozen_world_would_leave_out_is_refused(options: list[str], flags: str) -> None:
    with pytest.raises(ConfigError, match=f"^{flags}: in a frozen world nothing takes time"):
        cli.parse_options("eval", ["humanoid/touch", "--world", "frozen", *options])
    cli.parse_options("eval", ["humanoid/touch", "--world", "frozen", "--core.chunk-policy", "naive"])


def test_delays_that_outlast_the_episodes_are_refused(tmp_path: Path) -> None:
    """By the task's own limit, by a protocol's, at any point of a sweep; before anything is played."""
    trace = tmp_path / "ms.json"
    trace.write_text("[100, 120, 130]")
    idle: dict[str, Any] = {"planner": "null", "actor": "hold"}
    for options, said in (
        ({"planner_latency_s": 120}, r"--planner-latency-s: 120 s on average.*120 ms meant, 0\.12\?"),
        ({"camera_delay_s": f"trace:{trace}"}, "--camera-delay-s: 116.667 s on average"),
        ({"sweep": "link.subgoal-s=0,2,12"}, "--link.subgoal-s: 12 s on average.*is over after 10 s"),
    ):
        with pytest.raises(ConfigError, match=said):
            main(EvalConfig(suite_or_task="dm_control/cartpole-balance", **idle, **options))
    short = tmp_path / "short.toml"
    short.write_text(
        'title = "x"\nsource = "x"\ntasks = ["dm_control/*"]\nunit = "task"\nepisodes = 1\nfirst_seed = 8000\n'
        'horizon_steps = 150\nsuccess = "return"'
    )
    task = "dm_control/cartpole-balance"
    asked = EvalConfig(suite_or_task=task, protocol=str(short), **idle, planner_latency_s=1.6)
    with pytest.raises(ConfigError, match=r"1\.6 s on average, and an episode of .* is over after 1\.5 s"):
        require_in_time([asked], [[task]])
    require_in_time([replace(asked, planner_latency_s=1.4)], [[task]])


@pytest.mark.parametrize("task", ["humanoid/touch", "humanoid/stand", "aloha/insertion", "metaworld/push-v3"])
def test_tasks_say_how_long_an_episode_may_last(task: str) -> None:
    environment: Any = make(task, episode_steps=10, images="on-demand", perturbations=["pushes:mild"])
    assert environment.longest_s == pytest.approx(10 * environment.control_dt_s)
    environment.close()


def _report(outcomes: list[bool]) -> dict[str, Any]:
    successes = sum(outcomes)
    task = {
        "task": "humanoid/touch",
        "successes": successes,
        "episodes": len(outcomes),
        "success": successes / len(outcomes),
        "ci95": list(wilson_interval(successes, len(outcomes))),
        "mean_duration_s": 1.0,
        "mean_reward": 1.0,
        "timing": {},
        "per_episode": [{"seed": seed, "success": success} for seed, success in enumerate(outcomes)],
    }
    return {"tasks": [task], "config": {}, "versions": {"python": "3"}, "timings": {"wall_s": 2.0}}


def test_points_are_compared_pair_by_pair(tmp_path: Path) -> None:
    asked = config(sweep="planner-latency-s=0,0.5", workers=2)
    sweep = Sweep.of(asked)
    points = [_report([True] * 8 + [False] * 2), _report([False] * 4 + [True] * 5 + [False])]
    report = sweep_report(asked, sweep, points)
    (curve,) = report["tasks"]
    first, second = curve["points"]
    assert (first["successes"], second["successes"]) == (8, 5)
    assert first["against_first"]["difference"] == 0.0
    assert second["against_first"]["difference"] == pytest.approx(-0.3)
    low, high = second["against_first"]["ci95"]
    assert low < -0.3 < high
    assert second["against_first"]["mcnemar_p"] == pytest.approx(0.375), "4 to 1"
    assert report["versions"] == {"python": "3"}
    assert [table.row_count for table in sweep_tables(report)] == [2]
    assert (report["timings"]["wall_s"], report["timings"]["workers"]) == (2.0, 2)
    elsewhere = sweep_report(replace(asked, json=tmp_path / "b.json", workers=1), sweep, points)
    assert elsewhere["timings"]["reports"] == {"0": "b.0.json", "0.5": "b.0.5.json"}
    assert {**elsewhere, "timings": 0} == {**report, "timings": 0}, "wherever it is written"


def test_a_single_point_has_nothing_to_be_against(tmp_path: Path) -> None:
    asked = config(sweep="planner-latency-s=0.5")
    report = sweep_report(asked, Sweep.of(asked), [_report([True, False])])
    (table,) = sweep_tables(report)
    assert [str(column.header) for column in table.columns] == ["s", "%", "95 %", "of", "time"]
    assert "against the first" not in write_evaluation_page(report, tmp_path / "page.html").read_text()


def test_where_a_protocol_counts_returns_so_does_its_sweep(tmp_path: Path) -> None:
    asked = EvalConfig(
        suite_or_task="dm_control/walker-walk",
        protocol="dm_control-benchmarking",
        sweep="actor-latency-s=0,0.5",
        sweep_frozen_world=True,
    )
    points = [_report([False] * 3) for _ in range(3)]
    for number, point in enumerate(points):
        average = {"mean_return": 300.0 - 50.0 * number, "successes": 0, "episodes": 3}
        definition = protocol_called(asked.protocol).model_dump(mode="json")
        point["protocol"] = {"definition": definition, "average": average, "deviations": []}
        task = point["tasks"][0]
        for episode, reward in zip(task["per_episode"], (100.0, 300.0, 500.0), strict=True):
            episode["reward"] = reward - 50.0 * number
        task["mean_reward"] = 300.0 - 50.0 * number
    report = sweep_report(asked, Sweep.of(asked), points)
    first, second, _ = (point["return"] for point in report["tasks"][0]["points"])
    assert first["mean"] == 300.0
    assert 100.0 <= first["ci95"][0] < 300.0 < first["ci95"][1] <= 500.0
    assert second["against_first"] == {"mean": -50.0, "ci95": [-50.0, -50.0]}, "episode by episode"
    (table,) = sweep_tables(report)
    cells = [list(column.cells) for column in table.columns]
    assert "return against actor_latency_s" in str(table.title)
    assert cells[1] == ["300.0", "250.0", "200.0"]
    assert cells[5] == ["", "-50.0 (-50.0 to -50.0)", "-100.0 (-100.0 to -100.0)"]
    figure = sweep_figure(report)
    curve, times = figure.axes
    assert curve.get_ylabel() == "mean return, 95 % interval"
    assert list(curve.lines[0].get_ydata()) == [300.0, 250.0]
    assert [list(line.get_ydata()) for line in curve.lines if line.get_linestyle() == "--"] == [[200.0, 200.0]]
    assert times.get_ylabel().startswith("mean time")
    page = write_evaluation_page(report, tmp_path / "page.html").read_text()
    assert "<h2>Return against actor latency s" in page
    assert "-50.0 (-50.0 to -50.0)" in page
    old = json.loads(json.dumps(report))
    for point in old["tasks"][0]["points"]:
        del point["return"]
    assert "success against" in str(sweep_tables(old)[0].title), "of before they were told"


def test_rows_that_chunks_dont_have_are_refused_before_any_episode(tmp_path: Path) -> None:
    file = tmp_path / "touch.json"
    parts: dict[str, Any] = {"planner": "null", "actor": "hold", "episodes": 1000, "json": file}
    for asked in (
        config(sweep="actor-latency-s=0,0.1", sweep_frozen_world=True, execution_horizon=2000, **parts),
        config(sweep="execution-horizon=1,2000,2", world="frozen", **parts),
    ):
        with pytest.raises(ConfigError, match="execution_horizon 2000 is more than the"):
            main(asked)
    assert not file.exists()
    assert not journal_of(file).exists()


@pytest.mark.slow
def test_a_sweep_writes_a_report_for_each_point_a_summary_and_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "touch.json"
    link = LinkConfig(subgoal_s="uniform:0,0.2", subgoal_drop=0.1)
    options: dict[str, Any] = {"episodes": 2, "seed": 8020, "link": link}
    swept = config(sweep="planner-latency-s=0.1;lognormal:0.3,0.1", sweep_frozen_world=True, json=file, **options)
    assert main(swept) == 0
    report = json.loads(file.read_text())
    names = report["timings"]["reports"]
    assert names == {
        "0.1": "touch.0.1.json",
        "lognormal:0.3,0.1": "touch.lognormal_0.3_0.1.json",
        "frozen-world": "touch.frozen-world.json",
    }
    points = report["tasks"][0]["points"]
    for point in points:
        alone = json.loads((tmp_path / names[point["label"]]).read_text())
        assert alone["tasks"][0]["successes"] == point["successes"]
        assert [each["seed"] for each in alone["tasks"][0]["per_episode"]] == [8020, 8021]
        title = str(result_table(alone).title)
        assert "planner" in title or "frozen world" in title
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    again = json.loads((tmp_path / names["lognormal:0.3,0.1"]).read_text())
    assert again["config"]["planner_latency_s"] == "lognormal:0.3,0.1"
    one = tmp_path / "again.json"
    assert main(config(planner_latency_s="lognormal:0.3,0.1", json=one, workers=2, **options)) == 0
    assert json.loads(one.read_text())["tasks"] == again["tasks"], "the same bits in other processes"
