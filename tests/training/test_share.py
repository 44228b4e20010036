"""Shares of a batch: blocks that make up the whole, and parts of a mean that add up to it, over real gloo."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.app.training.share import WHOLE, Share
from dualsys.errors import ConfigError
from tests.training.share_workers import COUNTS, SHAPES, SIZE, VALUES

ROOT = Path(__file__).parents[2]


def shares(size: int) -> list[Share]:
    return [Share(rank=rank, size=size) for rank in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_blocks_make_up_the_whole_in_order(size: int) -> None:
    rows = np.arange(12).reshape(6, 2)
    assert np.array_equal(np.concatenate([each.of(rows) for each in shares(size)]), rows)
    assert torch.equal(torch.cat([each.of(torch.arange(6)) for each in shares(size)]), torch.arange(6))
    assert [word for each in shares(size) for word in each.of(list("abcdef"))] == list("abcdef")
    assert {each.whole(len(each.of(rows))) for each in shares(size)} == {6}


def test_rows_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match="7 samples do not divide among 2 workers"):
        Share(rank=0, size=2).of(np.arange(7))
    assert len(WHOLE.of(np.arange(7))) == 7


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each of the workers found, by rank."""
    folder = tmp_path_factory.mktemp("share")
    program = [sys.executable, "-m", "tests.training.share_workers"]
    workers = [subprocess.Popen([*program, str(rank), str(folder)], cwd=ROOT) for rank in range(SIZE)]
    try:
        assert [worker.wait(120) for worker in workers] == [0] * SIZE
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    results = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(SIZE)]
    return {key: [result[key] for result in results] for key in results[0]}


@pytest.mark.slow
def test_parts_of_a_mean_and_their_gradients_add_up(told: dict[str, list[Any]]) -> None:
    parts, gradients = zip(*told["part of mean"], strict=True)
    assert sum(parts) == pytest.approx(float(VALUES[COUNTS].square().mean()))
    np.testing.assert_allclose(np.concatenate(gradients), 2 * VALUES * COUNTS / COUNTS.sum(), rtol=1e-6)


@pytest.mark.slow
def test_a_mean_over_nothing_stays_what_it_was(told: dict[str, list[Any]]) -> None:
    assert told["part of no loss"] == [0.0] * SIZE
    assert told["part of no distance"] == ["nan"] * SIZE


@pytest.mark.slow
def test_gradients_are_summed_whatever_bucket_they_go_in(told: dict[str, list[Any]]) -> None:
    for gradients in told["gradients"]:
        assert gradients[-1] is None
        for number, gradient in enumerate(gradients[:-1]):
            assert np.array_equal(gradient, np.full(SHAPES[number], (1 + 2 + 3) * 10.0**number))


@pytest.mark.slow
def test_workers_begin_alike_and_what_one_refuses_all_refuse(told: dict[str, list[Any]]) -> None:
    assert told["aligned"] == [[7.0, 7.0]] * SIZE
    assert told["refusal"] == ["no room"] * SIZE
    assert told["together"] == list(range(SIZE))


@pytest.mark.slow
def test_what_one_worker_alone_cannot_build_ends_all(told: dict[str, list[Any]]) -> None:
    (refusal,) = set(told["refused learning"])
    assert refusal.endswith("data-1 does not say which robot it is of; record it with `dualsys demos`")
