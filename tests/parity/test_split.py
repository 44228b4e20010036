"""Planner and actor apart give what the peer gives in one: the prefix is packed into bytes, unpacked, and acted on."""

import numpy as np
import pytest
import torch

from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.normalization import ControllerStatistics, Statistics
from dualsys.bridge.wire import SubgoalCodec
from dualsys.messages import LatentSubgoal, Observation
from dualsys.testing import fake_embodiment
from tests.parity.pi_fixtures import BOUND, NAMES, Fixture, expert, load, network, planner_config, prefix_of


def robot_actor(fixture: Fixture) -> FlowActor:
    """Over a robot as wide as the fixture's, whose numbers are normalised as they are."""
    width = fixture.config["max_dim"]
    embodiment = fake_embodiment(width).model_copy(update={"state_names": tuple(f"state {i}" for i in range(width))})
    plain = Statistics(mean=(0.0,) * width, std=(1.0,) * width)
    return FlowActor(
        expert(fixture),
        embodiment=embodiment,
        subgoal_spec=planner_config(fixture).subgoal_spec,
        statistics=ControllerStatistics(state=plain, action=plain),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_subgoal_through_the_wire_gives_the_peers_actions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture = load(name)
    with torch.inference_mode():
        prefix = prefix_of(fixture, network(fixture))
    actor, spec = robot_actor(fixture), planner_config(fixture).subgoal_spec
    for row in range(len(prefix.mask_BS)):
        sent = LatentSubgoal(
            tokens=np.zeros((spec.num_tokens, 0), dtype=np.float32),
            keys=np.stack([keys[row].numpy() for keys in prefix.keys_LBNSH]),
            values=np.stack([values[row].numpy() for values in prefix.values_LBNSH]),
            mask=prefix.mask_BS[row].numpy(),
            observation_stamp_s=1.0,
        )
        assert spec.array_problem(sent) is None
        received = SubgoalCodec().decode(bytearray(SubgoalCodec().encode(sent)))
        monkeypatch.setattr(actor, "_draw_noise", lambda row=row: fixture.given["noise"][row].numpy())
        observation = Observation(stamp_s=1.0, state=fixture.given["state"][row].double().numpy())
        chunk = actor.act(observation, received)
        np.testing.assert_allclose(chunk.rows, fixture.out["actions"][row], rtol=BOUND / 10, atol=BOUND)
