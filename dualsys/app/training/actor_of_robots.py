"""The actor of several robots, from data of all of them."""

import numpy as np

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.many_robots_actor import ManyRobotActor
from dualsys.actor.normalization import StatisticsByRobot
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.relative_actions import statistics_of
from dualsys.data.reader import DemonstrationDataset
from dualsys.errors import ConfigError
from dualsys.planner.vlm_planner import VLMPlanner


def other_cameras(data: DemonstrationDataset, camera: str) -> tuple[str, ...]:
    """What the planner looks through on robots that have no camera of that name."""
    names = dict.fromkeys(each.name for robot in data.robots for each in robot.cameras)
    return tuple(name for name in names if name != camera)


def require_new_actor(config: TrainConfig) -> None:
    """Refuse, for data of several robots, what goes on with an actor of one. Raises `ConfigError`."""
    if (config.init and config.init_parts == "both") or config.train == "actor":
        raise ConfigError(
            "--data is of several robots, whose actor is a new one: with --init, give --init-parts planner, and leave "
            "out --train actor"
        )
    if config.head != "flow":
        raise ConfigError(f"--head {config.head} is of one robot, --data of several, whose head is flow; leave it out")
    if config.actor.vision is not None:
        raise ConfigError("--actor.vision is one robot's camera, --data is of several robots; leave it out")


def build_actor_of_robots(
    config: TrainConfig, planner: VLMPlanner, data: DemonstrationDataset, episodes: np.ndarray
) -> ManyRobotActor:
    """The actor to train for several robots, each scaled by statistics of its own episodes."""
    assert data.robot_of_episode is not None
    statistics = {}
    for number, robot in enumerate(data.robots):
        rows = rows_of(data, episodes[data.robot_of_episode[episodes] == number])
        statistics[robot.name] = statistics_of(data, rows, robot, config)
    shape = config.actor.model_dump() | ({} if config.max_prefix is None else {"max_prefix": config.max_prefix})
    return ManyRobotActor.build(
        FlowActorConfig.model_validate(shape),
        robots=data.robots,
        subgoal_spec=planner.subgoal_spec,
        statistics=StatisticsByRobot(robots=statistics),
    )


def rows_of(data: DemonstrationDataset, episodes: np.ndarray) -> np.ndarray:
    """Row numbers of some episodes."""
    spans = zip(data.episode_starts[episodes], data.episode_lengths[episodes], strict=True)
    return np.concatenate([np.arange(start, start + length) for start, length in spans])
