"""The chunk policies' benchmark: its figures by closed forms, and a small run whose cells are gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.chunk_policies import ChunkPoliciesConfig, jerk_of, main, seams_of
from dualsys.messages import Command


def test_the_jerk_of_a_cubic_is_its_third_derivative() -> None:
    times_s = np.arange(0.0, 2.0, 0.02)
    cubic = np.stack([times_s**3, -2 * times_s**3], axis=1)
    assert jerk_of(cubic, 0.02) == pytest.approx(np.sqrt((6**2 + 12**2) / 2), rel=1e-6)


def test_seams_are_counted_where_a_chunk_takes_the_place_of_another() -> None:
    sequences, jumps = [-1, 0, 0, 1, 1, 3], [0.0, 0.0, 0.0, 0.2, 0.0, 0.1]
    commands = [
        Command(target=np.zeros(1), stamp_s=0.02 * i, source="actor", chunk_sequence=sequence, seam=jump)
        for i, (sequence, jump) in enumerate(zip(sequences, jumps, strict=True))
    ]
    assert seams_of(commands) == [0.2, 0.1]


@pytest.mark.slow
def test_late_chunks_pull_a_naive_arm_back_and_cross_fades_do_not(tmp_path: Path) -> None:
    file = tmp_path / "policies.json"
    config = ChunkPoliciesConfig(
        task="humanoid/touch",
        policies=("naive", "cross-fade", "trained-prefix"),
        delays_rows=(10,),
        episodes=2,
        workers=1,
        json=file,
    )
    main(config)
    first = json.loads(file.read_text())
    cells = first["cells"]
    assert cells["cross-fade 10"]["seam_mean_rad"] < cells["naive 10"]["seam_mean_rad"] / 3
    assert first["left_out"].keys() <= {"trained-prefix"}
    assert file.with_suffix(".png").stat().st_size > 0
    before = dict(cells["naive 10"])
    main(replace(config, resume=True))
    assert json.loads(file.read_text())["cells"]["naive 10"] == before
