"""What an evaluation by a protocol does, exactly, for the terminal."""

from collections.abc import Sequence

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.timing_words import timing_in_words
from dualsys.seeds import TRAINING_SEEDS
from dualsys.sim_envs.options import size_in_words
from dualsys.sim_envs.protocols import EvaluationProtocol

SUCCESS = {
    "ever": "solved at any moment",
    "at-end": "solved when the episode is over",
    "return": "none: the sum of the rewards counts",
}


def protocol_panel(config: EvalConfig, tasks: Sequence[str], deviations: Sequence[str]) -> Panel:
    """A panel: the protocol's title and source, every choice that it makes, and what is done otherwise."""
    protocol = config.benchmark()
    assert protocol is not None
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, words in _rows(config, protocol, tasks):
        table.add_row(name, Text(words))
    parts: list[Text | Table] = [Text(protocol.title, style="bold"), table]
    parts += [Text(f"otherwise than the source: {words}") for words in protocol.differences]
    if deviations:
        parts.append(Text(f"not the protocol: {'; '.join(deviations)}", style="yellow"))
    return Panel(Group(*parts), title=protocol.name, expand=False)


def _rows(config: EvalConfig, protocol: EvaluationProtocol, tasks: Sequence[str]) -> list[tuple[str, str]]:
    last = config.seed + config.episodes - 1
    seeds = f"{config.seed} to {last}"
    if config.seed < TRAINING_SEEDS and not protocol.initial_states:
        seeds += f" (seeds below {TRAINING_SEEDS} are for training: no demonstrations from these)"
    return [
        ("source", protocol.source),
        ("tasks", f"{len(tasks)}: {_some(tasks)}"),
        ("episodes", f"{config.episodes} of each task"),
        ("seeds", seeds),
        ("starts", "the task's own list, in order" if protocol.initial_states else "drawn from the seed"),
        ("horizon", _horizon(protocol, tasks)),
        ("before it", f"{protocol.settle_steps} steps without action" if protocol.settle_steps else "nothing"),
        ("reset", protocol.reset_kind or "the task's own"),
        ("images", _images(protocol)),
        ("rate", "the task's own" if config.control_hz is None else f"{config.control_hz:g} Hz"),
        ("chunks", _chunks(config, protocol)),
        ("timing", _timing(config)),
        ("success", SUCCESS[protocol.success] + (", which ends the episode" if protocol.stop_on_success else "")),
        ("average", f"over {protocol.averaging}"),
    ]


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])} ... {names[-1]}"


def _horizon(protocol: EvaluationProtocol, tasks: Sequence[str]) -> str:
    steps = dict.fromkeys(protocol.horizon_of(task) for task in tasks)
    return ", ".join("the task's own limit" if each is None else f"{each} steps" for each in steps)


def _images(protocol: EvaluationProtocol) -> str:
    size = "of the suite's own size" if protocol.image_size is None else f"{size_in_words(protocol.image_size)} pixels"
    cameras = "the task's own cameras" if protocol.cameras is None else ", ".join(protocol.cameras)
    turn = {"none": "as drawn", "half": "turned by 180 degrees", "upside-down": "upside down"}[protocol.image_turn]
    return f"{cameras}, {size}, {turn}"


def _timing(config: EvalConfig) -> str:
    words = timing_in_words(config.plain())
    return words if config.world == "frozen" else f"no part of the protocol: {words}"


def _chunks(config: EvalConfig, protocol: EvaluationProtocol) -> str:
    if config.world == "frozen":
        rows = "half" if config.execution_horizon is None else f"{config.execution_horizon} rows"
        return f"{rows} of each executed"
    rate = f"asked for at {config.core.actor_hz:g} Hz"
    if protocol.execution_horizon is None:
        return f"{rate}: not the protocol's affair"
    return f"{rate}: {protocol.execution_horizon} rows of each are played"
