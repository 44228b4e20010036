"""What our modules give where a fixture of GR00T holds a peer's output, under the peer's names."""

import torch
from torch import Tensor

from dualsys.actor.dit_expert import Begun, DiTExpert, Features, sampling_buckets
from dualsys.actor.flow_matching import VelocityField, flow_error, integrate, interpolate
from dualsys.actor.guidance import Running, released, seeded
from tests.parity.groot_fixtures import Fixture, backbone, backbone_inputs, expert


@torch.no_grad()
def outputs(fixture: Fixture, engine: str) -> dict[str, Tensor]:
    """All of them, on an engine of attention, from our own features."""
    model = expert(fixture, attention=engine)
    tokens = backbone(fixture, engine)(**backbone_inputs(fixture))
    features = fixture.features_of(tokens)
    loss, errors = losses(model, fixture, features)
    state = model.state_token(fixture.given["state"].flatten(1), fixture.given["embodiment_id"])
    found = {
        "backbone_features": tokens,
        "backbone_attention_mask": features.mask_BK,
        "image_mask": features.image_BK,
        "processed_features": model.context(features)[0],
        "state_features": state,
        "loss": loss.reshape(1),
        "action_loss": errors,
        "actions": sample(model, fixture, features),
    }
    return found | ({"actions_rtc": continued(model, fixture, features)} if "rtc" in fixture.config else {})


def losses(model: DiTExpert, fixture: Fixture, features: Features) -> tuple[Tensor, Tensor]:
    """The loss, and each element of it."""
    given = fixture.given
    x = interpolate(given["noise"], given["action"], given["t"])
    velocity = model(x, given["t"], features, given["state"].flatten(1), given["embodiment_id"])
    errors = flow_error(velocity, given["noise"], given["action"]) * given["action_mask"]
    return errors.sum() / (given["action_mask"].sum() + 1e-6), errors


def continued(model: DiTExpert, fixture: Fixture, features: Features) -> Tensor:
    """Real-time chunking: rows that continue the previous chunk, which is the fixture's `action`."""
    options = fixture.config["rtc"]
    end, overlap = options["action_horizon"], options["rtc_overlap_steps"]
    rows = torch.zeros_like(fixture.given["noise"])  # behind those that are told nothing is read
    rows[:, :overlap] = fixture.given["action"][:, end - overlap : end]
    running = Running(rows_BAU=rows, told=overlap, delay=options["rtc_frozen_steps"])
    guided = released(field(model, fixture, features), running, rate=options["rtc_ramp_rate"])
    return integrate(guided, seeded(fixture.given["noise"], running), model.config.num_inference_steps)


def field(model: DiTExpert, fixture: Fixture, features: Features) -> VelocityField:
    """As sampling takes the expert apart."""
    robot = fixture.given["embodiment_id"]
    begun = Begun(model.keep(features), model.state_token(fixture.given["state"].flatten(1), robot))
    buckets = iter([torch.full_like(robot, bucket) for bucket in sampling_buckets(model.config)])

    def velocity(x_BAU: Tensor, t_B: Tensor) -> Tensor:
        del t_B
        bucket = next(buckets)
        return model.velocity(x_BAU, bucket, model.transformer.modulations(bucket), begun, robot)

    return velocity


def sample(model: DiTExpert, fixture: Fixture, features: Features) -> Tensor:
    return integrate(field(model, fixture, features), fixture.given["noise"], model.config.num_inference_steps)
