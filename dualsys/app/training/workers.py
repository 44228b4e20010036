"""Training by several processes under Ray Train, which places them, connects them and starts them again.

    dualsys train --workers N          this process: follows the curve, says what happens
      Ray Train's controller           starts the workers; when one dies, all of them again
        worker 0 .. N - 1              the same loop as without Ray, each with its share of every batch

Worker 0 writes the files. What workers go on from after a death is the training's own `state.pt`, as after `--resume`;
nothing of Ray's checkpoints is used. Errors of ours end the training instead of being tried again.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from dualsys.app.ctrl_c import watched
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.display import TrainingDisplay
from dualsys.app.training.progress import TrainingFolder
from dualsys.app.training.robot_datasets import open_data
from dualsys.app.training.share import Share
from dualsys.bridge.ray_cluster import start_ray
from dualsys.data.reader import DemonstrationDataset
from dualsys.device import VARIABLE, model_device
from dualsys.errors import BridgeError, ConfigError, DualsysError, ExtraMissing

_FOLLOW_PERIOD_S = 0.5
_PATIENCE_S = 6 * 3600
"""Of workers that wait for one that computes or writes; a dead one is noticed by Ray, at once."""
_WITHOUT = "--workers 1"


class Learn(Protocol):
    """What every worker does: `dualsys.app.train.learn`."""

    def __call__(
        self, config: TrainConfig, data: DemonstrationDataset, *, share: Share, display: TrainingDisplay, resume: bool
    ) -> None:
        """Train, alone or as one of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is sent to the workers, within the process group."""

    config: TrainConfig
    learn: Learn


def train_with_workers(config: TrainConfig, learn: Learn, display: TrainingDisplay) -> None:
    """Train with `config.workers` processes, on this machine or on a cluster's.

    Raises:
        ExtraMissing: Ray Train is not installed.
        BridgeError: Ray didn't start, or workers died more often than `config.max_restarts`.
        ConfigError: there are not as many processors or GPUs.
        DualsysError: what a worker says, as its one-process twin would.
    """
    # Workers have working directories of their own.
    config = replace(
        config,
        data=tuple(path.resolve() for path in config.data),
        out=config.out.resolve(),
        delay_log=None if config.delay_log is None else config.delay_log.resolve(),
        init=_absolute(config.init),
    )
    ray = start_ray(config.ray_address, num_cpus=config.workers, without=_WITHOUT)
    try:
        use_gpu = model_device().type == "cuda"
        _require_resources(ray, config, "GPU" if use_gpu else "CPU")
        with tempfile.TemporaryDirectory(prefix="dualsys-train-") as storage, _following(config, display):
            refusal = _fit(Work(config=config, learn=learn), storage, use_gpu=use_gpu)
    finally:
        with watched() as ctrl_c, ctrl_c.held():  # pressed again, it must not break off what takes the cluster down
            ray.shutdown()
    if refusal is not None:
        raise refusal


def _absolute(name_or_folder: str) -> str:
    """A folder's absolute path; the name of a shipped checkpoint as it is."""
    path = Path(name_or_folder)
    return str(path.resolve()) if name_or_folder and path.is_dir() else name_or_folder


def _require_resources(ray: Any, config: TrainConfig, kind: str) -> None:
    """Ray would wait for what does not come, without a word."""
    found = int(ray.cluster_resources().get(kind, 0))
    if found < config.workers:
        raise ConfigError(
            f"--workers {config.workers} need a {kind} each and the Ray cluster has {found}; use --workers "
            f"{max(1, found)}" + ("" if kind == "CPU" else f", or {VARIABLE}=cpu")
        )


def _fit(work: Work, storage: str, *, use_gpu: bool) -> DualsysError | None:
    """Run the workers to their end. Returns what they refused to go on for."""
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
        from ray.train.v2.api.exceptions import TrainingFailedError
    except ImportError as error:
        raise ExtraMissing(f"--workers needs Ray Train: pip install 'dualsys[train]' ({error})") from error

    trainer: Any = TorchTrainer(
        cast(Any, _work),
        train_loop_config={"work": work},
        scaling_config=ScalingConfig(
            num_workers=work.config.workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": 1, "GPU": 1} if use_gpu else {"CPU": 1},
        ),
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo", timeout_s=_PATIENCE_S),
        run_config=RunConfig(
            name="dualsys-train",
            storage_path=storage,
            failure_config=FailureConfig(max_failures=work.config.max_restarts),
        ),
    )
    # Its answer to Ctrl-C is to ask its controller, which hears nothing while workers start, for a quarter of a minute.
    # Without it Ctrl-C is raised here, and all that is Ray's ends with this driver: what is saved is whole at any time.
    trainer._register_sigint_handler = lambda controller: None
    try:
        refusal: DualsysError | None = trainer.fit().return_value
    except TrainingFailedError as error:
        reason = str(error).strip().split("\n")[-1]
        raise BridgeError(
            f"workers died more than --max-restarts {work.config.max_restarts} times: {reason} "
            "Go on from the last saved state with --resume"
        ) from error
    return refusal


def _work(loop_config: dict[Any, Any]) -> DualsysError | None:
    """A worker's life. Returns what it refused to go on for: raised, Ray Train would try again."""
    import ray.train.torch

    context, device = ray.train.get_context(), ray.train.torch.get_device()
    os.environ[VARIABLE] = str(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    work: Work = loop_config["work"]
    folder = TrainingFolder(work.config.out)
    share = Share(rank=context.get_world_rank(), size=context.get_world_size())
    try:
        work.learn(
            work.config,
            share.together(partial(open_data, work.config)),
            share=share,
            display=TrainingDisplay(steps=work.config.steps, quiet=True),
            # A state that was not there at first is of workers before these.
            resume=folder.state_file.exists(),
        )
    except DualsysError as error:
        return error
    return None


@contextmanager
def _following(config: TrainConfig, display: TrainingDisplay) -> Iterator[None]:
    """Show on this terminal what the first worker writes, while the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(TrainingFolder(config.out), display, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(folder: TrainingFolder, display: TrainingDisplay, stop: threading.Event) -> None:
    starts, steps = len(folder.starts()) + 1, max((record["step"] for record in folder.records()), default=0)
    is_last = False
    while not is_last:
        is_last = stop.wait(_FOLLOW_PERIOD_S)
        for start in folder.starts()[starts:]:
            display.say(f"a worker died: all were started again, from step {start['step']}")
            starts, steps = starts + 1, start["step"]
        for record in folder.records():
            if record["step"] > steps:
                steps = record["step"]
                display.note(record)
                if "validation_flow" in record:
                    display.show(record)
