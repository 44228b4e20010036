"""`dualsys subtasks`: a language head for a controller's planner, which stays as it is.

Episodes of a task are told step by step by its judge while the controller acts; from them progress is learned. Words
are learned from the suite's grammar. What a threshold would do is counted on episodes kept out of training.
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dualsys import sim_envs
from dualsys.app.outputs import require_outputs
from dualsys.checkpoint import Checkpoint
from dualsys.errors import ConfigError
from dualsys.files import write_json
from dualsys.seeds import TRAINING_SEEDS
from dualsys.stored_kinds import require_teachable

TELLABLE = ("humanoid/sequence",)
WORD_CASES = 100
"""Sentences of held-out phrasings, on which words are counted as right or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtasksConfig:
    """Teaches a controller's planner to say which step of a long instruction it is at."""

    out: Path
    """Folder of the new checkpoint: a copy of the old, with the head beside the planner's weights."""
    checkpoint: str = "humanoid-table"
    """Controller to teach: shipped name or folder. Nothing of it is changed."""
    task: Annotated[str, tyro.conf.arg(metavar="TASK")] = "humanoid/sequence"
    """Task whose episodes are told step by step."""
    episodes: int = 60
    """Of these, one in five is kept out of training."""
    told: Path | None = None
    """File of the recorded episodes; those it has already are not played again. None: OUT.npz."""
    word_steps: int = 2400
    """Optimizer steps for words."""
    sense_steps: int = 1500
    """Optimizer steps for progress."""
    sure: float | None = None
    """Probability from which a step counts as done; None: the one with the fewest mistakes on the episodes kept out."""
    in_a_row: int = 1
    """So many observations after each other must be sure."""
    seed: int = 0
    """Of the first episode (training seeds: 0 to 7999), of the weights and the batches."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing. Raises `ConfigError`."""
        if self.task not in TELLABLE:
            raise ConfigError(f"--task {self.task!r} has no steps to be told; take {' or '.join(TELLABLE)}")
        if self.episodes < 5 or min(self.word_steps, self.sense_steps, self.in_a_row) < 1:
            raise ConfigError("--episodes must be at least 5; --word-steps, --sense-steps and --in-a-row at least 1")
        if self.sure is not None and not 0 <= self.sure <= 1:
            raise ConfigError(f"--sure must be between 0 and 1, got {self.sure}")
        if self.seed < 0 or self.seed + self.episodes > TRAINING_SEEDS:
            raise ConfigError(f"--seed and those that follow must be training seeds: 0 to {TRAINING_SEEDS - 1}")


def main(config: SubtasksConfig) -> int:
    """Record, train, choose the threshold, write. Returns the exit status."""
    from dualsys.app.training.told_steps import load_told, save_told

    require_teachable(Checkpoint.open(config.checkpoint))
    told = config.told or config.out.with_suffix(".npz")
    require_outputs({"--told": told}, folders={"--out": config.out})
    episodes = load_told(told) if told.is_file() and told.stat().st_size else {}
    missing = [seed for seed in range(config.seed, config.seed + config.episodes) if seed not in episodes]
    for seed, steps in track(_recorded(config, missing), total=len(missing), description="told step by step"):
        episodes[seed] = steps
        save_told(told, episodes)
    chosen = {seed: episodes[seed] for seed in range(config.seed, config.seed + config.episodes)}
    report = teach(config, chosen)
    write_json(config.out / "subtasks_training.json", report)
    Console().print(_table(report))
    return 0


def _recorded(config: SubtasksConfig, seeds: list[int]) -> Iterator[tuple[int, list[Any]]]:
    from dualsys.app.controller import Controller
    from dualsys.app.training.told_steps import ToldPlanner, told_episode
    from dualsys.bridge.parts import PartConfig, build_actor, make_planner
    from dualsys.bridge.process_life import use_one_torch_thread
    from dualsys.sim_envs.humanoid.steps import steps_of

    if not seeds:
        return
    manifest, part = Checkpoint.open(config.checkpoint).manifest, PartConfig(checkpoint=config.checkpoint)
    planner = ToldPlanner(make_planner(part))
    use_one_torch_thread()
    environment: Any = sim_envs.make(config.task, seed=seeds[0], images="on-demand")
    with Controller(planner, build_actor(part, manifest.embodiment, manifest.subgoal)) as controller:
        for seed in seeds:
            environment.reset(seed=seed)
            controller.reset(seed=seed)
            drawn = environment.snapshot().episode
            steps = steps_of(drawn.goals, together=drawn.together)
            yield seed, list(told_episode(environment, controller, planner, steps, np.random.default_rng(seed)))
    environment.close()


def teach(config: SubtasksConfig, episodes: dict[int, list[Any]]) -> dict[str, Any]:
    """Train a head on what was told, write it beside a copy of the controller; returns the report."""
    import torch

    from dualsys.app.training import language_head as training
    from dualsys.app.training.step_words import draw_step_words
    from dualsys.bridge.process_life import use_one_torch_thread
    from dualsys.planner.subtask_planner import config_for, fresh_head, save_head
    from dualsys.planner.vlm_planner import VLMPlanner

    use_one_torch_thread()
    opened = Checkpoint.open(config.checkpoint)
    planner = VLMPlanner.from_checkpoint(opened)
    torch.manual_seed(config.seed)
    sizes = config_for(planner, state_size=len(opened.manifest.embodiment.state_names))
    head = fresh_head(sizes.model_copy(update={"in_a_row": config.in_a_row}), planner)
    ordered = [episodes[seed] for seed in sorted(episodes)]
    kept_out = [steps for episode in ordered[::5] for steps in episode]
    train = [steps for number, episode in enumerate(ordered) if number % 5 for steps in episode]
    with _Bar("words", config.word_steps) as bar:
        words_loss = training.train_words(
            head, steps=config.word_steps, batch_size=16, seed=config.seed, on_step=bar.show
        )
    with _Bar("progress", config.sense_steps) as bar:
        sense_loss = training.train_sense(
            head, train, steps=config.sense_steps, batch_size=64, seed=config.seed, on_step=bar.show
        )
    counts = training.sure_counts(head, kept_out)
    best = training.best_threshold(counts)
    sure = best.sure if config.sure is None else config.sure
    head.config = head.config.model_copy(update={"sure": sure})
    rng = np.random.default_rng(config.seed)
    cases = [draw_step_words(rng, "held-out") for _ in range(WORD_CASES)]
    shutil.copytree(opened.folder, config.out, dirs_exist_ok=True)
    save_head(head, config.out)
    return {
        "sure": sure,
        "thresholds": [asdict(count) for count in counts],
        "words_right": training.words_right(head, cases),
        "words_loss": words_loss,
        "sense_loss": sense_loss,
        "episodes": len(ordered),
        "steps_told": len(train),
        "steps_kept_out": len(kept_out),
        "config": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()},
    }


class _Bar:
    """Progress of a training, with its loss."""

    def __init__(self, name: str, steps: int) -> None:
        from rich.progress import Progress

        self._progress = Progress()
        self._name = name
        self._task = self._progress.add_task(name, total=steps)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def show(self, step: int, loss: float) -> None:
        """After a step."""
        self._progress.update(self._task, completed=step + 1, description=f"{self._name} {loss:.3f}")

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _table(report: dict[str, Any]) -> Table:
    table = Table(title=f"sure from {report['sure']:g}; {100 * report['words_right']:.0f} % of held-out words right")
    for name in ("threshold", "noticed", "false alarms"):
        table.add_column(name, justify="right")
    for count in report["thresholds"]:
        table.add_row(
            f"{count['sure']:g}", f"{count['noticed']}/{count['steps']}", f"{count['false_alarms']}/{count['of']}"
        )
    return table
