"""In what an evaluation is not what its protocol says."""

from collections.abc import Sequence

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.tasks import tasks_of_protocol
from dualsys.app.eyes import trained_eyes
from dualsys.app.trained_robots import trained_robots
from dualsys.sim_envs.options import size_in_words
from dualsys.sim_envs.perturbations import perturbations_of
from dualsys.sim_envs.protocols import EvaluationProtocol


def deviations(config: EvalConfig, tasks: Sequence[str]) -> list[str]:
    """What is done otherwise than the protocol has it, in a few words each; empty: it is the protocol."""
    protocol = config.benchmark()
    if protocol is None:
        return []
    found = [_of_tasks(protocol, tasks), _of_eyes(config, protocol, tasks[0])]
    if config.episodes < protocol.episodes:
        found.insert(0, f"{config.episodes} of {protocol.episodes} episodes of each task")
    if protocol.control_hz is None and config.control_hz is not None:
        found.append(f"controlled at {config.control_hz:g} Hz instead of the task's own rate, so steps are other times")
    if config.phrasing != "train":
        found.append(f"instructions are phrased otherwise: {config.phrasing}")
    if config.randomization != "usual":
        found.append(f"light, shades and cameras stray further: {config.randomization}")
    if perturbations_of(config.perturb):
        found.append(f"perturbed: {', '.join(config.perturb)}")
    return [deviation for deviation in found if deviation]


def _of_tasks(protocol: EvaluationProtocol, tasks: Sequence[str]) -> str:
    if protocol.unit == "task":
        return ""
    everything = tasks_of_protocol(protocol)
    if protocol.unit == "all":
        return "" if len(tasks) == len(everything) else f"{len(tasks)} of {len(everything)} tasks"
    groups = {name: protocol.tasks_among(everything, group=name) for name in protocol.groups}
    torn = {
        name: len(set(members) & set(tasks))
        for name, members in groups.items()
        if 0 < len(set(members) & set(tasks)) < len(members)
    }
    return ", ".join(f"{count} of {len(groups[name])} tasks of the group {name}" for name, count in torn.items())


def _of_eyes(config: EvalConfig, protocol: EvaluationProtocol, task: str) -> str:
    """A controller sees with the cameras it was trained with. A suite's tasks have one robot: the first tells."""
    if protocol.cameras is None and protocol.image_size is None:
        return ""
    eyes = trained_eyes(task, *trained_robots(config.policy, config.used_checkpoint))
    asked = {"cameras": protocol.cameras, "image_size": protocol.image_size}
    if all(asked[name] in (None, value) for name, value in eyes.items()):
        return ""
    return f"seen as it was trained, by {', '.join(eyes['cameras'])} at {size_in_words(eyes['image_size'])} pixels"
