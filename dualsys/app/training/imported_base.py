"""Whether an imported controller can be trained on a dataset, and its learner."""

from dualsys.actor.flow_actor import FlowActor
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.frozen_learner import FrozenLearner
from dualsys.app.training.frozen_planner import KINDS, FrozenPlanner
from dualsys.app.training.row_times import is_rate_of
from dualsys.checkpoint import Checkpoint
from dualsys.data.reader import DemonstrationDataset
from dualsys.errors import CheckpointError, ConfigError

ACTORS = ("joint", "dit")
"""Experts that are trained so, by the name that a checkpoint knows them under."""


def is_imported(base: Checkpoint) -> bool:
    """Whether a checkpoint's planner is one that `dualsys import` makes."""
    return base.manifest.planner.name in KINDS


def build_frozen_learner(config: TrainConfig, data: DemonstrationDataset, base: Checkpoint) -> FrozenLearner:
    """The learner of an imported controller's actor.

    Raises:
        ConfigError: options ask for what such a controller can't be trained with.
        CheckpointError: it is of another robot, looks through other cameras or has other rows than the dataset.
    """
    _require_options(config, base)
    planner = FrozenPlanner.of(base)
    _require_data(planner, data)
    return FrozenLearner(planner, FlowActor.from_checkpoint(base), data, subgoal_dropout=config.subgoal_dropout)


def _require_options(config: TrainConfig, base: Checkpoint) -> None:
    name, actor = config.init, base.manifest.actor.name
    if config.train != "actor" or config.init_parts != "both":
        raise ConfigError(
            f"{name} was imported, and its planner stays as it is: give --train actor (`dualsys finetune`: --parts "
            "actor), and leave out --init-parts"
        )
    if actor not in ACTORS:
        raise ConfigError(f"the actor of {name} is {actor!r}; beside an imported planner {' and '.join(ACTORS)} learn")
    if config.max_prefix is not None:
        raise ConfigError(f"--max-prefix: {name} was imported, and its expert learns no prefix; leave it out")
    if config.camera:
        looks = ", ".join(base.manifest.planner.config.get("cameras", ()))
        raise ConfigError(f"--camera {config.camera}: {name} looks through {looks}, and goes on to; leave it out")


def _require_data(planner: FrozenPlanner, data: DemonstrationDataset) -> None:
    """Cameras first: with other names, all else differs too."""
    base, robot = planner.base, data.embodiment
    assert robot is not None  # `build_learner` has looked
    again = f"`dualsys import` it again with --embodiment {data.paths[0]}"
    missing = [name for name in planner.cameras if name not in data.cameras and name not in planner.optional_cameras]
    if missing or not any(name in data.cameras for name in planner.cameras):
        raise CheckpointError(
            f"{base.folder.name!r} looks through {', '.join(planner.cameras)}; --data has "
            f"{', '.join(sorted(data.cameras)) or 'no camera'}: {again} --cameras and their names, in the model's order"
        )
    known = base.manifest.embodiment
    seen = robot.seen_through(camera.name for camera in known.cameras)
    if differing := known.differing(seen):
        raise CheckpointError(
            f"{base.folder.name!r} is for embodiment {known.name!r}, --data of {robot.name!r}: they differ in "
            f"{', '.join(differing)}; {again}"
        )
    dt_s = float(base.manifest.actor.config["dt_s"])
    if not is_rate_of(dt_s, data.fps):
        raise CheckpointError(
            f"{base.folder.name!r} makes {1 / dt_s:.3g} rows a second, --data has {data.fps}: {again} --rate-hz "
            f"{data.fps}"
        )
