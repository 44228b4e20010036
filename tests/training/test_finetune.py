"""`dualsys finetune`, and what it is made of, through the command line: a tiny base learns a task it has not seen."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dualsys.app import cli
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.train import build_learner
from dualsys.app.training.display import TrainingDisplay
from dualsys.app.training.episode_split import split_episodes
from dualsys.app.training.sampler import TrainingData
from dualsys.app.training.subgoal_cache import subgoals_of_frames
from dualsys.app.training.trainer import Trainer
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.messages import Observation
from dualsys.planner.vlm_planner import VLMPlanner
from tests.training.training_parts import OPTIONS, curve, last_command, record_touch

SMALL = ["--steps", "4", "--validate-every", "2", "--batch-size", "4"]
pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A base that has seen touching, and demonstrations of pointing."""

    old: Path
    new: Path
    base: Path
    other_base: Path
    """Of the same data, with other weights."""

    def finetune(self, out: Path, *more: str) -> int:
        arguments = ["--data", str(self.new), "--checkpoint", str(self.base), "--out", str(out), *SMALL]
        return cli.main(["finetune", *arguments, *more])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    old = record_touch(folder / "touch")
    new = folder / "point"
    record_demonstrations(DemosConfig(task="humanoid/point", episodes=3, out=new, tail_s=0.0))
    for name, seed in (("base", "0"), ("other", "1")):
        options = ["--data", str(old), "--out", str(folder / name), *OPTIONS, "--seed", seed, "--name", name]
        assert cli.main(["train", *options]) == 0
    return Bench(old=old, new=new, base=folder / "base", other_base=folder / "other")


def weights(checkpoint: Path, part: str) -> dict[str, Tensor]:
    return load_file(checkpoint / f"{part}.safetensors")


def same(ones: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return ones.keys() == others.keys() and all(torch.equal(value, others[name]) for name, value in ones.items())


def planner_of(checkpoint: Path) -> VLMPlanner:
    return VLMPlanner.from_checkpoint(Checkpoint.open(checkpoint))


def acts(checkpoint: Path) -> bool:
    """Whether the actor commands the robot on a subgoal of the planner's."""
    sent = last_command(checkpoint, "humanoid/point")
    return sent.source == "actor" and sent.subgoal_sequence >= 0


@pytest.mark.parametrize("parts", ["all", "lora"])
def test_statistics_and_words_of_the_base_are_kept_and_new_words_added(
    bench: Bench, tmp_path: Path, parts: str
) -> None:
    out = tmp_path / "out"
    assert bench.finetune(out, "--parts", parts, "--name", "pointing") == 0
    assert (out / "statistics.json").read_bytes() == (bench.base / "statistics.json").read_bytes()
    known, grown = planner_of(bench.base).tokenizer, planner_of(out).tokenizer
    old, new = (DemonstrationDataset.open(path).instructions for path in (bench.old, bench.new))
    new = tuple(new[episode] for episode in split_episodes(np.zeros(len(new), int), 0.1, 0).training)
    assert [grown.encode(text) for text in old] == [known.encode(text) for text in old]
    assert all(len(grown.encode(text, add_special_tokens=False)) == len(text.split()) for text in new)
    assert any(len(known.encode(text, add_special_tokens=False)) > len(text.split()) for text in new)
    manifest = Checkpoint.open(out).manifest
    assert manifest.name == "pointing"
    assert manifest.actor.config == Checkpoint.open(bench.base).manifest.actor.config
    assert manifest.subgoal.schema_id != Checkpoint.open(bench.base).manifest.subgoal.schema_id
    for part in ("planner", "actor"):
        assert not same(weights(out, part), weights(bench.base, part))
    assert acts(out)


def test_the_first_step_of_a_finetuning_starts_from_the_base(bench: Bench, tmp_path: Path) -> None:
    """Trained at a rate of nothing, all that the base knew is as it was, and what is fresh are rows of new words."""
    out = tmp_path / "out"
    assert bench.finetune(out, "--learning-rate", "0") == 0
    assert same(weights(out, "actor"), weights(bench.base, "actor"))
    before, after = weights(bench.base, "planner"), weights(out, "planner")
    assert before.keys() == after.keys()
    grown = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert len(grown) <= 1
    for name in grown:
        assert torch.equal(after[name][: len(before[name])], before[name])


def test_a_planner_that_is_kept_stays_the_base_s_to_the_bit(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert bench.finetune(out, "--parts", "actor") == 0
    assert same(weights(out, "planner"), weights(bench.base, "planner"))
    assert not same(weights(out, "actor"), weights(bench.base, "actor"))
    assert (out / "tokenizer/tokenizer.json").read_bytes() == (bench.base / "tokenizer/tokenizer.json").read_bytes()
    assert Checkpoint.open(out).manifest.subgoal == Checkpoint.open(bench.base).manifest.subgoal
    assert acts(out)


def test_subgoals_are_what_the_planner_says_and_computed_once(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    cache = out / "training/subgoals.npy"

    def started_again(*more: str) -> str:
        for file in ("training/state.pt", "config.json"):  # a checkpoint that is there is not trained over
            (out / file).unlink(missing_ok=True)
        capsys.readouterr()
        assert bench.finetune(out, "--parts", "actor", *more) == 0
        return capsys.readouterr().out

    data = DemonstrationDataset.open(bench.new)
    assert f"subgoals of {len(data.frames)} of {len(data.frames)} frames" in started_again()
    kept = np.load(cache)
    planner = planner_of(bench.base)
    for row in (0, len(data) // 2, len(data) - 1):
        image, words = data.frames[data.frame_of_row[row]], data.instructions[data.episode_of_row[row]]
        observation = Observation(stamp_s=0.0, state=data.states[row], images={"head": image}, instruction=words)
        np.testing.assert_allclose(kept[data.frame_of_row[row]], planner.plan(observation).tokens, atol=1e-5)
    written_ns = cache.stat().st_mtime_ns
    assert "subgoals of" not in started_again()
    assert cache.stat().st_mtime_ns == written_ns
    assert "subgoals of" in started_again("--checkpoint", str(bench.other_base))
    assert not np.allclose(np.load(cache), kept, atol=1e-3)


def test_other_frames_have_other_subgoals_though_there_are_as_many(bench: Bench, tmp_path: Path) -> None:
    """The same seeds under another lamp: as many frames, the same words."""
    lit = tmp_path / "lit"
    record_demonstrations(
        DemosConfig(task="humanoid/point", episodes=3, out=lit, tail_s=0.0, randomization="wide", noise_rad=0.01)
    )
    ones, others = (TrainingData.of(DemonstrationDataset.open(path), "head") for path in (bench.new, lit))
    assert len(ones.frames) == len(others.frames)
    assert ones.instructions == others.instructions
    planner, told = planner_of(bench.base), list[str]()
    kept = np.array(subgoals_of_frames(planner, ones, tmp_path, told.append))
    again = np.array(subgoals_of_frames(planner, ones, tmp_path, told.append))
    assert np.array_equal(kept, again)
    assert len(told) == 1
    anew = subgoals_of_frames(planner, others, tmp_path, told.append)
    assert len(told) == 2
    assert not np.allclose(anew, kept, atol=1e-4)


def test_merged_adapters_have_the_layout_of_any_checkpoint(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert bench.finetune(out, "--parts", "lora", "--lora-rank", "2", "--learning-rate", "0.05") == 0
    for part in ("planner", "actor"):
        before, after = weights(bench.base, part), weights(out, part)
        assert before.keys() == after.keys()
        assert not [name for name in after if "lora" in name or "base_layer" in name]
        changed = {name: after[name] - before[name] for name in before if after[name].shape == before[name].shape}
        # What an adapter adds to a matrix has its rank.
        adapted = [name for name, change in changed.items() if change.ndim == 2 and change.abs().max() > 1e-4]
        low = [name for name in adapted if torch.linalg.matrix_rank(changed[name].double(), rtol=1e-4) <= 2]
        assert len(low) > 5
        assert all("embed" in name or "_in" in name or "_out" in name for name in set(adapted) - set(low))
    assert Checkpoint.open(out).manifest.training["config"]["lora_rank"] == 2


@pytest.mark.parametrize("parts", ["all", "actor", "lora"])
def test_a_finetuning_that_was_stopped_goes_on_to_the_same_bits(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert bench.finetune(whole, "--parts", parts) == 0
    step = Trainer.step

    def stop_at_the_fourth(self: Trainer, number: int) -> dict[str, float]:
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", stop_at_the_fourth)
    assert bench.finetune(cut, "--parts", parts) == 130
    monkeypatch.setattr(Trainer, "step", step)
    assert len(curve(cut)) == 1
    assert bench.finetune(cut, "--parts", parts, "--resume") == 0
    assert curve(cut) == curve(whole)
    for part in ("planner", "actor"):
        assert same(weights(cut, part), weights(whole, part))


def test_other_weights_under_the_base_s_name_are_not_gone_on_with(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, namesake = tmp_path / "out", tmp_path / bench.base.name
    assert bench.finetune(out) == 0
    shutil.copytree(bench.base, namesake)
    assert bench.finetune(out, "--checkpoint", str(namesake), "--resume") == 0
    shutil.copyfile(bench.other_base / "actor.safetensors", namesake / "actor.safetensors")
    capsys.readouterr()
    assert bench.finetune(out, "--checkpoint", str(namesake), "--resume") == 2
    was, now = (Checkpoint.open(path).weights_digest() for path in (bench.base, namesake))
    assert f"was trained with weights of --init '{was}' (now '{now}')" in capsys.readouterr().err


def test_old_tasks_are_rehearsed_in_their_share(bench: Bench, tmp_path: Path) -> None:
    options = ["--data", str(bench.new), "--checkpoint", str(bench.base), "--out", str(tmp_path / "out")]
    rehearsed = ["--rehearse", str(bench.old), "--rehearse-share", "0.3", "--batch-size", "1000"]
    config = cli.parse_options("finetune", [*options, *rehearsed]).training()
    data = DemonstrationDataset.open(config.data)
    episodes = split_episodes(data.folder_of_episode, config.validation_fraction, config.seed)
    with TrainingDisplay(steps=1, quiet=True) as display:
        trainer = Trainer(
            config, build_learner(config, data, episodes.training, print), data, episodes, display=display
        )
    old = set(DemonstrationDataset.open(bench.old).instructions)
    drawn = [text in old for step in range(4) for text in trainer.training.draw(step).instructions]
    assert abs(np.mean(drawn) - 0.3) < 0.05  # almost seven standard deviations of 4000 draws
    assert trainer.validation_of_each.keys() == {bench.old.name, bench.new.name}
    for name, sampler in trainer.validation_of_each.items():
        assert {text in old for text in sampler.draw(0).instructions} == {name == bench.old.name}
    assert bench.finetune(tmp_path / "out", "--rehearse", str(bench.old)) == 0
    training = Checkpoint.open(tmp_path / "out").manifest.training
    assert training["config"]["data_shares"] == [0.5, 0.5]
    assert [source["task"] for source in training["data"]] == ["humanoid/point", "humanoid/touch"]


def test_a_planner_alone_is_taken_for_an_actor_of_another_shape(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = [
        "--data",
        str(bench.new),
        "--out",
        str(out),
        *SMALL,
        "--init",
        str(bench.base),
        "--init-parts",
        "planner",
    ]
    assert cli.main(["train", *options, "--train", "actor", "--actor.width", "32", "--actor.depth", "1"]) == 0
    assert same(weights(out, "planner"), weights(bench.base, "planner"))
    assert Checkpoint.open(out).manifest.actor.config["width"] == 32
    assert (out / "statistics.json").read_bytes() != (bench.base / "statistics.json").read_bytes()
    assert acts(out)


def test_what_is_not_known_is_left_out_of_the_curve(bench: Bench, tmp_path: Path) -> None:
    """A planner that is kept is asked for no position: NaN there, which is no JSON."""
    out = tmp_path / "out"
    assert bench.finetune(out, "--parts", "actor") == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    files = [out / "training/log.jsonl", out / "training/starts.jsonl"]
    texts = [line for file in files for line in file.read_text().splitlines()] + [(out / "config.json").read_text()]
    records = [json.loads(text, parse_constant=refuse) for text in texts]
    assert not any("position_error_m" in key for record in records for key in record)
    assert all("flow" in record for record in curve(out))
    assert "nan" not in (out / "training/report.html").read_text().lower().split("<svg")[0]
    whole = curve(bench.base)[-1]
    assert whole["position_error_m"] > 0
    assert whole["validation_position_error_m"] > 0


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_base_that_is_not_there_or_of_another_robot_is_one_line(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], make_checkpoint: Callable[..., Path]
) -> None:
    options = ["finetune", "--data", str(bench.new), "--out", str(tmp_path / "out"), *SMALL, "--checkpoint"]
    assert "unknown checkpoint 'humanoid-tabel'" in said([*options, "humanoid-tabel"], capsys)
    dataset = tmp_path / "point"
    shutil.copytree(bench.new, dataset)
    info = json.loads((dataset / "meta/info.json").read_text())
    info["dualsys"]["embodiment"]["name"] = "another-robot"
    (dataset / "meta/info.json").write_text(json.dumps(info))
    other = ["finetune", "--data", str(dataset), "--out", str(tmp_path / "out"), *SMALL]
    line = said([*other, "--checkpoint", str(bench.base)], capsys)
    assert "is for embodiment 'unitree-g1-upper'" in line
    assert "not for 'another-robot'" in line
    assert not (tmp_path / "out/config.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--parts", "lora", "--lora-rank", "0"], "--lora-rank must be at least 1, got 0"),
        (["--rehearse-share", "1"], "--rehearse-share must be between 0 and 1"),
        (["--steps", "0"], "--steps must be at least 1"),
    ],
)
def test_options_that_mean_nothing(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    line = said(["finetune", "--data", str(bench.new), "--out", str(tmp_path / "out"), *SMALL, *options], capsys)
    assert message in line


def test_adapters_without_peft_say_what_to_install(bench: Bench, tmp_path: Path) -> None:
    program = "import sys; sys.modules['peft'] = None; from dualsys.app.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["--data", str(bench.new), "--checkpoint", str(bench.base), "--out", str(tmp_path / "out"), *SMALL]
    command = [sys.executable, "-c", program, "finetune", *arguments, "--parts", "lora"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 2
    assert done.stderr == "dualsys: adapters (LoRA) need peft; install it with: pip install 'dualsys[finetune]'\n"
