"""What the actor's eye is shown of a goal."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dualsys.actor.config import FastVisionConfig, FlowActorConfig
from dualsys.actor.eye import shown_to_eye
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.embodiment import CameraSpec, SubgoalSpec
from dualsys.messages import Observation
from dualsys.testing import check_actor, fake_embodiment

CAMERA = CameraSpec(name="wrist", height=16, width=16)
ARM = fake_embodiment(2).model_copy(update={"cameras": (CAMERA,)})
EYE = FastVisionConfig(camera=CAMERA, channels=(8,), goal=True)


def seen(goal: np.ndarray | None = None) -> Observation:
    observation = ARM.fake_observation(np.random.default_rng(0), stamp_s=1.0)
    return replace(observation, goal_image=goal)


def test_a_goal_stands_behind_the_present_picture() -> None:
    goal = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    shown = shown_to_eye(seen(goal), EYE)
    assert shown.shape == (7, 16, 16)
    np.testing.assert_array_equal(shown[:3], shown_to_eye(seen(), EYE.model_copy(update={"goal": False})))
    np.testing.assert_allclose((shown[3:6] + 1) * 127.5, np.moveaxis(goal, 2, 0), atol=1e-4)
    assert (shown[6] == 1).all()
    assert not shown_to_eye(seen(), EYE)[3:].any()


def test_a_goal_of_another_size_is_resized() -> None:
    shown = shown_to_eye(seen(np.full((40, 30, 3), 255, np.uint8)), EYE)
    np.testing.assert_allclose(shown[3:6], 1.0, atol=1e-6)


@pytest.mark.parametrize("backend", ["eager", "onnx"])
def test_the_actor_s_rows_depend_on_it_on_every_engine(backend: str) -> None:
    torch.manual_seed(0)
    unit = Statistics(mean=(0.0, 0.0), std=(1.0, 1.0))
    actor = FlowActor.build(
        FlowActorConfig(horizon=6, width=16, depth=2, num_heads=2, smoothing_window=0, vision=EYE),
        embodiment=ARM,
        subgoal_spec=SubgoalSpec(num_tokens=3, dim=8),
        statistics=ControllerStatistics(state=unit, action=unit),
    )
    with torch.no_grad():
        actor.expert.action_out.weight.normal_(std=0.3)  # it begins as zeros
    engine = actor.with_backend(backend)
    check_actor(engine)
    white, black = (np.full((16, 16, 3), value, np.uint8) for value in (255, 0))
    rows = []
    for goal in (white, black, None):
        engine.reset(seed=1)
        rows.append(engine.act(seen(goal), None).rows)
    assert not np.allclose(rows[0], rows[1], atol=1e-5)
    assert not np.allclose(rows[1], rows[2], atol=1e-5)
