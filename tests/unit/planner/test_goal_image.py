"""A picture of the goal in the prompt, in every family."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dualsys.planner.preprocessing import images_to_pixels
from dualsys.planner.tiny_architectures import TINY
from dualsys.planner.vlm_planner import VLMPlanner
from tests.unit.planner.saved import saved
from tests.unit.planner.test_families import make, picture, seen


@pytest.mark.parametrize("name", list(TINY))
def test_a_goal_counts_and_its_absence_is_masked(name: str) -> None:
    planner = make(name, goal_image=True)
    without = seen()
    one, other = (replace(without, goal_image=picture(seed, size)) for seed, size in ((7, 48), (8, 60)))
    tokens = [planner.plan(each).tokens for each in (without, one, other)]
    for index, another in ((0, 1), (0, 2), (1, 2)):
        assert not np.allclose(tokens[index], tokens[another], atol=1e-4)
    together = planner.plan_batch([one, without, other])
    for subgoal, alone in zip(together, (tokens[1], tokens[0], tokens[2]), strict=True):
        np.testing.assert_allclose(subgoal.tokens, alone, atol=1e-5)


@torch.inference_mode()
def test_what_stands_where_there_is_no_goal_is_not_read() -> None:
    planner = make("smolvlm", goal_image=True)
    prompt = planner.with_goals(planner.prompt(["touch the red block"]), torch.tensor([False]))
    present = images_to_pixels(picture(0)[None], 48)
    told = [
        planner.network(torch.stack([present, torch.full_like(present, value)], dim=1), prompt) for value in (-1.0, 1.0)
    ]
    torch.testing.assert_close(told[0], told[1], rtol=0, atol=1e-6)
    shown = planner.with_goals(planner.prompt(["touch the red block"]), torch.tensor([True]))
    goal = planner.network(torch.stack([present, torch.ones_like(present)], dim=1), shown)
    assert not torch.allclose(goal, told[1], atol=1e-4)


def test_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    planner = make("paligemma", goal_image=True)
    again = VLMPlanner.from_checkpoint(saved(planner, tmp_path / "c"))
    goal = replace(seen(), goal_image=picture(3))
    assert np.array_equal(again.plan(goal).tokens, planner.plan(goal).tokens)
