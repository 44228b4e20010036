"""ACT's transformer and Diffusion Policy's U-Net against LeRobot 0.6.1 on the same random weights, eager, float32.

`DUALSYS_FIXTURES=DIR` runs the same on another folder of fixtures.
"""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dualsys.app.importing.layouts.heads import act_network, diffusion_unet
from dualsys.errors import CheckpointError

FOLDER = Path(os.environ.get("DUALSYS_FIXTURES", Path(__file__).parent / "fixtures"))
BOUND = 1e-5


def fixture(name: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    config = json.loads((FOLDER / f"{name}.json").read_text())
    return config, *(load_file(FOLDER / f"{name}.{part}.safetensors") for part in ("weights", "io"))


@torch.inference_mode()
def test_act_gives_lerobot_s_actions() -> None:
    config, weights, io = fixture("lerobot_act_nobackbone")
    network = act_network(weights, num_heads=config["heads"])
    seen = network.seen_in_features(io["in.feature_map"])
    latent = torch.zeros(len(io["in.state"]), config["latent"])
    torch.testing.assert_close(network(latent, io["in.state"], seen), io["out.actions"], rtol=0, atol=BOUND)


@torch.inference_mode()
def test_the_u_net_gives_lerobot_s_noise() -> None:
    config, weights, io = fixture("lerobot_diffusion_unet")
    network = diffusion_unet(weights, groups=config["n_groups"])
    told = network(io["in.x"], io["in.t"], io["in.cond"])
    torch.testing.assert_close(told, io["out.y"], rtol=0, atol=BOUND)


BUILD: dict[str, Any] = {
    "lerobot_act_nobackbone": lambda config, weights: act_network(weights, num_heads=config["heads"]),
    "lerobot_diffusion_unet": lambda config, weights: diffusion_unet(weights, groups=config["n_groups"]),
}
PREFIX = {"lerobot_act_nobackbone": "model.", "lerobot_diffusion_unet": "diffusion.unet."}


@pytest.mark.parametrize("name", list(BUILD))
def test_weights_fit_or_are_refused(name: str) -> None:
    config, weights, _ = fixture(name)
    build = partial(BUILD[name], config)
    build({f"{PREFIX[name]}{key}": value for key, value in weights.items()})
    with pytest.raises(CheckpointError, match="1 unexpected: surprise"):
        build(weights | {"surprise": torch.ones(1)})
    last = next(reversed(weights))
    with pytest.raises(CheckpointError, match="1 missing"):
        build({key: value for key, value in weights.items() if key != last})
    bias = next(key for key in weights if key.endswith("norm1.bias") or key.endswith("block.1.bias"))
    with pytest.raises(CheckpointError, match="of another shape"):
        build(weights | {bias: torch.ones(3)})
