"""Which actions a training makes relative to the state, and statistics of the rows that it then learns.

As LeRobot's `use_relative_actions` and openpi's `DeltaActions`: every row of a chunk is relative to the same state, in
which the chunk begins. Statistics of a relative dimension are of all rows of all chunks that training may draw, where
LeRobot takes only the chunks that lie within an episode; what is behind an episode's end counts in neither.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.many_robots_actor import ManyRobotActor
from dualsys.actor.normalization import ControllerStatistics, Kind, Statistics
from dualsys.app.train_config import TrainConfig
from dualsys.data.reader import DemonstrationDataset
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray

_OPTION = "--use-relative-actions"


def statistics_of(
    data: DemonstrationDataset, rows: NDArray[np.integer], robot: EmbodimentSpec, config: TrainConfig
) -> ControllerStatistics:
    """Of some rows of a dataset, all of one robot, by the kind that is asked for.

    Raises:
        ConfigError: actions are to be relative and none can be.
    """
    kind = config.normalization
    states, actions = data.states[rows, : robot.num_states], data.actions[rows, : robot.num_actions]
    state = Statistics.of(states.astype(np.float64), kind)
    if not config.use_relative_actions:
        return ControllerStatistics(state=state, action=Statistics.of(actions.astype(np.float64), kind))
    reference = relative_to(robot, config.relative_exclude_joints)
    columns = [
        actions[:, action].astype(np.float64)
        if of is None
        else np.concatenate(list(_differences(data, rows, action, of, config.actor.horizon)))
        for action, of in enumerate(reference)
    ]
    return ControllerStatistics(state=state, action=_of_columns(columns, kind), relative_to=reference)


def relative_to(robot: EmbodimentSpec, exclude: tuple[str, ...]) -> tuple[int | None, ...]:
    """Of each action the state of the same name; None for velocities, what senses nothing, and what is excluded.

    Args:
        robot: Whose joints and states.
        exclude: Words that stand in the names of joints that stay absolute, in any case of letters.

    Raises:
        ConfigError: no action is left, or what the robot is sent isn't positions.
    """
    if robot.action_representation != "joint":
        raise ConfigError(
            f"{_OPTION} makes positions relative; actions of {robot.name!r} are {robot.action_representation}; leave "
            "it out"
        )
    number = {name: index for index, name in enumerate(robot.state_names)}
    words = [word.lower() for word in exclude if word]
    found = tuple(
        None if joint.is_velocity or any(word in joint.name.lower() for word in words) else number.get(joint.name)
        for joint in robot.joints
    )
    if all(each is None for each in found):
        raise ConfigError(
            f"{_OPTION}: no action of {robot.name!r} is a position with a state of its name, and not excluded; actions "
            f"are {', '.join(joint.name for joint in robot.joints)}, states {', '.join(robot.state_names)}"
        )
    return found


def described(actor: FlowActor | ManyRobotActor) -> Iterator[str]:
    """Which actions are relative, a line for each robot that has some."""
    if isinstance(actor, ManyRobotActor):
        told = [(robot, actor.statistics.robots[robot.name]) for robot in actor.robots]
    else:
        told = [(actor.embodiment, actor.statistics)]
    return (_line(robot, statistics) for robot, statistics in told if statistics.is_relative)


def _line(robot: EmbodimentSpec, statistics: ControllerStatistics) -> str:
    absolute = [joint.name for joint, of in zip(robot.joints, statistics.relative_to, strict=True) if of is None]
    count = robot.num_actions - len(absolute)
    stay = f"; positions stay {', '.join(absolute)}" if absolute else ""
    return f"{count} of {robot.num_actions} actions of {robot.name} are relative to the state as a chunk begins{stay}"


def _differences(
    data: DemonstrationDataset, rows: NDArray[np.integer], action: int, state: int, horizon: int
) -> Iterator[FloatArray]:
    """What each row of the chunks that begin at `rows` is away from where its chunk begins, row by row of a chunk."""
    last = np.zeros(len(data.actions), dtype=np.int64)
    for start, length in zip(data.episode_starts, data.episode_lengths, strict=True):
        last[start : start + length] = start + length - 1
    for ahead in range(horizon):
        begin = rows[rows + ahead <= last[rows]]
        yield data.actions[begin + ahead, action].astype(np.float64) - data.states[begin, state]


def _of_columns(columns: list[FloatArray], kind: Kind) -> Statistics:
    """Of dimensions that aren't equally many."""
    each = [Statistics.of(column[:, None], kind) for column in columns]
    return Statistics(
        kind=kind,
        mean=tuple(own.mean[0] for own in each),
        std=tuple(own.std[0] for own in each),
        low=tuple(end for own in each for end in own.low),
        high=tuple(end for own in each for end in own.high),
    )
