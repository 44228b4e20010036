"""Fixtures of the pi family and SmolVLA, and our modules with their weights. Every number comes from NAME.json."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dualsys.actor.joint_config import JointExpertConfig
from dualsys.actor.joint_expert import JointExpert
from dualsys.app.importing.layouts.pi import installed_names, split_pi
from dualsys.app.importing.layouts.pi_config import GemmaSize, pi_actor_config, pi_planner_config
from dualsys.app.importing.layouts.smolvla import split_smolvla
from dualsys.app.importing.layouts.smolvla_config import smolvla_actor_config, smolvla_planner_config
from dualsys.app.importing.rules import require_fit
from dualsys.planner.prefix_config import PrefixPlannerConfig, StateConfig
from dualsys.planner.prefix_network import Prefix, PrefixNetwork
from tests.parity.fixture_folder import folder_of, names_of

HERE = Path(__file__).parent
NAMES = names_of("pi0", "pi05", "smolvla")
BOUND = 1e-5
"""In float32 with eager attention."""
BETWEEN_ENGINES = 1e-4


class Fixture(NamedTuple):
    """A peer's inputs and outputs, and its weights under our names."""

    name: str
    config: dict[str, Any]
    given: dict[str, Tensor]
    out: dict[str, Tensor]
    others: dict[str, Tensor]
    """Outputs of openpi on the same weights, where there are any."""
    planner_weights: dict[str, Tensor]
    actor_weights: dict[str, Tensor]

    @property
    def policy(self) -> str:
        return str(self.config["policy"])

    @property
    def state_is_ours(self) -> bool:
        """Whether the planner is told the state."""
        return self.policy == "smolvla"


def others_name(name: str) -> str:
    """Of the file, without its ending, that has what another peer gave for a fixture's inputs."""
    return f"{name.replace('lerobot', 'openpi')}.out"


@cache
def load(name: str, folder: Path | None = None) -> Fixture:
    folder = folder or folder_of(name)
    config = json.loads((folder / f"{name}.json").read_text())
    io = load_file(folder / f"{name}.io.safetensors")
    weights = load_file(folder / f"{name}.weights.safetensors")
    other = folder / f"{others_name(name)}.safetensors"
    split = split_smolvla if config["policy"] == "smolvla" else split_pi
    planner, actor = split(weights)
    return Fixture(
        name=name,
        config=config,
        given={key[3:]: value for key, value in io.items() if key.startswith("in.")},
        out={key[4:]: value for key, value in io.items() if key.startswith("out.")},
        others={key[4:]: value for key, value in load_file(other).items()} if other.is_file() else {},
        planner_weights=planner,
        actor_weights=actor,
    )


def cameras(fixture: Fixture) -> tuple[str, ...]:
    """In the order of their numbers: `image10` is behind `image2`."""
    return tuple(sorted((name for name in fixture.given if name.startswith("image")), key=_number))


def _number(camera: str) -> int:
    return int(camera.removeprefix("image"))


def planner_config(fixture: Fixture, attention: str = "eager") -> PrefixPlannerConfig:
    config = fixture.config
    told: dict[str, Any] = {
        "cameras": cameras(fixture),
        "attention": attention,
        "max_text_tokens": fixture.given["tokens"].shape[1],
    }
    if fixture.policy != "smolvla":
        size = GemmaSize(**config["vlm"])
        return pi_planner_config(
            config["policy"], vlm=size, vision=config["vision"], vocabulary=config["vocab"], **told
        )
    over = config["over"]
    states = config["max_dim"]
    return smolvla_planner_config(
        vlm=_vlm(config),
        num_layers=config["num_vlm_layers"],
        state=StateConfig(offset=(0.0,) * states, scale=(1.0,) * states, padded=states),
        prefix_length=over.get("prefix_length", -1),
        special_tokens=(config["fake_image_token"], config["global_image_token"])
        if over.get("add_image_special_tokens")
        else None,
        **told,
    )


def actor_config(fixture: Fixture, attention: str = "eager") -> JointExpertConfig:
    config = fixture.config
    told: dict[str, Any] = {
        "horizon": config["chunk"],
        "max_actions": config["max_dim"],
        "max_states": config["max_dim"],
        "num_inference_steps": config["steps"],
        "attention": attention,
    }
    if fixture.policy != "smolvla":
        vlm, expert = GemmaSize(**config["vlm"]), GemmaSize(**config["expert"])
        return pi_actor_config(config["policy"], vlm=vlm, expert=expert, **told)
    over = config["over"]
    return smolvla_actor_config(
        vlm=_vlm(config),
        num_layers=config["num_vlm_layers"],
        num_expert_layers=over.get("num_expert_layers", -1),
        width_multiplier=over.get("expert_width_multiplier", 0.75),
        cross="cross" in over.get("attention_mode", "cross_attn"),
        self_attention_every=over.get("self_attn_every_n_layers", 2),
        **told,
    )


def _vlm(config: dict[str, Any]) -> dict[str, Any]:
    names = ("vision_config", "text_config", "scale_factor", "image_token_id", "tie_word_embeddings")
    return {name: config[name] for name in names if name in config}


def network(fixture: Fixture, attention: str = "eager") -> PrefixNetwork:
    made = PrefixNetwork(planner_config(fixture, attention))
    # The peers' vision towers ran on transformers' default; theirs alone.
    model: Any = made.model
    (model.vision_model if fixture.policy == "smolvla" else model.vision_tower).set_attn_implementation("sdpa")
    filled(made, installed_names(fixture.planner_weights, made.state_dict()))
    return made


def expert(fixture: Fixture, attention: str = "eager") -> JointExpert:
    made = JointExpert(actor_config(fixture, attention))
    filled(made, fixture.actor_weights)
    return made


def filled(module: nn.Module, weights: dict[str, Tensor]) -> None:
    require_fit(weights, module.state_dict(), where=type(module).__name__)
    module.load_state_dict(weights)
    module.eval()


def prefix_of(fixture: Fixture, planner: PrefixNetwork) -> Prefix:
    return planner.decode(planner.embed(*prefix_inputs(fixture)))


def prefix_inputs(fixture: Fixture) -> tuple[Any, ...]:
    given = fixture.given
    names = cameras(fixture)
    return (
        [given[name] for name in names],
        [given[name.replace("image", "img_mask")] for name in names],
        given["tokens"],
        given["token_mask"],
        given["state"] if fixture.state_is_ours else None,
    )


def stacked(prefix: Prefix) -> Tensor:
    """As an expert is given it, `(B, 2, L, M, S, H)`."""
    return torch.stack([torch.stack(side, dim=1) for side in (prefix.keys_LBNSH, prefix.values_LBNSH)], dim=1)


def published(name: str) -> dict[str, Tensor]:
    """Names and shapes of a full-size checkpoint, on the meta device."""
    lines = gzip.decompress((HERE / "keys" / f"{name}.txt.gz").read_bytes()).decode().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {key: torch.empty(json.loads(shape), device="meta") for key, shape, _ in rows}
