"""One of three workers over real gloo: `python -m tests.training.share_workers RANK FOLDER` writes RANK.json."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dualsys.app.train import learn
from dualsys.app.train_config import TrainConfig
from dualsys.app.training import share as share_module
from dualsys.app.training.display import TrainingDisplay
from dualsys.app.training.share import Share
from dualsys.data import DatasetWriter, DemonstrationDataset
from dualsys.errors import CheckpointError, ConfigError
from tests.unit.data.conftest import build_embodiment, build_episode, build_provenance

SIZE = 3
VALUES = torch.arange(1.0, 10.0)
COUNTS = torch.tensor([1, 1, 0, 0, 0, 0, 1, 1, 1]).bool()
"""Six values of nine count, none of them the second worker's."""
SHAPES = ((2, 2), (3,), (7,), (1, 1))
"""Of parameters, the last of which has no gradient."""


def part_of_mean(share: Share) -> tuple[float, list[float]]:
    """This worker's part of the mean square of what counts, and the part's gradient."""
    mine = share.of(VALUES).clone().requires_grad_()
    kept = share.of(COUNTS)
    part = share.part_of_mean((mine.square() * kept).sum() / kept.sum().clamp(min=1), kept.sum())
    torch.autograd.backward(part)
    assert mine.grad is not None
    return float(part.detach()), mine.grad.tolist()


def part_of_nothing(share: Share, mean: float) -> float:
    """Part of a mean where nothing counts."""
    return float(share.part_of_mean(torch.tensor(mean), torch.tensor(0)))


def summed_gradients(share: Share) -> list[Any]:
    """Gradients that were `(rank + 1) * 10 ** number`; None where there was none."""
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    for number, parameter in enumerate(parameters[:-1]):
        parameter.grad = torch.full(parameter.shape, float((share.rank + 1) * 10**number))
    share.sum_gradients(parameters)
    return [None if parameter.grad is None else parameter.grad.tolist() for parameter in parameters]


def refusal(share: Share) -> str:
    """What the first worker's failure is to this one."""

    def fail() -> None:
        raise CheckpointError("no room")

    try:
        share.on_first(fail)
    except CheckpointError as error:
        return str(error)
    return "nothing"


def refused_learning(share: Share, folder: Path) -> str:
    """What a training is to all where only the second worker cannot build it."""
    dataset = folder / f"data-{share.rank}"
    robot = build_embodiment()
    writer = DatasetWriter(dataset, robot, fps=50)
    for seed in range(2):
        writer.stage(build_episode(seed))
    writer.finish([0, 1], build_provenance(robot, 2))
    data = DemonstrationDataset.open(dataset)
    if share.rank == 1:
        data = replace(data, embodiment=None)
    config = TrainConfig(data=(dataset,), out=folder / "out", steps=1, batch_size=SIZE, image_size=24)
    try:
        learn(config, data, share=share, display=TrainingDisplay(steps=1, quiet=True), resume=False)
    except ConfigError as error:
        return str(error)
    return "nothing"


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=SIZE)
    share = Share(rank=rank, size=SIZE)
    share_module._BUCKET_VALUES = 5
    aligned = torch.full((2,), float(rank + 7))
    share.align([aligned])
    results = {
        "part of mean": part_of_mean(share),
        "part of no loss": part_of_nothing(share, 0.0),
        "part of no distance": repr(part_of_nothing(share, float("nan"))),
        "gradients": summed_gradients(share),
        "refusal": refusal(share),
        "together": share.together(lambda: rank),
        "aligned": aligned.tolist(),
        "refused learning": refused_learning(share, folder),
    }
    (folder / f"{rank}.json").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()
    # Gloo's threads drop the last tensors in their own time; in a Python that is ending meanwhile that aborts.
    os._exit(0)


if __name__ == "__main__":
    main()
