"""pi0, pi0.5 and SmolVLA give what LeRobot and openpi give on the same weights: prefix, loss, samples, gradients."""

import pytest
import torch
from torch import Tensor

from dualsys.actor.flow_matching import flow_loss, interpolate
from dualsys.actor.joint_expert import JointExpert
from dualsys.app.importing.layouts.pi import installed_names, split_pi, version_of
from dualsys.app.importing.layouts.pi_config import pi_actor_config, pi_planner_config
from dualsys.app.importing.layouts.smolvla import split_smolvla
from dualsys.app.importing.layouts.smolvla_config import smolvla_actor_config, smolvla_planner_config
from dualsys.app.importing.rules import require_fit
from dualsys.errors import CheckpointError
from dualsys.planner.prefix_config import StateConfig
from dualsys.planner.prefix_network import PrefixNetwork
from tests.parity.pi_fixtures import (
    BETWEEN_ENGINES,
    BOUND,
    NAMES,
    Fixture,
    expert,
    load,
    network,
    prefix_inputs,
    prefix_of,
    published,
    stacked,
)
from tests.parity.pi_outputs import first_queries, loop, loss_of, sample, suffix, training_inputs, wave

STATE = StateConfig(offset=(0.0,), scale=(1.0,), padded=32)


def close(ours: Tensor, theirs: Tensor, bound: float = BOUND) -> None:
    """Within the bound, and a millionth of what is larger than 1: eight steps of float32."""
    torch.testing.assert_close(ours, theirs, rtol=bound / 10, atol=bound)


@pytest.fixture(params=NAMES, scope="module")
def fixture(request: pytest.FixtureRequest) -> Fixture:
    return load(request.param)


def test_the_prefix_is_the_peers(fixture: Fixture) -> None:
    planner = network(fixture)
    embedded = planner.embed(*prefix_inputs(fixture))
    close(embedded.embedding_BSD, fixture.out["prefix_embs"])
    if fixture.others:
        close(embedded.embedding_BSD, fixture.others["prefix_embs"])
    prefix = planner.decode(embedded)
    close(prefix.hidden_BSD, fixture.out["prefix_hidden"])
    close(torch.stack(prefix.keys_LBNSH), fixture.out["kv_keys"])
    close(torch.stack(prefix.values_LBNSH), fixture.out["kv_values"])


def test_loss_and_gradients_are_the_peers(fixture: Fixture) -> None:
    planner, made = network(fixture), expert(fixture)
    prefix = prefix_of(fixture, planner)
    loss = loss_of(fixture, made, prefix)
    close(loss, fixture.out["loss"])
    if fixture.others:
        close(loss, fixture.others["loss"])
    # What training takes the mean of, in our direction: the same number.
    t_B = 1.0 - fixture.given["time"]
    x_BAU = interpolate(fixture.given["noise"], fixture.given["actions"], t_B)
    velocity = made(x_BAU, t_B, stacked(prefix), prefix.mask_BS, fixture.given["state"])
    close(flow_loss(velocity, fixture.given["noise"], fixture.given["actions"]), fixture.out["loss"].mean())
    trained = made.loss(fixture.given["actions"], *training_inputs(fixture, prefix))
    close(trained, fixture.out["loss"])
    torch.autograd.backward(trained.mean())
    assert made.action_in.weight.grad is not None
    close(made.action_in.weight.grad, fixture.out["grad_action_in_proj_weight"])
    if "grad_vlm_q0" in fixture.out:
        gradient = first_queries(fixture, planner).grad
        assert gradient is not None
        close(gradient, fixture.out["grad_vlm_q0"])


@torch.no_grad()
def test_samples_are_the_peers(fixture: Fixture) -> None:
    rows = sample(fixture, expert(fixture), prefix_of(fixture, network(fixture)))
    close(rows, fixture.out["actions"])
    if fixture.others:
        close(rows, fixture.others["actions"])


@torch.no_grad()
def test_rows_before_the_expert_are_the_peers(fixture: Fixture) -> None:
    made = expert(fixture)
    close(suffix(fixture, made), fixture.out["suffix_embs"])
    if "adarms_cond" in fixture.out:
        close(made.condition(wave(fixture, made)), fixture.out["adarms_cond"])


@torch.no_grad()
def test_sdpa_is_near_eager(fixture: Fixture) -> None:
    eager = prefix_of(fixture, network(fixture))
    fused = prefix_of(fixture, network(fixture, "sdpa"))
    for ours, theirs in zip(fused.keys_LBNSH + fused.values_LBNSH, eager.keys_LBNSH + eager.values_LBNSH, strict=True):
        close(ours, theirs, BETWEEN_ENGINES)
    rows = sample(fixture, expert(fixture, "sdpa"), fused)
    close(rows, fixture.out["actions"], BETWEEN_ENGINES)


@torch.no_grad()
def test_one_alone_without_its_padding_is_what_it_is_in_a_batch(fixture: Fixture) -> None:
    """A batch of one leaves padding out; the fixture's second sample has some, and a camera that isn't there."""
    made, prefix = expert(fixture), prefix_of(fixture, network(fixture))
    assert not bool(prefix.mask_BS.all())
    for row in range(len(prefix.mask_BS)):
        one = slice(row, row + 1)
        memory = made.remember(stacked(prefix)[one], prefix.mask_BS[one])
        assert memory.mask_BS is None
        begun = made.begin(memory, fixture.given["state"][one])
        rows = loop(made, begun, fixture.given["noise"][one])
        close(rows, fixture.out["actions"][one])


@pytest.mark.parametrize("name", ["openpi_pi0", "openpi_pi05", "lerobot_pi0", "lerobot_pi05", "lerobot_smolvla"])
@pytest.mark.parametrize("change", ["as it is", "with LeRobot's prefix", "language head only", "newer vision names"])
def test_a_published_layout_fills_the_modules_at_full_size(name: str, change: str) -> None:
    weights = published(name)
    embedding = next(key for key in weights if key.endswith("embed_tokens.weight"))
    match change:
        case "with LeRobot's prefix":
            weights = {f"model.{key}": value for key, value in weights.items()}
        case "language head only":
            del weights[embedding]
        case "newer vision names":
            weights = {key.replace("vision_tower.vision_model.", "vision_tower."): v for key, v in weights.items()}
    with torch.device("meta"):
        if "smolvla" in name:
            planner_weights, actor_weights = split_smolvla(weights)
            planner = PrefixNetwork(smolvla_planner_config(cameras=("top",), state=STATE))
            actor = JointExpert(smolvla_actor_config())
        else:
            planner_weights, actor_weights = split_pi(weights)
            version = version_of(weights)
            assert version == name.split("_")[1]
            planner = PrefixNetwork(pi_planner_config(version, cameras=("top",)))
            actor = JointExpert(pi_actor_config(version))
    require_fit(installed_names(planner_weights, planner.state_dict()), planner.state_dict(), where="planner")
    require_fit(actor_weights, actor.state_dict(), where="actor")


def test_old_names_of_the_time_network_are_read() -> None:
    weights = published("openpi_pi05")
    old = {key.replace("time_mlp_", "action_time_mlp_"): value for key, value in weights.items()}
    assert split_pi(old)[1].keys() == split_pi(weights)[1].keys()
    weights = published("openpi_pi0")
    new = {key.replace("action_time_mlp_", "time_mlp_"): value for key, value in weights.items()}
    assert split_pi(new)[1].keys() == split_pi(weights)[1].keys()


@pytest.mark.parametrize("name", ["lerobot_pi0", "lerobot_smolvla"])
def test_what_a_layout_doesnt_have_is_refused(name: str) -> None:
    split = split_smolvla if "smolvla" in name else split_pi
    weights = published(name)
    with pytest.raises(CheckpointError, match="doesn't have: critic"):
        split({**weights, "critic.weight": torch.empty(1)})
    lost = next(key for key in weights if "q_proj" in key)
    planner_weights, _ = split({key: value for key, value in weights.items() if key != lost})
    with pytest.raises(CheckpointError, match="1 missing: "):
        require_fit(planner_weights, split(weights)[0], where="planner")


def test_layers_that_smolvla_doesnt_run_are_left_out() -> None:
    weights = published("lerobot_smolvla")
    behind = {
        key.replace("text_model.layers.15.", "text_model.layers.16."): value
        for key, value in weights.items()
        if "text_model.layers.15." in key
    }
    assert split_smolvla({**weights, **behind}, num_layers=16)[0].keys() == split_smolvla(weights)[0].keys()
