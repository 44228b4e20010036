"""pi0, pi0.5 and SmolVLA give what LeRobot and openpi give on the same weights: prefix, loss, samples, gradients."""

import pytest
import torch
from torch import Tensor

from dualsys.actor.flow_matching import flow_loss
from dualsys.actor.joint_expert import JointExpert
from dualsys.app.importing.layouts.pi import installed_names, split_pi, version_of
from dualsys.app.importing.layouts.pi_config import pi_actor_config, pi_planner_config
from dualsys.app.importing.layouts.smolvla import split_smolvla
from dualsys.app.importing.layouts.smolvla_config import smolvla_actor_config, smolvla_planner_config
from dualsys.app.importing.rules import require_fit
from dualsys.errors import CheckpointError
from dualsys.planner.prefix_config import StateConfig
from dualsys.planner.prefix_network import PrefixNetwork
from tests.parity.fixture_folder import OWN
from tests.parity.pi_fixtures import (
    BETWEEN_ENGINES,
    BOUND,
    NAMES,
    Fixture,
    cameras,
    expert,
    load,
    network,
    prefix_inputs,
    prefix_of,
    published,
    stacked,
)
from tests.parity.pi_outputs import first_queries, loop, loss_of, noisy, sample, suffix, training_inputs, wave

STATE = StateConfig(offset=(0.0,), scale=(1.0,), padded=32)


def close(ours: Tensor, theirs: Tensor, bound: float = BOUND) -> None:
    """Within the bound, and a millionth of what is larger than 1: eight steps of float32."""
    torch.testing.assert_close(ours, theirs, rtol=bound / 10, atol=bound)


def close_to_peers(fixture: Fixture, name: str, ours: Tensor) -> None:
    """To each peer's output of this name; what a fixture doesn't hold isn't compared."""
    for theirs in (fixture.out, fixture.others):
        if name in theirs:
            close(ours, theirs[name])


@pytest.fixture(params=NAMES, scope="module")
def fixture(request: pytest.FixtureRequest) -> Fixture:
    return load(request.param)


@pytest.mark.parametrize("name", ["lerobot_pi0", "lerobot_pi05", "lerobot_smolvla_special"])
def test_ours_hold_all_that_is_compared(name: str) -> None:
    """Others may hold less; each of ours has padding and a camera that isn't there, too."""
    fixture = load(name, OWN)
    every = {"prefix_embs", "prefix_hidden", "kv_keys", "kv_values", "suffix_embs", "loss", "actions"}
    assert fixture.out.keys() >= every | {"grad_action_in_proj_weight"}
    assert bool(fixture.others) == ("pi" in fixture.policy)
    assert ("adarms_cond" in fixture.out) == (fixture.policy == "pi05")
    assert not bool(fixture.given["token_mask"].all())
    assert not all(bool(mask.all()) for key, mask in fixture.given.items() if key.startswith("img_mask"))


def test_cameras_are_in_the_order_of_their_numbers() -> None:
    given = {f"image{index}": torch.zeros(1) for index in (10, 2, 0, 11, 1)}
    many = load("lerobot_pi0", OWN)._replace(given=given)
    assert cameras(many) == ("image0", "image1", "image2", "image10", "image11")


def test_the_prefix_is_the_peers(fixture: Fixture) -> None:
    planner = network(fixture)
    embedded = planner.embed(*prefix_inputs(fixture))
    close_to_peers(fixture, "prefix_embs", embedded.embedding_BSD)
    prefix = planner.decode(embedded)
    close_to_peers(fixture, "prefix_hidden", prefix.hidden_BSD)
    close_to_peers(fixture, "kv_keys", torch.stack(prefix.keys_LBNSH))
    close_to_peers(fixture, "kv_values", torch.stack(prefix.values_LBNSH))


def test_loss_and_gradients_are_the_peers(fixture: Fixture) -> None:
    planner, made = network(fixture), expert(fixture)
    prefix = prefix_of(fixture, planner)
    close_to_peers(fixture, "loss", loss_of(fixture, made, prefix))
    # What training takes the mean of, in our direction: the same number.
    x_BAU, t_B = noisy(fixture)
    velocity = made(x_BAU, t_B, stacked(prefix), prefix.mask_BS, fixture.given["state"])
    close(flow_loss(velocity, fixture.given["noise"], fixture.given["actions"]), fixture.out["loss"].mean())
    trained = made.loss(fixture.given["actions"], *training_inputs(fixture, prefix))
    close_to_peers(fixture, "loss", trained)
    torch.autograd.backward(trained.mean())
    assert made.action_in.weight.grad is not None
    close_to_peers(fixture, "grad_action_in_proj_weight", made.action_in.weight.grad)
    gradient = first_queries(fixture, planner).grad
    assert gradient is not None
    close_to_peers(fixture, "grad_vlm_q0", gradient)


@pytest.mark.parametrize("time", [0.001, 0.0417, 0.1234567, 0.35, 0.77, 0.9999])
@pytest.mark.parametrize("name", ["lerobot_pi0", "lerobot_pi05"])
def test_an_expert_s_own_loss_is_that_of_any_time_of_the_peers(name: str, time: float) -> None:
    """Also of one near data, where times are finer than one less them: of periods of 4e-3 that is to be seen."""
    given = load(name, OWN).given
    fixture = load(name, OWN)._replace(given={**given, "time": torch.full_like(given["time"], time)})
    made = expert(fixture)
    with torch.no_grad():
        prefix = prefix_of(fixture, network(fixture))
        close(made.loss(given["actions"], *training_inputs(fixture, prefix)), loss_of(fixture, made, prefix))


@torch.no_grad()
def test_samples_are_the_peers(fixture: Fixture) -> None:
    close_to_peers(fixture, "actions", sample(fixture, expert(fixture), prefix_of(fixture, network(fixture))))


@torch.no_grad()
def test_rows_before_the_expert_are_the_peers(fixture: Fixture) -> None:
    made = expert(fixture)
    close_to_peers(fixture, "suffix_embs", suffix(fixture, made))
    if made.config.time == "adaptive":
        close_to_peers(fixture, "adarms_cond", made.condition(wave(fixture, made)))


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
    """A batch of one leaves padding out; our fixtures' second sample has some, and a camera that isn't there."""
    made, prefix = expert(fixture), prefix_of(fixture, network(fixture))
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
