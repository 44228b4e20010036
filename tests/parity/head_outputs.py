"""ACT's and Diffusion Policy's networks with a fixture's weights, and what they give under the peer's names."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from dualsys.app.importing.layouts.heads import act_network, diffusion_unet
from tests.parity.fixture_folder import folder_of, names_of

NAMES = names_of("act", "diffusion unet")


class Fixture(NamedTuple):
    """A peer's weights, inputs and outputs."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    given: dict[str, Tensor]
    out: dict[str, Tensor]


def load(name: str, folder: Path | None = None) -> Fixture:
    """By its name."""
    folder = folder or folder_of(name)
    config = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    weights, io = (load_file(folder / f"{name}.{part}.safetensors") for part in ("weights", "io"))
    given, out = (
        {key.removeprefix(side): value for key, value in io.items() if key.startswith(side)} for side in ("in.", "out.")
    )
    return Fixture(config, weights, given, out)


def network(config: dict[str, Any], weights: dict[str, Tensor]) -> Any:
    """Ours, with a peer's weights. Raises `CheckpointError` where these don't fit."""
    if config["policy"] == "act":
        return act_network(weights, num_heads=config["heads"], activation=config.get("activation", "relu"))
    return diffusion_unet(weights, groups=config["n_groups"])


@torch.inference_mode()
def outputs(fixture: Fixture) -> dict[str, Tensor]:
    """All of them."""
    made, given = network(fixture.config, fixture.weights), fixture.given
    if fixture.config["policy"] == "act":
        latent_BL = torch.zeros(len(given["state"]), fixture.config["latent"])
        return {"actions": made(latent_BL, given["state"], made.seen_in_features(given["feature_map"]))}
    return {"y": made(given["x"], given["t"], given["cond"])}
