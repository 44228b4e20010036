"""The loop of a training: batch, step, average, now and then validate and save."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dualsys.app.train_config import TrainConfig, plain
from dualsys.app.training.averaging import WeightAverage
from dualsys.app.training.controller_folder import save_controller
from dualsys.app.training.learner import Learner
from dualsys.app.training.progress import TrainingFolder
from dualsys.app.training.sampler import BatchSampler, TrainingData, even_delays, measured_delays
from dualsys.app.training.subgoal_cache import FRAMES_AT_ONCE, subgoals_of_frames
from dualsys.data.reader import DemonstrationDataset


class Trainer:
    """Trains a learner in this process."""

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
        self.console = Console()
        if config.train == "actor":
            learner.keep_planner()
            tokens = subgoals_of_frames(learner.planner, self.data, folder.folder, self._note_subgoals)
            self.data = replace(self.data, subgoals=tokens)
        self.average = WeightAverage(learner, config.average_decay)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(learner, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.95), fused=True
        )
        self.training = self._sampler(training, config.seed)
        self.validation = self._sampler(validation, config.seed + 1)

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
        planner, actor = self.learner.export()
        save_controller(self.config.out, self.config.name, planner, actor, training)
        self.average.swap(self.learner)

    def _note_subgoals(self, done: int, total: int) -> None:
        if done % (100 * FRAMES_AT_ONCE) == 0 or done == total:
            self.console.print(f"subgoals of {done} of {total} frames")

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
            shares=np.array(self.config.data_shares or np.ones(len(self.config.data)), dtype=np.float64),
        )


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
