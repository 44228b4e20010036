"""`dualsys eval --protocol`: what it sets, what it refuses, what it prints and what stands in the result."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.app import cli
from dualsys.app.controller import Controller
from dualsys.app.episode_rules import EpisodeRules
from dualsys.app.evaluate import evaluate, main
from dualsys.app.evaluation import tasks as evaluation_tasks
from dualsys.app.evaluation.averages import protocol_report
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.deviations import deviations
from dualsys.app.evaluation.scene import scene_of
from dualsys.app.evaluation.sweep import Sweep
from dualsys.app.evaluation.tasks import choose_tasks
from dualsys.app.rollout import run_episode
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError
from dualsys.planner.scripted import NullPlanner
from dualsys.settings import CoreConfig
from dualsys.sim_envs.protocols import protocol_called
from dualsys.testing import PoseActor, ReachEnvironment, fake_embodiment

TINY = """
title = "two short episodes"
source = "these tests"
tasks = ["humanoid/touch", "humanoid/pick", "dm_control/cartpole-balance"]
unit = "task"
episodes = 2
first_seed = 8000
horizon_steps = {"humanoid/*" = 3, "dm_control/*" = 7}
settle_steps = 2
success = "return"
groups = {robot = ["humanoid/*"], cart = ["dm_control/*"]}
"""


def tiny(folder: Path) -> str:
    path = folder / "tiny.toml"
    path.write_text(TINY)
    return str(path)


def config_of(task: str, protocol: str, **options: Any) -> EvalConfig:
    return EvalConfig(suite_or_task=task, protocol=protocol, **options)


def tasks_for(config: EvalConfig) -> list[str]:
    return list(choose_tasks(config).names)


def test_it_sets_what_nobody_chose() -> None:
    config = config_of("libero", "openpi-libero")
    assert (config.episodes, config.seed, config.control_hz, config.core.actor_hz) == (50, 7, 20.0, 4.0)
    assert config.rules() == EpisodeRules(success="ever", stop_on_success=True, longest_steps=520, first_listed=7)
    parsed = cli.parse_options("eval", ["humanoid/touch", "--protocol", "humanoid-claims", "--episodes", "200"])
    assert (parsed.episodes, parsed.seed) == (200, 10000)
    assert replace(parsed, planner_latency_s=0.2).seed == 10000


def test_a_frozen_world_executes_the_protocols_rows(tmp_path: Path) -> None:
    assert config_of("libero", "openpi-libero", world="frozen").execution_horizon == 5
    assert config_of("libero", "openpi-libero").execution_horizon is None
    path = tmp_path / "rows.toml"
    path.write_text(TINY.replace("settle_steps = 2", "control_hz = 100.0\nexecution_horizon = 2"))
    options: dict[str, Any] = {"world": "frozen", "episodes": 1, "planner": "null", "actor": "hold"}
    config = config_of("dm_control/cartpole-balance", str(path), **options)
    assert evaluate(config)["config"]["execution_horizon"] == 2


def test_without_one_all_is_as_ever() -> None:
    config = cli.parse_options("eval", ["humanoid/touch"])
    assert (config.episodes, config.seed, config.rules()) == (50, 8000, EpisodeRules())
    assert scene_of(config, "humanoid/touch") == {}


def test_a_rate_that_was_chosen_is_told_from_the_usual_one(tmp_path: Path) -> None:
    """Though it is the same: on the command line, in a file, beside other options of the core."""
    asked = ["libero", "--protocol", "openpi-libero"]
    assert cli.parse_options("eval", [*asked, "--core.chunk-policy", "naive"]).core.actor_hz == 4.0
    with pytest.raises(ConfigError, match=r"--core\.actor-hz 10 contradicts"):
        cli.parse_options("eval", [*asked, "--core.actor-hz", "10"])
    file = tmp_path / "options.toml"
    file.write_text("[eval.core]\nactor_hz = 10.0")
    with pytest.raises(ConfigError, match=r"--core\.actor-hz 10 contradicts"):
        cli.parse_options("eval", [*asked, "--config", str(file)])
    usual = cli.parse_options("eval", ["humanoid/touch"])
    chosen = cli.parse_options("eval", ["humanoid/touch", "--core.actor-hz", "10"])
    assert usual == chosen
    assert json.dumps(usual.plain()) == json.dumps(chosen.plain())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episodes": 51}, "--episodes 51 contradicts the protocol openpi-libero, which has 50 of each task"),
        ({"seed": 8000}, "--seed 8000 contradicts the protocol openpi-libero, which has 7"),
        ({"control_hz": 50.0}, "--control-hz 50 contradicts the protocol openpi-libero, which has 20"),
        ({"core": CoreConfig(actor_hz=5.0)}, "--core.actor-hz 5 contradicts .* has 4: a chunk every 5 rows at 20 Hz"),
        ({"core": CoreConfig(actor_hz=10.0)}, "--core.actor-hz 10 contradicts the protocol openpi-libero, which has 4"),
        ({"world": "frozen", "execution_horizon": 8}, "--execution-horizon 8 contradicts the protocol .* which has 5"),
        ({"group": "spacial"}, "unknown group of openpi-libero 'spacial'. Did you mean 'spatial'"),
        ({"protocol": "openpi"}, "unknown protocol 'openpi'. Did you mean 'openpi-libero'"),
        ({"protocol": "", "group": "spatial"}, "--group spatial is a part of a protocol's tasks: give --protocol"),
    ],
)
def test_what_contradicts_it_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        EvalConfig(**{"suite_or_task": "libero", "protocol": "openpi-libero", **options})


def test_a_task_of_another_protocol_is_refused_before_anything_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "humanoid/touch", "--protocol", "openpi-libero"]) == 2
    assert "humanoid/touch has no task of the protocol openpi-libero, which is about libero/" in capsys.readouterr().err


def test_a_pattern_and_a_group_choose_tasks(tmp_path: Path) -> None:
    anyone: dict[str, Any] = {"planner": "null", "actor": "hold"}
    assert tasks_for(config_of("dm_control/cartpole-*", "", **anyone)) == [
        f"dm_control/cartpole-{name}"
        for name in ("balance", "balance_sparse", "swingup", "swingup_sparse", "three_poles", "two_poles")
    ]
    assert len(tasks_for(config_of("dm_control", "dm_control-benchmarking", **anyone))) == 28
    assert tasks_for(config_of("humanoid", tiny(tmp_path))) == ["humanoid/pick", "humanoid/touch"]
    with pytest.raises(ConfigError, match="humanoid has no task of the group cart of tiny"):
        tasks_for(config_of("humanoid", tiny(tmp_path), group="cart"))
    with pytest.raises(ConfigError, match=r"no task matches 'humanoid/tuch-\*'\. Available: humanoid/bimanual, "):
        tasks_for(config_of("humanoid/tuch-*", ""))


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('"humanoid/pick"', '"humanoid/pck"', "tasks of the protocol tiny: unknown task 'humanoid/pck'. Did you mean "),
        ("dm_control", "dm_contol", "tasks of the protocol tiny: unknown suite 'dm_contol'. Did you mean 'dm_con"),
        ('robot = ["humanoid/*"]', 'robot = ["humanoid/tuch"]', r"groups\.robot of the protocol tiny: unknown task"),
        ("steps = {", 'steps = {"humanoid/pck" = 5, ', "horizon_steps of the protocol tiny: unknown task 'humanoid/p"),
    ],
)
def test_a_task_that_nobody_has_is_refused_in_a_protocol(right: str, wrong: str, said: str, tmp_path: Path) -> None:
    """It would be left out in silence: `humanoid` would be those of the others."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace(right, wrong))
    with pytest.raises(ConfigError, match=said):
        choose_tasks(config_of("humanoid", str(path)))


def test_what_a_checkpoint_does_not_drive_is_left_out_of_a_suite_or_the_suite_refused() -> None:
    mixed = config_of("humanoid", "")
    assert choose_tasks(mixed).left_out == {"humanoid/stand": "unitree-g1"}
    assert "humanoid/stand" not in tasks_for(mixed)
    assert len(tasks_for(mixed)) == 7
    assert "humanoid/stand" in tasks_for(replace(mixed, planner="null", actor="hold"))
    alone = replace(mixed, suite_or_task="humanoid/stand")
    assert choose_tasks(alone).left_out == {}, "its checkpoint says what it is for"
    assert tasks_for(alone) == ["humanoid/stand"]
    with pytest.raises(ConfigError, match=r"none of its 51 tasks is done with unitree-g1-upper, which humanoid-table"):
        tasks_for(config_of("dm_control", ""))


def test_tasks_are_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy elsewhere is asked for its robot there, and each point of a sweep is of the same tasks."""
    asked = []
    look_up = evaluation_tasks.tasks_of

    def noted(suite_or_task: str) -> list[str]:
        asked.append(suite_or_task)
        return look_up(suite_or_task)

    monkeypatch.setattr(evaluation_tasks, "tasks_of", noted)
    options: dict[str, Any] = {"planner": "null", "actor": "hold", "sweep": "actor-latency-s=0,0.1"}
    assert main(config_of("dm_control/cartpole-balance*", tiny(tmp_path), episodes=1, **options)) == 0
    assert asked == ["dm_control/cartpole-balance*"]


def test_protocols_of_the_humanoid_suite_have_the_tasks_they_had() -> None:
    for name in ("humanoid-development", "humanoid-claims"):
        tasks = tasks_for(config_of("humanoid", name))
        assert tasks == [f"humanoid/{task}" for task in ("bimanual", "pick", "pick-with", "point", "sequence", "touch")]


def test_deviations_are_named() -> None:
    whole = config_of("dm_control", "dm_control-benchmarking", planner="null", actor="hold")
    assert deviations(whole, tasks_for(whole)) == []
    part = replace(whole, suite_or_task="dm_control/walker-walk", episodes=3)
    assert deviations(part, tasks_for(part)) == ["3 of 10 episodes of each task", "1 of 28 tasks"]
    assert deviations(config_of("humanoid/touch", "humanoid-claims", perturb=("none",)), ["humanoid/touch"]) == []
    assert deviations(config_of("humanoid/touch", "humanoid-claims", phrasing="held-out"), ["humanoid/touch"]) == [
        "instructions are phrased otherwise: held-out"
    ]
    slower = config_of("humanoid/touch", "humanoid-claims", control_hz=25)
    (told,) = deviations(slower, ["humanoid/touch"])
    assert told.startswith("controlled at 25 Hz instead of the task's own rate")
    graded = config_of("metaworld", "metaworld-mt50-vla", group="hard")
    hard = list(protocol_called("metaworld-mt50-vla").groups["hard"])
    assert deviations(graded, hard) == []
    assert deviations(graded, hard[:2]) == ["2 of 6 tasks of the group hard"]


@pytest.mark.parametrize("task", ["humanoid/touch", "dm_control/cartpole-balance"])
def test_an_evaluation_by_a_protocol_of_ones_own(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, protocol = tmp_path / "result.json", tiny(tmp_path)
    arguments = ["eval", task, "--protocol", protocol, "--episodes", "1", "--planner", "null", "--actor", "hold"]
    assert cli.main([*arguments, "--json", str(file)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("two short episodes", "these tests", "drawn from the seed", "2 steps without action", "8000 to 8000"):
        assert words in printed
    assert printed.count("not the protocol: 1 of 2 episodes of each task") == 2
    report = json.loads(file.read_text())
    told = report["protocol"]
    assert told["definition"] == protocol_called(protocol).model_dump(mode="json")
    assert told["deviations"] == ["1 of 2 episodes of each task"]
    assert list(told["groups"]) == ["robot" if task.startswith("humanoid") else "cart"]
    (result,) = report["tasks"]
    steps = 3 if task.startswith("humanoid") else 7
    assert result["per_episode"][0]["duration_s"] == pytest.approx(steps * (0.02 if steps == 3 else 0.01))
    assert told["average"]["mean_return"] == result["mean_reward"]
    assert report["versions"]["mujoco"]
    assert report["versions"]["reference_frame"]


def test_averages_are_over_tasks_or_over_episodes(tmp_path: Path) -> None:
    def found(task: str, rewards: list[float], successes: int) -> dict[str, Any]:
        count = len(rewards)
        return {
            "task": task,
            "episodes": count,
            "successes": successes,
            "success": successes / count,
            "mean_reward": sum(rewards) / count,
            "per_episode": [{"reward": reward} for reward in rewards],
        }

    tasks = [found("humanoid/touch", [4.0], 1), found("dm_control/cartpole-balance", [1.0, 2.0, 3.0], 0)]
    report = protocol_report(config_of("humanoid", tiny(tmp_path)), tasks)
    assert report is not None
    assert (report["average"]["success"], report["average"]["mean_return"]) == (0.5, 3.0)
    assert report["groups"]["robot"]["success"] == 1.0
    path = tmp_path / "pooled.toml"
    path.write_text(f'averaging = "episodes"\n{TINY}')
    pooled = protocol_report(config_of("humanoid", str(path)), tasks)
    assert pooled is not None
    assert (pooled["average"]["success"], pooled["average"]["mean_return"]) == (0.25, 2.5)


ROBOT, SUBGOAL = fake_embodiment(), SubgoalSpec(num_tokens=1, dim=1)
POSE = np.zeros(ROBOT.num_actions)


def make_controller() -> Controller:
    return Controller(NullPlanner(SUBGOAL), PoseActor(ROBOT, SUBGOAL, POSE))


class Blinking(ReachEnvironment):
    """Solved at one moment, and not any more after it."""

    initial_states = 3

    def __init__(self) -> None:
        super().__init__(ROBOT, POSE)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.start, self.steps = options, 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, self.steps == 6, info

    @property
    def success(self) -> bool:
        return self.steps == 4


@pytest.mark.parametrize(
    ("rules", "success", "steps"),
    [
        (EpisodeRules(), False, 6),
        (EpisodeRules(success="return"), False, 6),
        (EpisodeRules(success="ever"), True, 6),
        (EpisodeRules(success="ever", stop_on_success=True), True, 4),
        (EpisodeRules(success="at-end", stop_on_success=True), True, 4),
    ],
)
def test_a_success_that_passes_counts_where_the_rule_says_so(rules: EpisodeRules, success: bool, steps: int) -> None:
    environment = Blinking()
    result = run_episode(environment, make_controller(), 0, rules=rules)
    assert (result.success, environment.steps) == (success, steps)


def test_an_environment_that_does_not_keep_to_its_horizon_is_refused() -> None:
    with pytest.raises(ConfigError, match="an episode went on after 5 steps, though that is the protocol's horizon"):
        run_episode(Blinking(), make_controller(), 0, rules=EpisodeRules(longest_steps=5))
    result = run_episode(Blinking(), make_controller(), 0, max_seconds=0.0, rules=EpisodeRules(longest_steps=6))
    assert result.duration_s == pytest.approx(6 * 0.02)


@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), np.float32("nan")])
def test_a_reward_that_is_no_number_is_refused_with_where_it_came(odd: float) -> None:
    class Odd(ReachEnvironment):
        steps = 0

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, reward, terminated, truncated, info = super().step(action)
            self.steps += 1
            return observation, odd if self.steps == 3 else reward, terminated, truncated, info

    with pytest.raises(ConfigError, match=rf"step 2 of the episode from seed 7 gave the reward {float(odd)}"):
        run_episode(Odd(ROBOT, POSE), make_controller(), 7)


def test_episodes_start_from_the_list_in_order_and_around() -> None:
    environment, starts = Blinking(), []
    for seed in range(7, 12):
        run_episode(environment, make_controller(), seed, rules=EpisodeRules(first_listed=7))
        starts.append(environment.start)
    assert starts == [{"initial_state": index} for index in (0, 1, 2, 0, 1)]
    with pytest.raises(ConfigError, match="are to start from the task's own list, but it has none"):
        run_episode(ReachEnvironment(ROBOT, POSE), make_controller(), 0, rules=EpisodeRules(first_listed=0))


def test_a_checkpoint_sees_with_its_own_eyes_and_the_report_says_so(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    path.write_text(TINY.replace("settle_steps = 2", "settle_steps = 2\nimage_size = 256"))
    config = config_of("humanoid/touch", str(path))
    assert scene_of(config, "humanoid/touch")["image_size"] == 96
    assert deviations(config, ["humanoid/touch"]) == ["seen as it was trained, by head at 96 pixels"]
    assert scene_of(config, "dm_control/cartpole-balance")["image_size"] == 256
    assert deviations(config, ["dm_control/cartpole-balance"]) == []


def test_a_report_without_a_protocol_says_so() -> None:
    config = EvalConfig(suite_or_task="dm_control/cartpole-balance", episodes=1, planner="null", actor="hold")
    assert evaluate(config)["protocol"] is None


def test_a_frozen_world_executes_as_many_rows_as_the_source() -> None:
    asked: dict[str, Any] = {"suite_or_task": "libero", "protocol": "openpi-libero", "group": "spatial"}
    assert EvalConfig(**asked, world="frozen").execution_horizon == 5
    assert EvalConfig(**asked).execution_horizon is None, "where the world moves, the rate of chunks says it"
    with pytest.raises(ConfigError, match="--execution-horizon 8 contradicts the protocol openpi-libero, which has 5"):
        EvalConfig(**asked, world="frozen", execution_horizon=8)
    sweep = Sweep.of(EvalConfig(**asked, sweep="planner-latency-s=0,0.5", sweep_frozen_world=True))
    assert [point.config.execution_horizon for point in sweep.points] == [None, None, 5]
