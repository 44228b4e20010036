"""The small picture that results are stamped with."""

import json
from pathlib import Path

import numpy as np
import pytest

from dualsys.sim_envs import reference_frame
from dualsys.sim_envs.reference_frame import compare_reference_frame, draw_reference_frame, store_reference_frame


def test_it_shows_something_and_is_drawn_the_same_twice() -> None:
    first, second = draw_reference_frame(), draw_reference_frame()
    assert first.shape == (32, 32, 3)
    assert first.std() > 20
    assert np.array_equal(first, second)


def test_what_was_stored_here_is_drawn_as_stored_and_a_change_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tmp_path / "frame.json"
    store_reference_frame(stored)
    monkeypatch.setattr(reference_frame, "PATH", stored)
    assert compare_reference_frame.__wrapped__() == "as stored"
    content = json.loads(stored.read_text())
    assert content["drawn_by"].keys() == {"mujoco", "renderer"}
    pixel = int(content["pixels"][3][:2], 16)
    content["pixels"][3] = f"{(pixel + 100) % 256:02x}" + content["pixels"][3][2:]
    stored.write_text(json.dumps(content))
    said = compare_reference_frame.__wrapped__()
    assert said == f"differs from the stored one by up to {abs((pixel + 100) % 256 - pixel)} of 255"
