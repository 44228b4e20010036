"""The loop of a training: batch, step, average, now and then validate and save."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dualsys.app.train_config import TrainConfig
from dualsys.app.training import tensorboard
from dualsys.app.training.any_learner import AnyLearner
from dualsys.app.training.averaging import WeightAverage
from dualsys.app.training.controller_folder import save_controller
from dualsys.app.training.display import TrainingDisplay
from dualsys.app.training.episode_split import EpisodeSplit, is_of_corrections
from dualsys.app.training.learner import Losses
from dualsys.app.training.precision import precision_on
from dualsys.app.training.progress import TrainingFolder
from dualsys.app.training.report import write_report
from dualsys.app.training.sampler import BatchSampler, TrainingData, even_delays, measured_delays
from dualsys.app.training.share import WHOLE, Share
from dualsys.checkpoint import Checkpoint
from dualsys.data.reader import DemonstrationDataset
from dualsys.errors import CannotWrite, CheckpointError

LOG_EVERY_STEPS = 25


class Trainer:
    """Trains a learner in this process, or this process's share of it."""

    def __init__(
        self,
        config: TrainConfig,
        learner: AnyLearner,
        data: DemonstrationDataset,
        episodes: EpisodeSplit,
        *,
        share: Share = WHOLE,
        display: TrainingDisplay,
    ) -> None:
        self.config = config
        self.learner = learner
        self.learner.precision = precision_on(learner.device, config.precision)
        self.share = share
        self.display = display
        self.provenance = [
            each.model_dump(mode="json", exclude={"embodiment"}) for each in data.provenance if each is not None
        ]
        self.identity = self._identity(data)
        self.folder = TrainingFolder(config.out)
        self._board: tensorboard.TensorBoardLog | None = None
        self.average = WeightAverage(learner, config.average_decay)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(learner, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.95), fused=True
        )
        self.episodes = episodes
        self._delays_rows = self._delays()
        self._draw_from(learner.reads(data))

    def _draw_from(self, data: TrainingData) -> None:
        self.data = data
        self.training = self._sampler(self.episodes.training, self.config.seed)
        self.validation = self._sampler(self.episodes.validation, self.config.seed + 1)
        self.validation_of_each = self._of_each_dataset(self.validation)

    def _identity(self, data: DemonstrationDataset) -> dict[str, Any]:
        """What a resumed training must share with the one that it goes on from."""
        config, robot = self.config, self.learner.actor.embodiment
        identity = config.decisive | {
            "precision": str(self.learner.precision).removeprefix("torch."),
            "robot": ", ".join(f"{each.name} {each.fingerprint()}" for each in data.robots or (robot,)),
            "rows of data": len(data),
        }
        if len(config.data) > 1:  # a state that doesn't say so kept its validation episodes from all folders together
            identity["validation"] = "within each dataset"
        if any(is_of_corrections(data, folder) for folder in range(len(data.paths))):  # and one that doesn't say this
            identity["corrections"] = "of one episode together"  # had some of a scene in both
        if config.init:
            identity["weights of --init"] = Checkpoint.open(config.init).weights_digest()
        return identity

    def run(self, *, resume: bool) -> None:
        """From the first or the resumed step to the last. Raises `CannotWrite`; what was saved before is as it was."""
        try:
            self._draw_from(self.learner.ready(self.data, self.folder.folder, self.display.say, self.share))
            self._run(self._start(resume))
        except CannotWrite as error:
            raise CannotWrite(f"{error}. {self.folder.how_to_go_on}") from error
        finally:
            if self._board is not None:
                self._board.close()

    def _run(self, done: int) -> None:
        started = time.monotonic()
        for step in range(done, self.config.steps):
            record = self.step(step)
            self.display.note(record)
            if (step + 1) % self.config.validate_every == 0 or step + 1 == self.config.steps:
                record |= self.validate()
                record["seconds_per_step"] = (time.monotonic() - started) / (step + 1 - done)
                self.share.on_first(partial(self._save, step + 1, record))
                self.display.show(record)
            elif (step + 1) % LOG_EVERY_STEPS == 0:
                self.share.on_first(partial(self._log, record))
        self.share.on_first(self._finish)

    def _start(self, resume: bool) -> int:
        """Everything as the first worker has it; returns the number of steps done."""
        done = 0
        if resume:
            load = partial(self.folder.resume, self.learner, self.average, self.optimizer, self.identity)
            done = self.share.together(load)
        steps_of_all = int(self.share.total(torch.tensor(done, device=self.learner.device)))
        if steps_of_all != self.share.size * done:
            raise CheckpointError(
                f"workers found different states to resume from, here of step {done}: {self.folder.folder} must be "
                "the same folder on every machine"
            )
        self.share.align([*self.learner.parameters(), *self.average.shadow.values()])
        start = {"step": done, "workers": self.share.size, "device": str(self.learner.device)}
        self.share.on_first(partial(self._begin, start | {"precision": self.identity["precision"]}))
        return done

    def _begin(self, start: dict[str, Any]) -> None:
        self.folder.begin(start)
        if tensorboard.is_installed():
            self._board = tensorboard.TensorBoardLog(self.folder.folder / "tensorboard", start["step"])

    def _log(self, record: dict[str, float]) -> None:
        self.folder.log(record)
        if self._board is not None:
            self._board.add(record)

    def _finish(self) -> None:
        self.folder.plot()
        write_report(self.config.out)

    def _save(self, step: int, record: dict[str, float]) -> None:
        # The state comes last: a kill before it costs steps, which are then done again, files included.
        self._log(record)
        self.save_checkpoint(step, record)
        self.folder.save(step, self.learner, self.average, self.optimizer, self.identity)

    def step(self, step: int) -> dict[str, float]:
        """One optimizer step; returns its line of the curve."""
        self.learner.train()
        self.learner.helpers_only_read = bool(self.config.init) and step < self.config.warmup_steps
        rate = learning_rate(step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self._losses(self.training, self.config.seed, step, augment=True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        self.share.sum_gradients(self.learner.parameters())
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimizer.step()
        self.average.update(self.learner, step)
        flow, position, position_error_m = self._figures(losses)
        known = _known(position_error_m=position_error_m)
        return {"step": step + 1, "flow": flow, "position": position, **known, "learning_rate": rate}

    @torch.no_grad()
    def validate(self, batches: int = 6) -> dict[str, float]:
        """Losses of the averaged weights on held-out episodes; always the same batches."""
        self.average.swap(self.learner)
        self.learner.eval()
        flow, position_error_m = self._validated(self.validation, batches)
        each = {name: self._validated(sampler, batches)[0] for name, sampler in self.validation_of_each.items()}
        self.average.swap(self.learner)
        return {"validation_flow": flow, **_known(validation_position_error_m=position_error_m)} | {
            f"validation_flow_{name}": loss for name, loss in each.items()
        }

    def _validated(self, sampler: BatchSampler, batches: int) -> tuple[float, float]:
        """Mean flow loss and position error of some batches."""
        losses = (self._losses(sampler, self.config.seed + 1, index, augment=False) for index in range(batches))
        flow, _, position_error_m = np.mean([self._figures(each) for each in losses], axis=0).tolist()
        return flow, position_error_m

    def _losses(self, sampler: BatchSampler, seed: int, step: int, *, augment: bool) -> Losses:
        batch = sampler.draw(step, self.share)
        return self.learner.losses(
            batch, _generator(seed, step, self.learner.device), augment=augment, share=self.share
        )

    def _figures(self, losses: Losses) -> tuple[float, float, float]:
        """Flow loss, position loss and position error of the whole batch."""
        parts = [each.detach().double() for each in (losses.flow, losses.position, losses.position_error_m)]
        flow, position, position_error_m = self.share.total(torch.stack(parts)).tolist()
        return flow, position, position_error_m

    def save_checkpoint(self, step: int, record: dict[str, float]) -> None:
        """Write the averaged weights as a checkpoint."""
        self.average.swap(self.learner)
        training = {"steps": step, "config": self.config.told, "last": record, "data": self.provenance}
        planner, actor = self.learner.export()
        save_controller(self.config.out, self.config.name, planner, actor, training)
        self.average.swap(self.learner)

    def _delays(self) -> NDArray[np.int64]:
        config = self.config
        if config.delay_log is not None:
            return measured_delays(config.delay_log, self.learner.actor.dt_s)
        return even_delays(config.max_delay_s, self.learner.actor.dt_s)

    def _sampler(self, episodes: np.ndarray, seed: int) -> BatchSampler:
        return BatchSampler(
            data=self.data,
            episodes=episodes,
            horizon=self.learner.actor.config.horizon,
            frames_per_batch=self.config.batch_size,
            moments_per_frame=self.config.moments_per_frame,
            delays_rows=self._delays_rows,
            seed=seed,
            shares=np.array(self.config.data_shares or np.ones(len(self.config.data)), dtype=np.float64),
        )

    def _of_each_dataset(self, sampler: BatchSampler) -> dict[str, BatchSampler]:
        """The sampler, of one dataset's episodes, by the name of its folder. None where there is but one dataset."""
        names = np.array([path.name for path in self.config.data])
        if len(names) == 1:
            return {}
        found = names[self.data.folder_of_episode[sampler.episodes]]
        return {name: replace(sampler, episodes=sampler.episodes[found == name]) for name in np.unique(found).tolist()}


def _known(**figures: float) -> dict[str, float]:
    """Figures without those that nobody knows: NaN is no JSON."""
    return {name: value for name, value in figures.items() if not math.isnan(value)}


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def _generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """Draws where the learner is: millions of numbers a step, for which a processor takes longer than a GPU trains."""
    return torch.Generator(device).manual_seed(seed * 1_000_003 + step)


def _parameter_groups(learner: AnyLearner, weight_decay: float) -> Sequence[dict[str, Any]]:
    """Matrices decay, vectors (biases, norms, queries' gains) don't."""
    parameters = [value for value in learner.parameters() if value.requires_grad]
    return [
        {"params": [value for value in parameters if value.ndim >= 2], "weight_decay": weight_decay},
        {"params": [value for value in parameters if value.ndim < 2], "weight_decay": 0.0},
    ]
