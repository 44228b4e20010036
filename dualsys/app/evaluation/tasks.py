"""Which tasks an evaluation is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dualsys import sim_envs
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.trained_robots import trained_robots
from dualsys.errors import ConfigError, unknown_name
from dualsys.sim_envs.protocols import EvaluationProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTasks:
    """What an evaluation is about, and what of what was asked for it isn't."""

    names: tuple[str, ...]
    left_out: Mapping[str, str]
    """Tasks that nobody was trained for, and the robots that they are done with."""


def choose_tasks(config: EvalConfig) -> ChosenTasks:
    """Its tasks: of a protocol only those that it has, or that its group has; of a suite those of the trained robots.

    Raises `ConfigError` where none is left, or a name is unknown. One task that is asked for by its name stays, whoever
    is to do it: the checkpoint says then what it is for.
    """
    asked = _asked_for(config)
    others = _left_out(config, asked)
    tasks = tuple(task for task in asked if task not in others)
    if not tasks:
        known = sorted({robot.name for robot in trained_robots(config.policy, config.used_checkpoint)})
        theirs = sorted(set(others.values()))
        shown = ", ".join(theirs[:5]) + (" ..." if len(theirs) > 5 else "")
        raise ConfigError(
            f"{config.suite_or_task}: none of its {len(asked)} tasks is done with {' or '.join(known)}, which "
            f"{config.policy or config.checkpoint} drives, but with {shown}; use a checkpoint of one of those"
        )
    return ChosenTasks(names=tasks, left_out=others)


def _left_out(config: EvalConfig, asked: Sequence[str]) -> dict[str, str]:
    """Tasks that nobody was trained for, and the robots that they are done with.

    Only suites that say which robot a task is done with have such: nothing is built to find out. A planner and an actor
    that are no checkpoint's do any.
    """
    if config.planner and config.actor and not config.policy:
        return {}
    robots = {task: robot for task in asked if (robot := sim_envs.robot_of(task)) is not None}
    if config.suite_or_task in asked or not robots:
        return {}
    trained = {robot.name for robot in trained_robots(config.policy, config.used_checkpoint)}
    return {task: robot for task, robot in robots.items() if trained and robot not in trained}


def _asked_for(config: EvalConfig) -> list[str]:
    tasks = tasks_of(config.suite_or_task)
    protocol = config.benchmark()
    if protocol is None:
        return tasks
    _require_known(protocol, config.suite_or_task.partition("/")[0])
    chosen = list(protocol.tasks_among(tasks, group=config.group))
    if not chosen:
        of_what = f"the group {config.group} of {protocol.name}" if config.group else f"the protocol {protocol.name}"
        raise ConfigError(
            f"{config.suite_or_task} has no task of {of_what}, which is about {', '.join(protocol.tasks)}: evaluate "
            "one of those, or by another protocol (dualsys list)"
        )
    return chosen


def tasks_of(suite_or_task: str) -> list[str]:
    """Tasks of a suite, those that a pattern (`libero/spatial-*`) fits, or the one task.

    Raises `ConfigError` for an unknown name.
    """
    suite, _, task = suite_or_task.partition("/")
    if task and not set("*?[") & set(task):
        sim_envs.suite_of(suite_or_task)
        return [suite_or_task]
    suites = sim_envs.suites()
    if suite not in suites:
        raise ConfigError(unknown_name("suite", suite, suites))
    known = sorted(sim_envs.load_suite(suite).tasks())
    found = [name for name in known if not task or fnmatchcase(name, suite_or_task)]
    if not found:
        raise ConfigError(f"no task matches {suite_or_task!r}. Available: {', '.join(known)}.")
    return found


def tasks_of_protocol(protocol: EvaluationProtocol) -> tuple[str, ...]:
    """All tasks that a protocol is about, of the suites that it names. Raises `ConfigError` for one that is unknown."""
    suites = _suites_of(protocol)
    for suite in suites:
        _require_known(protocol, suite)
    return protocol.tasks_among(task for suite in suites for task in tasks_of(suite))


def _require_known(protocol: EvaluationProtocol, suite: str) -> None:
    """Refuse what a protocol names and nobody has, of this suite's tasks; others need not be installed."""
    suites = sim_envs.suites()
    for named in _suites_of(protocol):
        if named not in suites:
            raise ConfigError(f"tasks of the protocol {protocol.name}: {unknown_name('suite', named, suites)}")
    protocol.require_known(suite, sim_envs.load_suite(suite).tasks())


def _suites_of(protocol: EvaluationProtocol) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pattern.partition("/")[0] for pattern in protocol.tasks))
