"""`dualsys import`: a published checkpoint as a controller of ours."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import Progress

from dualsys.app.importing.layout_names import Layout
from dualsys.errors import ConfigError
from dualsys.files import write_json

if TYPE_CHECKING:
    from dualsys.app.importing.conversion import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportConfig:
    """Reads pi0, pi0.5 (openpi's PyTorch port, LeRobot), SmolVLA and GR00T N1.5 to N1.7 from safetensors.

    Whatever is missing, unexpected or of another shape is an error, missing statistics too. Weights go from file to
    file in blocks, so memory doesn't grow with them. What is written opens with --checkpoint and dualsys.Controller.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CHECKPOINT")]
    """Folder with config.json and safetensors, as it is published; or one safetensors file."""
    out: Path | None = None
    """Folder of the new checkpoint; not needed with --dry-run."""
    layout: Layout = "auto"
    """Of the checkpoint; auto tells it by its tensors' names."""
    embodiment: str = ""
    """The robot: a JSON file, a dataset's folder or a task such as humanoid/touch; empty: what the checkpoint tells."""
    cameras: tuple[str, ...] = ()
    """The robot's cameras that stand for the model's, in the model's order; the model's others are black."""
    tokenizer: str = ""
    """Folder or hub name of the planner's tokenizer; empty: the checkpoint's, else the one its publisher names."""
    statistics: Path | None = None
    """JSON file or dataset's folder to take statistics from, instead of the checkpoint's."""
    statistics_prefix: str = ""
    """What stands before the names of the statistics that count, such as so100.buffer. (with the dot)."""
    tag: str = ""
    """Of GR00T's robots, the one that is driven."""
    rate_hz: float | None = None
    """Rows of action a second; no layout tells it. None: the family's usual."""
    padded_state: bool = False
    """Of pi0.5 that LeRobot before 0.5 trained: its prompt tells the state with zeros up to max_state_dim."""
    dry_run: bool = False
    """Check and report; read no weights and write nothing."""
    json: Path | None = None
    """Write the report to this file, too."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values that mean nothing."""
        if self.out is None and not self.dry_run:
            raise ConfigError("say where to: --out FOLDER; or look first: --dry-run")
        if self.rate_hz is not None and not 0 < self.rate_hz < float("inf"):
            raise ConfigError(f"--rate-hz must be positive, got {self.rate_hz}")


def main(config: ImportConfig) -> int:
    """Import, with a report and progress on the terminal."""
    from dualsys.app.importing.conversion import Wish, plan_import, require_new, write_import
    from dualsys.app.importing.import_report import print_report, summary
    from dualsys.app.importing.words import describe_tokenizer, find_tokenizer, require_place

    require_place(config.tokenizer)
    if config.out is not None:
        require_new(config.out)
    plan = plan_import(
        Wish(
            checkpoint=config.checkpoint,
            layout=config.layout,
            embodiment=config.embodiment,
            cameras=config.cameras,
            statistics=config.statistics,
            statistics_prefix=config.statistics_prefix,
            tag=config.tag,
            rate_hz=config.rate_hz,
            padded_state=config.padded_state,
        )
    )
    words = describe_tokenizer(plan, config.tokenizer)
    print_report(Console(), plan, words)
    if config.json is not None:
        write_json(config.json, summary(plan, words))
    if config.dry_run or config.out is None:
        return 0
    console = Console(stderr=True)
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    tokenizer = find_tokenizer(plan, config.tokenizer, say)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("importing", total=plan.published.weights.nbytes)
        write_import(plan, tokenizer, config.out, lambda done: bar.advance(task, done))
    say(f"{config.out}: a controller for {plan.robot.embodiment.name!r}. {_next_step(plan, config.out)}")
    return 0


def _next_step(plan: "Plan", out: Path) -> str:
    """What to do with it: no task has a robot that was made up of a checkpoint."""
    task = plan.robot.source.removeprefix("task ")
    if task != plan.robot.source:
        return f"Try it: dualsys eval {task} --checkpoint {out}"
    made_up = plan.robot.source.startswith("derived")
    known = (
        "No task has this robot" if made_up else f"Where a task has this robot: dualsys eval TASK --checkpoint {out}"
    )
    return (
        f"{known}. From a program:\n"
        "  import dualsys\n"
        f"  with dualsys.Controller.from_checkpoint({str(out)!r}) as controller:\n"
        "      command = controller.step(observation)"
    )
