"""`dualsys train`: planner and actor together, from demonstrations to a checkpoint folder."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.app.recording import BLOCK_POSITIONS, TARGET_POSITION
from dualsys.app.train_config import TrainConfig, plain
from dualsys.app.training.averaging import WeightAverage
from dualsys.app.training.learner import Learner, LossWeights
from dualsys.app.training.progress import TrainingFolder
from dualsys.app.training.sampler import BatchSampler, TrainingData, even_delays, measured_delays
from dualsys.checkpoint import FORMAT, MANIFEST, Checkpoint, Manifest, ModuleEntry, installed_versions, write_manifest
from dualsys.data.reader import DemonstrationDataset
from dualsys.device import model_device
from dualsys.errors import ConfigError
from dualsys.planner.config import TINY_PALIGEMMA, ReadoutConfig, VLMPlannerConfig
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner


def main(config: TrainConfig) -> int:
    """Train, save, plot. Returns the exit status."""
    torch.set_num_threads(config.threads)
    folder = TrainingFolder(config.out)
    if not config.resume and folder.state_file.exists():
        raise ConfigError(f"{folder.state_file} exists: give --resume to go on, or another --out")
    folder.folder.mkdir(parents=True, exist_ok=True)
    data = DemonstrationDataset.open(config.data)
    training, validation = split_episodes(data.num_episodes, config.validation_fraction, config.seed)
    learner = build_learner(config, data, training)
    Trainer(config, learner, data, training, validation, folder).run()
    return 0


def split_episodes(count: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Episodes to train and to validate on. Raises `ConfigError` where there are too few."""
    held = max(1, round(count * fraction))
    if count - held < 1:
        raise ConfigError(f"{count} episodes are too few to keep {held} for validation; record more demonstrations")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])


def build_learner(config: TrainConfig, data: DemonstrationDataset, episodes: np.ndarray) -> Learner:
    """Fresh planner and actor for a dataset's robot."""
    torch.manual_seed(config.seed)
    embodiment = data.embodiment
    if embodiment is None:
        raise ConfigError(f"{config.data[0]} does not say which robot it is of; record it with `dualsys demos`")
    readout = ReadoutConfig(num_tokens=config.subgoal_tokens, dim=config.subgoal_dim)
    tiny = config.backbone == "tiny"
    planner_config = VLMPlannerConfig(
        backbone="paligemma" if tiny else config.backbone,
        architecture=TINY_PALIGEMMA if tiny else None,
        exit_layer=config.exit_layer,
        camera=config.camera,
        readout=readout,
        schema_id=f"{config.name}/{_digest(config.decisive)}",
    )
    words = sorted({data.instructions[episode] for episode in episodes})
    planner = VLMPlanner.build(planner_config, train_tokenizer(words) if tiny else None)
    rows = rows_of(data, episodes)
    statistics = ControllerStatistics(
        state=Statistics.of(data.states[rows].astype(np.float64)),
        action=Statistics.of(data.actions[rows].astype(np.float64)),
    )
    actor = FlowActor.build(
        config.actor, embodiment=embodiment, subgoal_spec=planner.subgoal_spec, statistics=statistics
    )
    weights = LossWeights(
        position=config.position_weight, subgoal_dropout=config.subgoal_dropout, image_noise=config.image_noise
    )
    positions = data.extras.get(TARGET_POSITION, np.zeros((1, 3)))
    return Learner(
        planner,
        actor,
        weights,
        centre_m=[float(value) for value in np.nanmean(positions, axis=0)],
        num_kinds=data.extras[BLOCK_POSITIONS].shape[1] // 3 if BLOCK_POSITIONS in data.extras else 0,
    ).to(model_device())


def rows_of(data: DemonstrationDataset, episodes: np.ndarray) -> np.ndarray:
    """Row numbers of some episodes."""
    spans = zip(data.episode_starts[episodes], data.episode_lengths[episodes], strict=True)
    return np.concatenate([np.arange(start, start + length) for start, length in spans])


class Trainer:
    """The loop: batch, step, average, now and then validate and save."""

    def __init__(
        self,
        config: TrainConfig,
        learner: Learner,
        data: DemonstrationDataset,
        training: np.ndarray,
        validation: np.ndarray,
        folder: TrainingFolder,
    ) -> None:
        self.config = config
        self.learner = learner
        self.provenance = [
            each.model_dump(mode="json", exclude={"embodiment"}) for each in data.provenance if each is not None
        ]
        vision = config.actor.vision
        self.data = TrainingData.of(data, config.camera, None if vision is None else vision.camera.name)
        self.folder = folder
        self.average = WeightAverage(learner, config.average_decay)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(learner, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.95), fused=True
        )
        self.training = self._sampler(training, config.seed)
        self.validation = self._sampler(validation, config.seed + 1)
        self.console = Console()

    def run(self) -> None:
        """From the first or the resumed step to the last."""
        done = 0
        if self.config.resume:
            done = self.folder.resume(self.learner, self.average, self.optimizer, self.config.decisive)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task("train", total=self.config.steps, completed=done)
            started = time.monotonic()
            for step in range(done, self.config.steps):
                record = self.step(step)
                progress.update(
                    bar, advance=1, description=f"flow {record['flow']:.4f} at {record['position_error_m']:.3f} m"
                )
                if (step + 1) % self.config.validate_every == 0 or step + 1 == self.config.steps:
                    record |= self.validate()
                    record["seconds_per_step"] = (time.monotonic() - started) / (step + 1 - done)
                    self.folder.save(step + 1, self.learner, self.average, self.optimizer, self.config.decisive)
                    self.folder.log(record)
                    self.save_checkpoint(step + 1, record)
                    self.console.print(" ".join(f"{key}={value:.5g}" for key, value in record.items()))
                elif (step + 1) % 25 == 0:
                    self.folder.log(record)
        self.folder.plot()
        self.console.print(f"saved {self.config.out}")

    def step(self, step: int) -> dict[str, float]:
        """One optimizer step; returns its line of the curve."""
        self.learner.train()
        rate = learning_rate(step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self.learner.losses(self.training.draw(step), _generator(self.config.seed, step), augment=True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.learner, step)
        return {
            "step": step + 1,
            "flow": float(losses.flow.detach()),
            "position": float(losses.position.detach()),
            "position_error_m": losses.position_error_m,
            "learning_rate": rate,
        }

    @torch.no_grad()
    def validate(self, batches: int = 6) -> dict[str, float]:
        """Losses of the averaged weights on held-out episodes; always the same batches."""
        self.average.swap(self.learner)
        self.learner.eval()
        results = [
            self.learner.losses(self.validation.draw(index), _generator(self.config.seed + 1, index), augment=False)
            for index in range(batches)
        ]
        self.average.swap(self.learner)
        return {
            "validation_flow": float(np.mean([float(result.flow) for result in results])),
            "validation_position_error_m": float(np.mean([result.position_error_m for result in results])),
        }

    def save_checkpoint(self, step: int, record: dict[str, float]) -> None:
        """Write the averaged weights as a checkpoint."""
        self.average.swap(self.learner)
        training = {"steps": step, "config": plain(asdict(self.config)), "last": record, "data": self.provenance}
        save_controller(self.config.out, self.config.name, self.learner.planner, self.learner.actor, training)
        self.average.swap(self.learner)

    def _delays(self) -> NDArray[np.int64]:
        config = self.config
        if config.delay_log is not None:
            return measured_delays(config.delay_log, config.actor.dt_s)
        return even_delays(config.max_delay_s, config.actor.dt_s)

    def _sampler(self, episodes: np.ndarray, seed: int) -> BatchSampler:
        return BatchSampler(
            data=self.data,
            episodes=episodes,
            horizon=self.config.actor.horizon,
            frames_per_batch=self.config.batch_size,
            moments_per_frame=self.config.moments_per_frame,
            delays_rows=self._delays(),
            seed=seed,
        )


def save_controller(out: Path, name: str, planner: VLMPlanner, actor: FlowActor, training: dict[str, Any]) -> None:
    """Write a checkpoint folder. A kill leaves the old one, the new one, or one without manifest, which won't open."""
    draft = out / ".saving"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _write_controller(draft, name, planner, actor, training)
    (out / MANIFEST).unlink(missing_ok=True)
    for file in draft.iterdir():
        if file.is_dir():
            shutil.rmtree(out / file.name, ignore_errors=True)
        if file.name != MANIFEST:
            file.replace(out / file.name)
    (draft / MANIFEST).replace(out / MANIFEST)
    draft.rmdir()


def _write_controller(out: Path, name: str, planner: VLMPlanner, actor: FlowActor, training: dict[str, Any]) -> None:
    blank = ModuleEntry(name="")
    manifest = Manifest(
        format=FORMAT,
        name=name,
        embodiment=actor.embodiment,
        subgoal=planner.subgoal_spec,
        planner=blank,
        actor=blank,
        versions=installed_versions(),
        training=training,
    )
    checkpoint = Checkpoint(folder=out, manifest=manifest)
    entries = {"planner": planner.save(checkpoint), "actor": actor.save(checkpoint)}
    for weights in out.glob("*.safetensors"):
        weights.chmod(0o644)  # written for the owner alone, which in a wheel would lock everybody else out
    write_manifest(out, manifest.model_copy(update=entries))


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def _parameter_groups(learner: Learner, weight_decay: float) -> Sequence[dict[str, Any]]:
    """Matrices decay, vectors (biases, norms, queries' gains) don't."""
    parameters = [value for value in learner.parameters() if value.requires_grad]
    return [
        {"params": [value for value in parameters if value.ndim >= 2], "weight_decay": weight_decay},
        {"params": [value for value in parameters if value.ndim < 2], "weight_decay": 0.0},
    ]


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
