"""How many samples a second does training take in, beside LeRobot's ACT on the same dataset?

    python -m benchmarks.training_speed --lerobot-python LEROBOT/bin/python

A sample is a frame and one chunk of actions (`--horizon` rows), with the instruction where the model reads it. Ours is
`Trainer.step`, whole: drawing the batch, augmentation, forward, backward, clipping, AdamW, averaging. LeRobot's is a
step of its training script on its `LeRobotDataset` and a `DataLoader`, and the same with batches that lie in memory, so
that the loader's part is known. LeRobot runs in an environment of its own (`tests/interop/README.md`), in a process
that waits while the other measures; blocks of steps alternate. Same recording, batch, images, horizon and threads.

ACT's ResNet18 alone has 11.2 million parameters, more than three times our shipped controller. So the two are compared
at the size of ours with every width doubled, ACT's transformer made to fit; the shipped size stands beside them.
"""

import copy
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.actor.config import FlowActorConfig
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.train import build_actor, usual_camera
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.actor_of_robots import rows_of
from dualsys.app.training.centres import Centres
from dualsys.app.training.display import TrainingDisplay
from dualsys.app.training.episode_split import split_episodes
from dualsys.app.training.learner import Learner, LossWeights
from dualsys.app.training.trainer import Trainer
from dualsys.data import DemonstrationDataset
from dualsys.planner.config import TINY_PALIGEMMA, ReadoutConfig, VLMPlannerConfig
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner

Block = dict[str, float]
"""`wall_s` and `cpu_s` of a block of steps, and the last loss."""
Runner = Callable[[int], Block]
"""Takes so many steps."""
TOLERANCE = 0.05
OURS, SHIPPED, LOADER, MEMORY = "dualsys", "dualsys, shipped size", "LeRobot ACT", "LeRobot ACT, batches in memory"
DIFFERENCES = (
    "vision: ours a SigLIP-style ViT on patches of 12 pixels, ACT's a ResNet18 with frozen batch norms, weights fresh",
    "language: ours reads the instruction through a Gemma-style decoder, ACT reads none",
    "objective: ours flow matching and helper losses on positions, ACT an L1 loss through a variational encoder",
    "images: ours adds photometric augmentation, LeRobot none; neither crops",
    "data: ours decodes videos on a dataset's first opening and maps the frames from then on, LeRobot decodes as it"
    " draws, in the training's own process; with loader processes on further cores it comes up to its rate in memory",
    "averaging: ours keeps a moving average of the weights, ACT none",
    "frames: ours draws a chunk up to 0.6 s after its frame, as the controller will meet it; ACT's begins at the frame",
)
"""What the two do differently at the same size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpeedConfig:
    """Samples a second of training, beside LeRobot's ACT."""

    lerobot_python: Path | None = None
    """Python in whose environment LeRobot is; None: ours alone is measured."""
    data: Path | None = None
    """Recording to train on; None: one of humanoid/touch is made and thrown away."""
    demonstrations: int = 20
    """Episodes of that one."""
    batch_size: int = 32
    """Samples a step."""
    image_size: int = 96
    """Height and width of its pictures, a multiple of 12."""
    horizon: int = 32
    """Rows of a chunk."""
    width: int = 2
    """Times the shipped widths at which ours is compared."""
    blocks: int = 8
    """Blocks of steps of each; the median of their rates is the figure, the least and the largest stand beside it."""
    steps: int = 10
    """Steps a block."""
    warmup: int = 3
    """Steps before the first block that are not counted."""
    threads: int = 1
    """Torch threads of each."""
    json: Path | None = None
    """File for the figures; default: results/training_speed.json."""


def main(config: TrainingSpeedConfig) -> None:
    """Record, measure, print, write."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # both on the processor
    torch.set_num_threads(config.threads)
    with tempfile.TemporaryDirectory(prefix="training-speed.") as scratch:
        folder = config.data or Path(scratch) / "touch"
        if config.data is None:
            demos = DemosConfig(
                task="humanoid/touch", episodes=config.demonstrations, out=folder, image_size=config.image_size
            )
            record_demonstrations(demos)
        started_s = time.perf_counter()
        data = DemonstrationDataset.open(folder)
        opened = {"first_opening_s": time.perf_counter() - started_s, "rows": len(data), "frames": len(data.frames)}
        trainers = {OURS: trainer_for(config, data, config.width), SHIPPED: trainer_for(config, data, 1)}
        parameters = {name: num_parameters(trainer.learner) for name, trainer in trainers.items()}
        runners: dict[str, Runner] = {name: _runner(trainer) for name, trainer in trainers.items()}
        with _lerobot(config, folder, parameters[OURS], Path(scratch)) as lerobot:
            if lerobot is not None:
                runners[LOADER], runners[MEMORY] = lerobot.runner("loader"), lerobot.runner("memory")
                parameters[LOADER] = parameters[MEMORY] = lerobot.built["parameters"]
            blocks = alternate(runners, config)
    results = {name: {**summary(each, config), "parameters": parameters[name]} for name, each in blocks.items()}
    figures = {"results": results, "data": opened, "differences": DIFFERENCES, "sample": "a frame and one chunk"}
    if lerobot is not None:
        figures["lerobot"] = lerobot.built
        figures["ours_over_lerobot"] = {name: ratio(blocks[OURS], blocks[name]) for name in (LOADER, MEMORY)}
    _print(config, figures)
    settings = asdict(config) | {"json": None, "data": None, "lerobot_python": None}
    print(write_report("training_speed", {"config": settings, **figures, "blocks": blocks}, config.json))


def num_parameters(module: torch.nn.Module) -> int:
    """Of all that is trained, helpers included."""
    return sum(value.numel() for value in module.parameters() if value.requires_grad)


def trainer_for(config: TrainingSpeedConfig, data: DemonstrationDataset, width: int) -> Trainer:
    """`dualsys train` with fresh weights at some times the shipped widths."""
    training = TrainConfig(
        data=data.paths,
        out=Path("unused"),
        batch_size=config.batch_size,
        moments_per_frame=1,
        image_size=config.image_size,
        actor=FlowActorConfig(horizon=config.horizon, width=128 * width),
        threads=config.threads,
        precision="float32",
    )
    episodes = split_episodes(data.folder_of_episode, training.validation_fraction, training.seed)
    torch.manual_seed(0)
    planner_config = VLMPlannerConfig(
        backbone="paligemma",
        architecture=widened(width, config.image_size),
        camera=usual_camera(data.cameras, {}),
        readout=ReadoutConfig(num_tokens=8, dim=64 * width, width=128 * width),
    )
    planner = VLMPlanner.build(planner_config, train_tokenizer(sorted(set(data.instructions))))
    actor = build_actor(training, planner, data, rows_of(data, episodes.training), None, lambda _: None)
    learner = Learner(
        planner,
        actor,
        LossWeights(position=1.0, subgoal_dropout=training.subgoal_dropout, image_noise=training.image_noise),
        Centres.of(data),
    )
    return Trainer(training, learner, data, episodes, display=TrainingDisplay(steps=training.steps, quiet=True))


def widened(width: int, image_size: int) -> dict[str, Any]:
    """The shipped backbone's architecture with every width so many times as large."""
    wide = copy.deepcopy(TINY_PALIGEMMA)
    for part in (wide, wide["vision_config"], wide["text_config"]):
        for key in ("projection_dim", "hidden_size", "intermediate_size", "head_dim"):
            if key in part:
                part[key] *= width
    wide["vision_config"]["image_size"] = image_size
    return wide


def _runner(trainer: Trainer) -> Runner:
    steps = iter(range(10**9))

    def run(count: int) -> Block:
        wall_s, cpu_s, loss = time.perf_counter(), time.process_time(), 0.0
        for _ in range(count):
            loss = trainer.step(next(steps))["flow"]
        return {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s, "loss": loss}

    return run


class LeRobotSide:
    """The other process, which measures when asked."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.built = self._answer()

    def runner(self, data: str) -> Runner:
        """Steps on batches from the `loader` or from `memory`."""

        def run(count: int) -> Block:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"data": data, "steps": count}) + "\n")
            self._process.stdin.flush()
            return self._answer()

        return run

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("LeRobot's side ended without an answer; what it said is above")
        return dict(json.loads(line))


@contextmanager
def _lerobot(config: TrainingSpeedConfig, folder: Path, parameters: int, scratch: Path) -> Iterator[LeRobotSide | None]:
    if config.lerobot_python is None:
        yield None
        return
    script = Path(__file__).with_name("training_speed_lerobot.py")
    sizes = {"parameters": parameters, "batch-size": config.batch_size, "horizon": config.horizon}
    sizes["threads"] = config.threads
    options = [word for key, value in sizes.items() for word in (f"--{key}", str(value))]
    command = [str(config.lerobot_python), str(script), str(folder), *options]
    quiet = {"HF_HOME": str(scratch / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(config.threads)}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | quiet
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            side = LeRobotSide(process)
            if abs(side.built["parameters"] / parameters - 1) > TOLERANCE:
                raise SystemExit(f"ACT has {side.built['parameters']} parameters, ours {parameters}: not the same size")
            yield side
        finally:
            process.kill()


def alternate(runners: dict[str, Runner], config: TrainingSpeedConfig) -> dict[str, list[Block]]:
    """Warm each up, then run a block of each in turn, again and again."""
    for run in runners.values():
        run(config.warmup)
    blocks: dict[str, list[Block]] = {name: [] for name in runners}
    for _ in range(config.blocks):
        for name, run in runners.items():
            blocks[name].append(run(config.steps))
    return blocks


def summary(blocks: list[Block], config: TrainingSpeedConfig) -> dict[str, Any]:
    """Median and spread of samples a second, and processor time of a sample."""
    samples = config.steps * config.batch_size
    rates = [samples / block["wall_s"] for block in blocks]
    return {
        "samples_per_s": median(rates),
        "least": min(rates),
        "most": max(rates),
        "cpu_ms_per_sample": median(1000 * block["cpu_s"] / samples for block in blocks),
    }


def ratio(ours: list[Block], theirs: list[Block]) -> dict[str, float]:
    """How many times as fast ours is, block beside block."""
    ratios = [other["wall_s"] / own["wall_s"] for own, other in zip(ours, theirs, strict=True)]
    return {"median": median(ratios), "least": min(ratios), "most": max(ratios)}


def _print(config: TrainingSpeedConfig, figures: dict[str, Any]) -> None:
    title = f"batch {config.batch_size}, {config.image_size} px, chunks of {config.horizon}, threads {config.threads}"
    table = Table(title=title)
    for name in ("training", "parameters", "samples a second", "least to most", "CPU ms a sample"):
        table.add_column(name, justify="left" if name == "training" else "right")
    for name, row in figures["results"].items():
        spread = f"{row['least']:.1f} to {row['most']:.1f}"
        cells = (f"{row['parameters'] / 1e6:.2f} M", f"{row['samples_per_s']:.1f}", spread)
        table.add_row(name, *cells, f"{row['cpu_ms_per_sample']:.2f}")
    console = Console()
    console.print(table)
    data = figures["data"]
    console.print(f"a sample: a frame and one chunk; ours opened the dataset in {data['first_opening_s']:.1f} s, once")
    if "lerobot" not in figures:
        console.print("LeRobot was not measured: give --lerobot-python")
        return
    for name, row in figures["ours_over_lerobot"].items():
        console.print(f"dualsys / {name}: {row['median']:.2f} ({row['least']:.2f} to {row['most']:.2f})")
    for difference in DIFFERENCES:
        console.print(f"differs in {difference}", highlight=False)


if __name__ == "__main__":
    main(tyro.cli(TrainingSpeedConfig, description=__doc__))
