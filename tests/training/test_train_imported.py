"""The actor of an imported controller learns with its planner kept: pi0, SmolVLA and GR00T N1.7, small."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dualsys.app import cli
from dualsys.app.controller import Controller
from dualsys.app.train import build_learner
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.frozen_learner import FrozenLearner
from dualsys.app.training.frozen_planner import FrozenPlanner
from dualsys.app.training.frozen_subgoals import FrozenSubgoals
from dualsys.app.training.planner_views import PlannerViews
from dualsys.app.training.sampler import Batch, BatchSampler, even_delays
from dualsys.app.training.share import WHOLE, Share
from dualsys.app.training.trainer import Trainer
from dualsys.checkpoint import Checkpoint
from dualsys.data import DatasetWriter, DemonstrationDataset
from dualsys.data.episode import CameraTrack, Episode
from dualsys.data.info import Provenance
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import CheckpointError, ConfigError
from tests.parity.published_folders import WORDS, groot_folder, lerobot_folder, tokenizer_folder
from tests.training.training_parts import curve

FOLDERS: dict[str, tuple[Callable[[Path, str], Path], str]] = {
    "pi0": (lerobot_folder, "lerobot_pi0"),
    "smolvla": (lerobot_folder, "lerobot_smolvla_special"),
    "groot": (groot_folder, "lerobot_groot_n1_7"),
}
SMALL = ["--batch-size", "2", "--learning-rate", "1e-3", "--steps", "10", "--validate-every", "5"]
FPS = 20


class Stopped(Exception):
    """Of a training, in its midst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An imported controller, and demonstrations of its robot."""

    base: Path
    data: Path

    def config(self, out: Path, **changes: Any) -> TrainConfig:
        return TrainConfig(data=(self.data,), out=out, init=str(self.base), train="actor", batch_size=2, **changes)

    def finetune(self, out: Path, *more: str) -> int:
        told = ["--data", str(self.data), "--checkpoint", str(self.base), "--out", str(out), "--parts", "actor"]
        return cli.main(["finetune", *told, *SMALL, *more])


def record(folder: Path, robot: EmbodimentSpec, fps: int = FPS) -> Path:
    """Two episodes, of which each frame is shown in two rows."""
    writer = DatasetWriter(folder, robot, fps=fps)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        rows, frames = 12, 6
        tracks = {
            camera.name: CameraTrack(
                frames=rng.integers(0, 256, (frames, camera.height, camera.width, 3), dtype=np.uint8),
                frame_of_row=np.arange(rows) // 2,
                stamps_s=np.arange(frames) * 2.0 / fps,
            )
            for camera in robot.cameras
        }
        way = np.linspace(-0.5, 0.5, rows)[:, None].astype(np.float32)
        episode = Episode(
            seed=seed,
            instruction=WORDS[seed],
            states=np.repeat(way, robot.num_states, axis=1),
            actions=np.repeat(way + 0.1, robot.num_actions, axis=1),
            cameras=tracks,
        )
        writer.stage(episode)
    writer.finish([0, 1], Provenance(task="test/way", expert="none", embodiment=robot, attempted=2, settings={}))
    return folder


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bench]:
    root = tmp_path_factory.mktemp("imported")
    words = tokenizer_folder(root / "words")
    made = {}
    for family, (build, name) in FOLDERS.items():
        base = root / family
        options = ["--out", str(base), "--tokenizer", str(words), "--rate-hz", str(FPS)]
        assert cli.main(["import", str(build(root / f"{family}-published", name)), *options]) == 0
        robot = Checkpoint.open(base).manifest.embodiment
        made[family] = Bench(base=base, data=record(root / f"{family}-data", robot))
    return made


def learner_of(config: TrainConfig) -> FrozenLearner:
    data = DemonstrationDataset.open(config.data)
    learner = build_learner(config, data, np.arange(data.num_episodes), print)
    assert isinstance(learner, FrozenLearner)
    return learner


def batch_of(learner: FrozenLearner, config: TrainConfig, share: Share = WHOLE) -> Batch:
    data = learner.reads(DemonstrationDataset.open(config.data))
    sampler = BatchSampler(
        data=data,
        episodes=np.arange(2),
        horizon=learner.actor.config.horizon,
        frames_per_batch=4,
        moments_per_frame=2,
        delays_rows=even_delays(0.2, 1 / FPS),
        seed=0,
        shares=np.zeros(1),
    )
    return sampler.draw(0, share)


def loss_of(bench: Bench, controller: Path) -> float:
    """Of the same batch and draws, whatever the weights."""
    config = bench.config(controller)
    learner = learner_of(replace(config, init=str(controller))).eval()
    return flow(learner, batch_of(learner, config))


@torch.no_grad()
def flow(learner: FrozenLearner, batch: Batch, share: Share = WHOLE) -> float:
    return float(learner.losses(batch, torch.Generator().manual_seed(0), augment=False, share=share).flow)


@pytest.mark.parametrize("family", list(FOLDERS))
def test_ten_steps_of_an_imported_actor(benches: dict[str, Bench], tmp_path: Path, family: str) -> None:
    bench, out = benches[family], tmp_path / "out"
    assert bench.finetune(out) == 0
    assert loss_of(bench, out) < 0.98 * loss_of(bench, bench.base)
    for file in ("planner.safetensors", "statistics.json", "tokenizer/tokenizer.json"):
        assert (out / file).read_bytes() == (bench.base / file).read_bytes()
    before, after = (load_file(folder / "actor.safetensors") for folder in (bench.base, out))
    assert before.keys() == after.keys()
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    ours, theirs = Checkpoint.open(out).manifest, Checkpoint.open(bench.base).manifest
    assert (ours.planner, ours.actor, ours.embodiment) == (theirs.planner, theirs.actor, theirs.embodiment)
    with Controller.from_checkpoint(out) as controller:
        seen = controller.embodiment.fake_observation(np.random.default_rng(0), instruction=WORDS[0])
        sent = controller.step(seen)
    assert sent.source == "actor"
    assert np.isfinite(sent.target).all()


def test_a_resumed_training_has_the_same_curve(benches: dict[str, Bench], tmp_path: Path) -> None:
    """GR00T's, whose layers and states are dropped."""
    bench = benches["groot"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert bench.finetune(whole) == 0
    config = bench.config(killed)
    assert learner_of(config).expert.config.state_dropout > 0
    saved = Trainer._save

    def stop(self: Trainer, step: int, record: dict[str, float]) -> None:
        saved(self, step, record)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_save", stop)
        with pytest.raises(Stopped):
            bench.finetune(killed)
    assert bench.finetune(killed, "--resume") == 0
    assert curve(killed) == curve(whole)
    assert (killed / "actor.safetensors").read_bytes() == (whole / "actor.safetensors").read_bytes()


@pytest.mark.parametrize("family", list(FOLDERS))
def test_kept_subgoals_are_those_that_are_made_anew(benches: dict[str, Bench], tmp_path: Path, family: str) -> None:
    planner = FrozenPlanner.of(Checkpoint.open(benches[family].base))
    data = DemonstrationDataset.open(benches[family].data)
    views = PlannerViews(data=data, cameras=planner.cameras, reads_state=planner.reads_state)
    subgoals, rows = FrozenSubgoals(planner, views), np.array([3, 2, 20, 3])
    said: list[str] = []
    subgoals.keep_where_they_fit(tmp_path, said.append, most_bytes=subgoals.nbytes - 1)
    assert "anew" in said.pop()
    subgoals.take_kept(tmp_path)
    assert not list(tmp_path.iterdir())
    made, masks = subgoals.at(rows)
    subgoals.keep_where_they_fit(tmp_path, said.append)
    subgoals.take_kept(tmp_path)
    assert len(np.load(tmp_path / "subgoals.npy", mmap_mode="r")) == (24 if family == "smolvla" else 12)
    kept, kept_masks = subgoals.at(rows)
    np.testing.assert_allclose(kept, made, atol=1e-4)
    np.testing.assert_array_equal(kept_masks, masks)
    again = FrozenSubgoals(planner, views)
    again.keep_where_they_fit(tmp_path, said.append)
    again.take_kept(tmp_path)
    assert len(said) == 1, "what is there is taken"
    np.testing.assert_array_equal(again.at(rows)[0], kept)


def test_parts_of_two_workers_add_up(
    benches: dict[str, Bench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = benches["pi0"].config(tmp_path)
    learner = learner_of(config).eval()
    batch = batch_of(learner, config)
    whole, counted = flow(learner, batch), torch.tensor(int(batch.is_real.sum()))
    monkeypatch.setattr(Share, "total", lambda self, value: counted)
    shares = [Share(rank=rank, size=2) for rank in range(2)]
    parts = [flow(learner, batch_of(learner, config, share), share) for share in shares]
    assert parts[0] != parts[1]
    assert sum(parts) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("family", list(FOLDERS))
def test_in_bfloat16_the_loss_is_near_and_gradients_are_of_float32(
    benches: dict[str, Bench], tmp_path: Path, family: str
) -> None:
    """As on a GPU: mixed there with prefixes and masks that come in float32."""
    config = benches[family].config(tmp_path)
    learner = learner_of(config).eval()
    batch = batch_of(learner, config)
    exact = flow(learner, batch)
    learner.precision = torch.bfloat16
    losses = learner.losses(batch, torch.Generator().manual_seed(0), augment=False)
    torch.autograd.backward(losses.total)
    assert losses.total.dtype == torch.float32
    assert float(losses.flow.detach()) != exact
    assert float(losses.flow.detach()) == pytest.approx(exact, rel=0.02)
    gradients = [value.grad for value in learner.parameters() if value.grad is not None]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


def test_what_stands_behind_the_end_and_beside_the_robot_s_own_counts_for_nothing(
    benches: dict[str, Bench], tmp_path: Path
) -> None:
    config = benches["groot"].config(tmp_path, subgoal_dropout=0.0)
    learner = learner_of(config).eval()
    batch = batch_of(learner, config)
    assert not batch.is_real.all()
    other = np.where(batch.is_real[..., None], batch.actions, 7.0).astype(np.float32)
    found = flow(learner, batch)
    assert flow(learner, replace(batch, actions=other)) == found
    with torch.no_grad():
        learner.expert.action_out.out.bias[:, learner.actor.embodiment.num_actions :] += 100.0
    assert flow(learner, batch) == found
    assert flow(learner, replace(batch, actions=batch.actions + 1.0)) != found


def test_what_does_not_fit_is_refused(benches: dict[str, Bench], tmp_path: Path) -> None:
    bench = benches["pi0"]
    robot = Checkpoint.open(bench.base).manifest.embodiment
    first = robot.cameras[0]
    cases = {
        "looks through top, wrist; --data has head: .* --embodiment .* --cameras": (
            robot.model_copy(update={"cameras": (first.model_copy(update={"name": "head"}),)}),
            FPS,
        ),
        "they differ in state_names; .* --embodiment": (
            robot.model_copy(update={"state_names": tuple(f"joint {i}" for i in range(robot.num_states))}),
            FPS,
        ),
        "makes 20 rows a second, --data has 10: .* --rate-hz 10": (robot, 10),
    }
    for number, (line, (other, fps)) in enumerate(cases.items()):
        data = record(tmp_path / str(number), other, fps)
        with pytest.raises(CheckpointError, match=line):
            learner_of(replace(bench.config(tmp_path / "out"), data=(data,)))
    refused: dict[str, dict[str, Any]] = {
        "stays as it is: give --train actor": {"train": "both"},
        "learns no prefix": {"max_prefix": 2},
        "looks through top, wrist, and goes on to": {"camera": "top"},
    }
    for line, options in refused.items():
        with pytest.raises(ConfigError, match=line):
            learner_of(replace(bench.config(tmp_path / "out"), **options))
