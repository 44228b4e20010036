"""`dualsys train`: planner and actor together, from demonstrations to a checkpoint folder."""

import copy
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.head_config import HeadConfig
from dualsys.app.train_config import TrainConfig
from dualsys.app.training import tensorboard
from dualsys.app.training.actor_of_robots import (
    build_actor_of_robots,
    other_cameras,
    require_new_actor,
    rows_of,
)
from dualsys.app.training.any_learner import AnyLearner
from dualsys.app.training.centres import Centres
from dualsys.app.training.display import DecodingDisplay, TrainingDisplay
from dualsys.app.training.episode_split import EpisodeSplit, is_of_corrections, split_dataset
from dualsys.app.training.head_choice import head_config
from dualsys.app.training.imported_base import build_frozen_learner, is_imported
from dualsys.app.training.learner import Learner, LossWeights
from dualsys.app.training.planner_camera import usual_camera as usual_camera
from dualsys.app.training.precision import precision_on
from dualsys.app.training.progress import TrainingFolder
from dualsys.app.training.relative_actions import described, statistics_of
from dualsys.app.training.robot_datasets import open_data
from dualsys.app.training.row_times import at_rate_of_data, require_rate_of_data
from dualsys.app.training.share import WHOLE, Share
from dualsys.app.training.starting_weights import carry_over, carry_over_planner
from dualsys.app.training.trainer import Trainer
from dualsys.bridge.ray_cluster import require_listening
from dualsys.checkpoint import Checkpoint
from dualsys.data.reader import DemonstrationDataset
from dualsys.device import model_device
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError
from dualsys.planner.backbone import marks_of, takes_any_size
from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
from dualsys.planner.tiny_architectures import TINY, tiny_architecture
from dualsys.planner.tokenization import extended_tokenizer, train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner


def main(config: TrainConfig) -> int:
    """Train, save, plot. Returns the exit status."""
    folder = TrainingFolder(config.out)
    folder.require_startable(resume=config.resume)
    if config.ray_address is not None:
        require_listening(config.ray_address, without="--workers 1")
    precision_on(model_device(), config.precision)
    # Opened before workers are: what is wrong with it is said here, and its videos are decoded once.
    with DecodingDisplay() as progress:
        data = open_data(config, progress)
    episodes = split_dataset(data, config.validation_fraction, config.seed)
    if not config.resume:
        folder.clear()
    with TrainingDisplay(steps=config.steps) as display:
        for line in remarks(data, episodes):
            display.say(line)
        if not tensorboard.is_installed():
            display.say(tensorboard.HINT)
        try:
            _learn_alone_or_together(config, data, display)
        except KeyboardInterrupt:
            display.say(f"stopped before the last step. {folder.how_to_go_on}")
            raise
        display.say(f"saved {config.out}; curves and figures: {folder.folder / 'report.html'}")
    return 0


def _learn_alone_or_together(config: TrainConfig, data: DemonstrationDataset, display: TrainingDisplay) -> None:
    if config.workers == 1:
        learn(config, data, share=WHOLE, display=display, resume=config.resume)
        return
    from dualsys.app.training.workers import train_with_workers

    train_with_workers(config, learn, display)


def learn(
    config: TrainConfig, data: DemonstrationDataset, *, share: Share, display: TrainingDisplay, resume: bool
) -> None:
    """Train in this process, alone or as one of several workers."""
    torch.set_num_threads(config.threads)

    def make_trainer() -> Trainer:
        episodes = split_dataset(data, config.validation_fraction, config.seed)
        learner = build_learner(config, data, episodes.training, display.say)
        return Trainer(config, learner, data, episodes, share=share, display=display)

    # Together: the others would wait for hours for a worker whose machine alone lacks something.
    share.together(make_trainer).run(resume=resume)


def remarks(data: DemonstrationDataset, episodes: EpisodeSplit) -> Iterator[str]:
    """Lines on what of the datasets is not used as one might expect."""
    for name, reason in data.cameras_left_out.items():
        yield f"camera {name!r} is left out: {reason}"
    for name, reason in data.columns_left_out.items():
        yield f"column {name!r} is left out: {reason}"
    for folder in sorted(set(range(len(data.paths))) - {*data.folder_of_episode[episodes.validation]}):
        kind = "corrections of one episode" if is_of_corrections(data, folder) else "one episode"
        yield f"{data.paths[folder]} has {kind}: it is trained on, and none is left to validate on"


def build_learner(
    config: TrainConfig, data: DemonstrationDataset, episodes: np.ndarray, say: Callable[[str], None]
) -> AnyLearner:
    """Planner and actor for a dataset's robot: fresh, or going on from a checkpoint; `say` is told what came over."""
    torch.manual_seed(config.seed)
    embodiment = data.embodiment
    if embodiment is None:
        raise ConfigError(f"{config.data[0]} does not say which robot it is of; record it with `dualsys demos`")
    if data.robots:
        require_new_actor(config)
    config = _at_rate_of_data(config, data.fps)
    base = Checkpoint.open(config.init) if config.init else None
    if base is not None and is_imported(base):
        return build_frozen_learner(config, data, base).to(model_device())
    if base is not None and config.init_parts == "both":  # a planner alone is of no robot
        require_same_robot(base, embodiment)
    words = sorted({data.instructions[episode] for episode in episodes})
    planner = build_planner(config, words, data, base, say)
    actor = (
        build_actor_of_robots(config, planner, data, episodes)
        if data.robots
        else build_actor(config, planner, data, rows_of(data, episodes), base, say)
    )
    for line in described(actor):
        say(line)
    weights = LossWeights(
        position=config.position_weight,
        subgoal_dropout=config.subgoal_dropout,
        goal_dropout=config.goal_dropout,
        image_noise=config.image_noise,
    )
    learner = Learner(planner, actor, weights, Centres.of(data))
    if config.train == "actor":
        learner.keep_planner()
    if config.tune_layers is not None:
        learner.tune_last_layers(config.tune_layers)
    if config.lora_rank and config.init and config.init_parts == "both":
        learner.adapt(config.lora_rank)
    elif config.lora_rank:
        # A pretrained model knows its words; a small one's are new, and so may be those of a planner that goes on.
        learner.adapt_backbone(config.lora_rank, learn_words=bool(config.init) or config.backbone in ("tiny", *TINY))
    return learner.to(model_device())


def _at_rate_of_data(config: TrainConfig, fps: int) -> TrainConfig:
    """Of a fresh actor; one that goes on is as it is."""
    if config.init and config.init_parts == "both":
        return config
    return replace(config, actor=at_rate_of_data(config.actor, fps))


def require_same_robot(base: Checkpoint, embodiment: EmbodimentSpec) -> None:
    """What is started from is of this robot, which may have further cameras now. Raises `CheckpointError`."""
    known = [camera.name for camera in base.manifest.embodiment.cameras]
    base.require_for(embodiment.seen_through(known), whole=embodiment)


def build_planner(
    config: TrainConfig,
    words: list[str],
    data: DemonstrationDataset,
    base: Checkpoint | None,
    say: Callable[[str], None],
) -> VLMPlanner:
    """The planner to train, for a dataset's cameras. From a checkpoint it has that one's architecture, and its
    tokenizer where all is kept.
    """
    schema_id = f"{config.name}/{_digest(config.decisive)}"
    if base is not None:
        known = VLMPlanner.from_checkpoint(base)
        camera = camera_to_go_on_with(config, known.config.camera, data.cameras, data.cameras_left_out)
        if config.train == "actor":
            return known
        tokenizer = extended_tokenizer(known.tokenizer, words)
        eyes = {"camera": camera, "other_cameras": other_cameras(data, camera)}
        grown = grown_config(known, tokenizer, schema_id).model_copy(update=eyes)
        planner = VLMPlanner.build(grown, tokenizer)
        say(f"planner of {base.manifest.name}: {carry_over_planner(planner, known)}")
        return planner
    family = "paligemma" if config.backbone == "tiny" else config.backbone
    fresh = family in TINY
    planner_config = VLMPlannerConfig(
        backbone=family,
        architecture=tiny_architecture(family, config.image_size) if fresh else None,
        image_size=config.image_size if fresh and takes_any_size(family) else None,
        exit_layer=config.exit_layer,
        camera=(camera := config.camera or usual_camera(data.cameras, data.cameras_left_out)),
        other_cameras=other_cameras(data, camera),
        readout=ReadoutConfig(num_tokens=config.subgoal_tokens, dim=config.subgoal_dim),
        goal_image=config.goal_images,
        schema_id=schema_id,
    )
    tokenizer = train_tokenizer(words, marks=marks_of(family)) if fresh else None
    return VLMPlanner.build(planner_config, tokenizer)


def camera_to_go_on_with(config: TrainConfig, known: str, cameras: Collection[str], left_out: Mapping[str, str]) -> str:
    """Camera of a planner that was trained with `known`: the same, unless it alone is taken and learns another scene.

    Raises `ConfigError` for --camera where the planner goes on as it is, or where none is named and it is unclear.
    """
    if config.init_parts == "planner" and config.train == "both":
        return config.camera or usual_camera(cameras, left_out, known)
    if config.camera not in ("", known):
        otherwise = (
            ": --train actor keeps its planner as it is"
            if config.train == "actor"
            else ", or take the planner alone with --init-parts planner"
        )
        raise ConfigError(
            f"--camera {config.camera}: {Path(config.init).name} looks through {known!r}, and goes on to; "
            f"leave --camera out{otherwise}"
        )
    return known


def grown_config(known: VLMPlanner, tokenizer: PreTrainedTokenizerBase, schema_id: str) -> VLMPlannerConfig:
    """A planner's configuration with room for the words of a larger tokenizer."""
    architecture = copy.deepcopy(known.config.architecture)
    if architecture is not None and "vocab_size" in architecture.get("text_config", {}):
        vocabulary = max(len(tokenizer), architecture["text_config"]["vocab_size"])
        architecture["text_config"]["vocab_size"] = vocabulary
    return known.config.model_copy(update={"schema_id": schema_id, "architecture": architecture})


def build_actor(
    config: TrainConfig,
    planner: VLMPlanner,
    data: DemonstrationDataset,
    rows: np.ndarray,
    base: Checkpoint | None,
    say: Callable[[str], None],
) -> FlowActor:
    """The actor to train, for the robot with the cameras that planner and actor look through. From a checkpoint it has
    that one's shape and statistics.
    """
    known = FlowActor.from_checkpoint(base) if base is not None and config.init_parts == "both" else None
    if known is not None:
        require_rate_of_data(config.init, known.dt_s, data.fps)
    assert data.embodiment is not None  # `build_learner` has looked
    statistics = statistics_of(data, rows, data.embodiment, config) if known is None else known.statistics
    shape = config.actor if known is None else known.config
    if config.max_prefix is not None:
        if isinstance(shape, HeadConfig):
            raise ConfigError(
                f"--max-prefix: only flow matching learns to continue rows; {config.init} has another head"
            )
        if config.max_prefix >= shape.horizon:
            raise ConfigError(f"--max-prefix {config.max_prefix} leaves no row of a chunk of {shape.horizon} to sample")
        shape = FlowActorConfig.model_validate(shape.model_dump() | {"max_prefix": config.max_prefix})
    if known is None:
        shape = head_config(config.head, shape, statistics, data, rows)
    robot = data.embodiment if known is None else known.embodiment  # whose order of cameras it has
    eyes = {planner.config.camera} | ({shape.vision.camera.name} if shape.vision is not None else set())
    actor = FlowActor.build(
        shape,
        embodiment=data.embodiment.seen_through(camera.name for camera in robot.cameras if camera.name in eyes),
        subgoal_spec=planner.subgoal_spec,
        statistics=statistics,
    )
    if known is not None:
        say(f"actor of {config.init}: {carry_over(actor.expert, known.expert)}")
    return actor


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
