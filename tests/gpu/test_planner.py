"""The planner on a GPU: the processor's subgoals in float32, near them in bfloat16."""

import numpy as np
import pytest
import torch

from dualsys.device import VARIABLE
from dualsys.planner.preprocessing import images_to_pixels
from tests.gpu.device import GPU, NEEDS_GPU
from tests.unit.planner.test_vlm_planner import SENTENCES, image, look, make_planner

pytestmark = NEEDS_GPU


@pytest.mark.parametrize("exit_layer", [None, 2])
def test_subgoals_are_those_of_the_processor(exit_layer: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = []
    for device in ("cpu", str(GPU)):
        monkeypatch.setenv(VARIABLE, device)
        tokens.append(make_planner(exit_layer).plan(look()).tokens)
    np.testing.assert_allclose(tokens[1], tokens[0], atol=1e-4)


def test_frames_become_the_same_pixels_on_either_device() -> None:
    frames = np.stack([image(seed, 48) for seed in range(3)])
    torch.testing.assert_close(images_to_pixels(frames, 32, GPU).cpu(), images_to_pixels(frames, 32), rtol=0, atol=1e-5)


def test_bfloat16_is_near_float32() -> None:
    planner = make_planner()
    pixels = images_to_pixels(np.stack([image(), image(1)]), 32, GPU)
    prompt = planner.prompt(SENTENCES)
    with torch.inference_mode():
        exact = planner.network(pixels, prompt)
        with torch.autocast(GPU.type, torch.bfloat16):
            rough = planner.network(pixels, prompt).float()
    assert 0.0 < float((rough - exact).norm() / exact.norm()) < 0.05
