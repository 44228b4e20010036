"""What a result is of: files that options name count by what stands in them, and one that is replaced is noticed."""

import json
from pathlib import Path
from typing import Any

import pytest

from dualsys.app import cli
from dualsys.app.evaluate import evaluate, evaluate_all
from dualsys.app.evaluation import episodes
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.identity import Identity
from dualsys.app.evaluation.table import result_table
from dualsys.app.evaluation.watched import Watched
from dualsys.app.outside_policy import policy_facts
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.app.who_drives import who_drives
from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError, ConfigError
from tests.unit.actor.policy_servers import groot_server, openpi_server

TASK = "dm_control/cartpole-balance"
PROTOCOL = """
title = "short"
source = "these tests"
tasks = ["dm_control/*"]
unit = "task"
episodes = 2
first_seed = 8000
horizon_steps = 5
success = "return"
"""
KEYS = '[state]\n"{name}" = ":"\n'


@pytest.fixture
def config(tmp_path: Path) -> EvalConfig:
    protocol, trace = tmp_path / "short.toml", tmp_path / "delays.json"
    protocol.write_text(PROTOCOL)
    trace.write_text("[0.01, 0.02]")
    return EvalConfig(
        suite_or_task=TASK,
        protocol=str(protocol),
        planner="null",
        actor="hold",
        actor_latency_s=f"trace:{trace}",
    )


def interrupted(config: EvalConfig, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play one of its episodes, and no more."""
    played: list[EpisodeResult] = []

    def play_one(*parts: Any, **options: Any) -> EpisodeResult:
        if played:
            raise KeyboardInterrupt
        played.append(run_episode(*parts, **options))
        return played[0]

    with monkeypatch.context() as patch:
        patch.setattr(episodes, "run_episode", play_one)
        with pytest.raises(KeyboardInterrupt):
            evaluate_all([config], journal=journal)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("short.toml", PROTOCOL.replace("= 5", "= 6"), r"protocol\.horizon_steps 5 \(now 6\)"),
        ("delays.json", "[0.01, 0.03]", r"traces\.actor_latency_s\.digest .*\(now 'sha256:"),
    ],
    ids=["protocol", "trace"],
)
def test_a_file_that_was_replaced_since_is_no_file_to_go_on_with(
    config: EvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, told: str
) -> None:
    journal = tmp_path / "one.partial.jsonl"
    interrupted(config, journal, monkeypatch)
    before = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigError, match=f"was begun with .*{told}"):
        evaluate_all([config], journal=journal, resume=True)
    (tmp_path / file).write_text(before)
    (report,) = evaluate_all([config], journal=journal, resume=True)
    assert report["timings"]["episodes_kept"] == 1


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("short.toml", PROTOCOL.replace("= 5", "= 6"), "protocol.horizon_steps"),
        ("delays.json", "[0.01, 0.03]", "traces.actor_latency_s.digest"),
    ],
    ids=["protocol", "trace"],
)
def test_a_file_that_is_replaced_meanwhile_ends_it_and_no_episode_of_that_is_kept(
    config: EvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, told: str
) -> None:
    journal = tmp_path / "one.partial.jsonl"

    def replace_meanwhile(environment: Any, controller: Any, seed: int, **options: Any) -> EpisodeResult:
        if seed == 8001:
            (tmp_path / file).write_text(text)
        return run_episode(environment, controller, seed, **options)

    monkeypatch.setattr(episodes, "run_episode", replace_meanwhile)
    with pytest.raises(ConfigError, match=rf"cartpole-balance was begun with {told} .* while episodes were played"):
        evaluate_all([config], journal=journal)
    kept = [json.loads(line)["seed"] for line in journal.read_text().splitlines()[1:]]
    assert kept == [8000]


@pytest.mark.parametrize("sweep", [(), ("--sweep", "actor-latency-s=0,0.1")], ids=["alone", "sweep"])
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sweep: tuple[str, ...]
) -> None:
    played: list[EpisodeResult] = []

    def play_two(*parts: Any, **options: Any) -> EpisodeResult:
        if len(played) == 2:
            raise KeyboardInterrupt
        played.append(run_episode(*parts, max_seconds=0.1, **options))
        return played[-1]

    monkeypatch.setattr(episodes, "run_episode", play_two)
    asked = ["eval", TASK, "--planner", "null", "--actor", "hold", "--episodes", "3", *sweep]
    assert cli.main([*asked, "--json", str(tmp_path / "one.json")]) == 130
    said = f"2 of {6 if sweep else 3} episodes are kept; the same command with --resume goes on"
    assert capsys.readouterr().err.splitlines()[-1] == f"dualsys: interrupted: {said}"


def test_a_protocol_that_was_edited_is_played_as_it_stands(config: EvalConfig, tmp_path: Path) -> None:
    assert evaluate(config)["tasks"][0]["mean_duration_s"] == pytest.approx(0.05)
    (tmp_path / "short.toml").write_text(PROTOCOL.replace("= 5", "= 8"))
    report = evaluate(config)
    assert report["tasks"][0]["mean_duration_s"] == pytest.approx(0.08)
    assert report["protocol"]["definition"]["horizon_steps"] == 8


def test_keys_of_a_policy_count_by_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(KEYS.format(name="one"))
    with openpi_server(lambda message: None) as address:
        config = EvalConfig(suite_or_task=TASK, policy=address, policy_keys=str(file))
        was = Identity.of(config)
        assert was.policy_keys["state"] == {"one": ":"}
        file.write_text(KEYS.format(name="other"))
        assert was.differing(Identity.of(config)) == "policy_keys.state.one ':' (now not told), " + (
            "policy_keys.state.other not told (now ':')"
        )


@pytest.mark.parametrize("rows", [[0, 1, 2], []])
def test_of_a_groot_policy_is_known_what_its_server_tells(rows: list[int]) -> None:
    modality = {"modality_keys": ["arm"], "delta_indices": rows}
    with groot_server(lambda asked: {"action": modality} if asked["endpoint"] == "get_modality_config" else {}) as at:
        told = policy_facts(at)
        digest = told.pop("digest")
        assert len(digest) == 16
        assert told == {"layout": "n1.6", "horizon": len(rows) or None, "modalities": {"action": modality}}
        config = EvalConfig(suite_or_task=TASK, policy=at)
        identity = Identity.of(config)
        assert (identity.policy["digest"], identity.weights, config.plain()["checkpoint"]) == (digest, "", "")
        watched = Watched([config], [identity])
        watched.require_unchanged(closely=True)
        modality["modality_keys"] = ["leg"]
        with pytest.raises(CheckpointError, match=r"says other things of itself after .*policy\.modalities\.action"):
            watched.require_unchanged(closely=True)
    with groot_server(lambda asked: {}) as at:
        told = policy_facts(at)
        assert (told["layout"], told["horizon"], told["modalities"]) == (None, None, {})


def test_parts_that_do_nothing_are_no_checkpoint_s() -> None:
    """Whether its robot is the task's or not: neither part reads weights."""
    idle: dict[str, Any] = {"planner": "null", "actor": "hold", "episodes": 1}
    report = evaluate(EvalConfig(suite_or_task=TASK, **idle))
    assert (report["controller_weights"], report["config"]["checkpoint"]) == ("", "")
    assert str(result_table(report).title).startswith("null + hold: ")
    assert who_drives(report["config"] | {"checkpoint": "humanoid-table"}) == "null + hold", "results of before"
    assert Identity.of(EvalConfig(suite_or_task="humanoid/touch", **idle)).weights == ""
    own = EvalConfig(suite_or_task="humanoid/touch", planner="null")
    assert Identity.of(own).weights == Checkpoint.open("humanoid-table").weights_digest()
    assert who_drives(own.plain()) == "humanoid-table with planner null"


@pytest.mark.parametrize("option", [{"actor_backend": "onnx"}, {"planner_precision": "original"}])
def test_parts_that_do_nothing_have_neither_a_backend_nor_a_precision(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"has no backend 'onnx'|plans in its own precision"):
        evaluate(EvalConfig(suite_or_task=TASK, planner="null", actor="hold", episodes=1, **option))


def test_a_checkpoint_beside_a_policy_is_refused() -> None:
    with pytest.raises(ConfigError, match="--checkpoint: a --policy is both systems of another program"):
        EvalConfig(suite_or_task=TASK, policy="ws://gpu:8000", checkpoint="checkpoints/mine")
