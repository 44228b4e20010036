"""`dualsys train`: planner and actor together, from demonstrations to a checkpoint folder."""

import hashlib
import json
from typing import Any

import numpy as np
import torch

from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.app.recording import BLOCK_POSITIONS, TARGET_POSITION
from dualsys.app.train_config import TrainConfig
from dualsys.app.training import tensorboard
from dualsys.app.training.display import TrainingDisplay
from dualsys.app.training.learner import Learner, LossWeights
from dualsys.app.training.precision import precision_on
from dualsys.app.training.progress import TrainingFolder
from dualsys.app.training.share import WHOLE, Share
from dualsys.app.training.trainer import EpisodeSplit, Trainer
from dualsys.data.reader import DemonstrationDataset
from dualsys.device import model_device
from dualsys.errors import CheckpointError, ConfigError
from dualsys.planner.config import TINY_PALIGEMMA, ReadoutConfig, VLMPlannerConfig
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner


def main(config: TrainConfig) -> int:
    """Train, save, plot. Returns the exit status."""
    folder = TrainingFolder(config.out)
    if not config.resume and folder.state_file.exists():
        raise ConfigError(f"{folder.state_file} exists: give --resume to go on, or another --out")
    if config.resume and not folder.state_file.exists():
        raise CheckpointError(f"nothing to resume: {folder.state_file} does not exist; start without --resume")
    precision_on(model_device(), config.precision)
    # Opened before workers are: what is wrong with it is said here, and its videos are decoded once.
    data = DemonstrationDataset.open(config.data)
    split_episodes(data.num_episodes, config.validation_fraction, config.seed)
    if not config.resume:
        folder.make()
    with TrainingDisplay(steps=config.steps) as display:
        if not tensorboard.is_installed():
            display.say(tensorboard.HINT)
        if config.workers == 1:
            learn(config, data, share=WHOLE, display=display, resume=config.resume)
        else:
            from dualsys.app.training.workers import train_with_workers

            train_with_workers(config, learn, display)
        display.say(f"saved {config.out}; curves and figures: {folder.folder / 'report.html'}")
    return 0


def learn(
    config: TrainConfig, data: DemonstrationDataset, *, share: Share, display: TrainingDisplay, resume: bool
) -> None:
    """Train in this process, alone or as one of several workers."""
    torch.set_num_threads(config.threads)
    episodes = split_episodes(data.num_episodes, config.validation_fraction, config.seed)
    learner = build_learner(config, data, episodes.training)
    Trainer(config, learner, data, episodes, share=share, display=display).run(resume=resume)


def split_episodes(count: int, fraction: float, seed: int) -> EpisodeSplit:
    """Episodes to train and to validate on. Raises `ConfigError` where there are too few."""
    held = max(1, round(count * fraction))
    if count - held < 1:
        raise ConfigError(f"{count} episodes are too few to keep {held} for validation; record more demonstrations")
    order = np.random.default_rng(seed).permutation(count)
    return EpisodeSplit(training=np.sort(order[held:]), validation=np.sort(order[:held]))


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


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
