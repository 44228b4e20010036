"""What our modules give where a fixture of the pi family or SmolVLA holds a peer's output, under the peer's names."""

from typing import Any

import torch
from torch import Tensor

from dualsys.actor.action_expert import Condition
from dualsys.actor.flow_matching import integrate, interpolate
from dualsys.actor.heads import Draws
from dualsys.actor.joint_expert import Begun, JointExpert
from dualsys.actor.layers import sinusoidal_embedding
from dualsys.actor.sampling import time_conditions
from dualsys.planner.prefix_network import Prefix, PrefixNetwork
from tests.parity.pi_fixtures import Fixture, expert, network, prefix_inputs, stacked


def outputs(fixture: Fixture, engine: str) -> dict[str, Tensor]:
    """All of them, on an engine of attention; gradients are those of the mean loss."""
    planner, made = network(fixture, engine), expert(fixture, engine)
    embedded = planner.embed(*prefix_inputs(fixture))
    prefix = planner.decode(embedded)
    loss = loss_of(fixture, made, prefix)
    torch.autograd.backward(loss.mean())
    found = {
        "prefix_embs": embedded.embedding_BSD,
        "prefix_hidden": prefix.hidden_BSD,
        "kv_keys": torch.stack(prefix.keys_LBNSH),
        "kv_values": torch.stack(prefix.values_LBNSH),
        "loss": loss,
        "suffix_embs": suffix(fixture, made),
        "actions": sample(fixture, made, prefix),
        "grad_action_in_proj_weight": made.action_in.weight.grad,
        "grad_vlm_q0": first_queries(fixture, planner).grad,
    }
    if made.config.time == "adaptive":
        found["adarms_cond"] = made.condition(wave(fixture, made))
    return {name: value.detach() for name, value in found.items() if value is not None}


def first_queries(fixture: Fixture, planner: PrefixNetwork) -> Tensor:
    """Of the language model's first layer: the loss reaches them through the keys and values that cross over."""
    model: Any = planner.model
    text = model.text_model if fixture.policy == "smolvla" else model.language_model
    weight: Tensor = text.layers[0].self_attn.q_proj.weight
    return weight


def suffix(fixture: Fixture, made: JointExpert) -> Tensor:
    """Tokens before the expert, the state's included where it is the actor's."""
    given = fixture.given
    rows = made.rows(given["noise"], made.tell(1.0 - given["time"].double()))
    return rows if made.state_in is None else torch.cat([made.state_in(given["state"])[:, None], rows], dim=1)


def wave(fixture: Fixture, made: JointExpert) -> Tensor:
    """Embedding of the fixture's flow times."""
    config = made.config
    return sinusoidal_embedding(
        fixture.given["time"], config.width, min_period=config.min_period, max_period=config.max_period
    )


def noisy(fixture: Fixture) -> tuple[Tensor, Tensor]:
    """Rows between data and noise as the peer makes them, and our flow time of them: one less the peer's, which float64
    alone says exactly.
    """
    given = fixture.given
    return interpolate(given["actions"], given["noise"], given["time"]), 1.0 - given["time"].double()


def loss_of(fixture: Fixture, made: JointExpert, prefix: Prefix) -> Tensor:
    """Squared error of each element. The peers count time from data, so what they call `time` is `1 - t`."""
    given = fixture.given
    x_BAU, t64_B = noisy(fixture)
    begun = made.begin(made.remember(stacked(prefix), prefix.mask_BS), given["state"])
    error: Tensor = made.step(x_BAU, made.tell(t64_B), begun) - (given["actions"] - given["noise"])
    return error.square()


def training_inputs(fixture: Fixture, prefix: Prefix) -> tuple[Tensor, Condition, Draws]:
    """What an expert's own loss is given beside the actions; the level is what the peer's time is drawn from.

    In float64: no float32 level may give a float32 time that isn't near 1.
    """
    given = fixture.given
    state_BX = given["state"]
    real_BA = torch.ones(given["actions"].shape[:2], dtype=torch.bool)
    condition = Condition(state_BX, stacked(prefix), prefix.mask_BS, torch.zeros(len(state_BX)))
    level_B = ((given["time"].double() - 0.001) / 0.999) ** 1.5
    return real_BA, condition, Draws(given["noise"], level_B)


def sample(fixture: Fixture, made: JointExpert, prefix: Prefix) -> Tensor:
    begun = made.begin(made.remember(stacked(prefix), prefix.mask_BS), fixture.given["state"])
    return loop(made, begun, fixture.given["noise"])


def loop(made: JointExpert, begun: Begun, noise: Tensor) -> Tensor:
    """As samplers run it: what is made of the flow times is made before."""
    told = iter(time_conditions(made))
    return integrate(lambda x, _: made.step(x, next(told), begun), noise, made.config.num_inference_steps)
