"""Fixtures of GR00T peers, and our modules with their weights. Every number comes from NAME.json."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.dit_expert import DiTExpert, Features
from dualsys.app.importing.layouts.groot import Version, split_groot
from dualsys.app.importing.layouts.groot_config import groot_actor_config, groot_backbone_config
from dualsys.app.importing.rules import require_fit
from dualsys.planner.feature_backbones import build_backbone
from tests.parity.fixture_folder import OWN, folder_of, names_of

HERE = Path(__file__).parent
VERSIONS: tuple[Version, ...] = ("n1_5", "n1_7")
NAMES = names_of(*(f"groot_{version}" for version in VERSIONS))
BOUND = 1e-5
"""In float32 with eager attention."""
BETWEEN_BACKENDS = 1e-4


class Fixture(NamedTuple):
    version: Version
    config: dict[str, Any]
    given: dict[str, Tensor]
    out: dict[str, Tensor]
    planner_weights: dict[str, Tensor]
    actor_weights: dict[str, Tensor]

    @property
    def features(self) -> Features:
        """The peer's own."""
        return self.features_of(self.out["backbone_features"])

    def features_of(self, tokens: Tensor) -> Features:
        image_token = self.config.get("image_token") or self.config["qwen3vl"]["image_token_id"]
        return Features(tokens, self.given["attention_mask"].bool(), self.given["input_ids"] == image_token)


def load(version: Version) -> Fixture:
    """Our own of a version."""
    return load_named(f"lerobot_groot_{version}", OWN)


@cache
def load_named(name: str, folder: Path | None = None) -> Fixture:
    """A fixture of either version in any folder."""
    base = (folder or folder_of(name)) / name
    config = json.loads(Path(f"{base}.json").read_text())
    version: Version = config["policy"].removeprefix("groot_")
    io = load_file(f"{base}.io.safetensors")
    planner, actor = split_groot(load_file(f"{base}.weights.safetensors"), version)
    return Fixture(
        version=version,
        config=config,
        given={name[3:]: value for name, value in io.items() if name.startswith("in.")},
        out={name[4:]: value for name, value in io.items() if name.startswith("out.")},
        planner_weights=planner,
        actor_weights=actor,
    )


def expert(fixture: Fixture, **changes: Any) -> DiTExpert:
    changes = {"reads_padding": True, "attention": "eager", **changes}
    if "steps" in fixture.config:
        changes["num_inference_steps"] = fixture.config["steps"]
    config = groot_actor_config(fixture.config["head"], fixture.version, **changes)
    model = DiTExpert(config)
    fill(model, fixture.actor_weights)
    return model


def backbone(fixture: Fixture, attention: str = "eager") -> nn.Module:
    config = groot_backbone_config(fixture.config, fixture.version)
    model = cast(nn.Module, build_backbone(config, attention))
    fill(model, fixture.planner_weights)
    return model


def backbone_inputs(fixture: Fixture) -> dict[str, Tensor]:
    given = fixture.given
    images = (
        {"pixels_ICHW": given["pixel_values"]}
        if fixture.version == "n1_5"
        else {"patches_QE": given["pixel_values"], "grid_I3": given["image_grid_thw"]}
    )
    return {"input_ids_BS": given["input_ids"], "mask_BS": given["attention_mask"], **images}


def fill(module: nn.Module, weights: dict[str, Tensor]) -> None:
    require_fit(weights, module.state_dict(), where=type(module).__name__)
    module.load_state_dict(weights)
    module.float().eval()


def published(version: Version) -> dict[str, Tensor]:
    """Names and shapes of the full-size checkpoint, on the meta device."""
    lines = gzip.decompress((HERE / "keys" / f"lerobot_groot_{version}.txt.gz").read_bytes()).decode().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {name: torch.empty(json.loads(shape), device="meta") for name, shape, _ in rows}


def published_n1_6() -> dict[str, Tensor]:
    """N1.6's names and shapes as far as they are known: its head is N1.7's without self-attention over features and
    with a mask token, its backbone N1.5's with 16 decoder layers, SigLIP 2's patches and two layers of connector.
    """
    early, late = published("n1_5"), published("n1_7")
    weights = {
        name: torch.empty(tuple(128 if side == 132 else side for side in value.shape), device="meta")
        for name, value in late.items()
        if name.startswith("action_head.") and "vl_self_attention" not in name
    }
    weights["action_head.mask_token"] = torch.empty(1, 1, 1536, device="meta")
    for name, value in early.items():
        if name.startswith("backbone.") and ".mlp1." not in name:
            weights[name.replace("eagle_model.", "model.")] = value
    layers = [name for name in weights if ".language_model.model.layers.0." in name]
    for name in layers:
        weights |= {name.replace(".layers.0.", f".layers.{index}."): weights[name] for index in range(16)}
    for layer, shape in (("0", (4608,)), ("1", (2048, 4608)), ("3", (2048, 2048))):
        weights[f"backbone.model.mlp1.{layer}.weight"] = torch.empty(shape, device="meta")
        weights[f"backbone.model.mlp1.{layer}.bias"] = torch.empty(shape[0], device="meta")
    patch = "backbone.model.vision_model.vision_model.embeddings.patch_embedding.weight"
    weights[patch] = torch.empty(1152, 588, device="meta")
    return weights


_SECTION = {"positional_embeddings": None, "dropout": 0.2}
_DIT = {**_SECTION, "num_attention_heads": 32, "attention_head_dim": 48, "output_dim": 1024}
_CONTEXT = {**_SECTION, "num_layers": 4, "num_attention_heads": 32, "attention_head_dim": 64}
FULL_HEADS: dict[Version, dict[str, Any]] = {
    "n1_5": {
        "action_dim": 32,
        "max_state_dim": 64,
        "action_horizon": 16,
        "backbone_embedding_dim": 2048,
        "diffusion_model_cfg": {**_DIT, "num_layers": 16, "interleave_self_attention": True},
        "vl_self_attention_cfg": _CONTEXT,
    },
    "n1_6": {
        "max_action_dim": 128,
        "max_state_dim": 128,
        "action_horizon": 50,
        "state_dropout_prob": 0.2,
        "diffusion_model_cfg": {**_DIT, "num_layers": 32, "interleave_self_attention": True},
    },
    "n1_7": {
        "diffusion_model_cfg": {**_DIT, "num_layers": 32, "interleave_self_attention": True},
        "vl_self_attention_cfg": _CONTEXT,
    },
}


def full_config(version: Version) -> DiTConfig:
    return groot_actor_config(FULL_HEADS[version], version)
