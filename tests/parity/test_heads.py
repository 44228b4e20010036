"""ACT's transformer and Diffusion Policy's U-Net against LeRobot 0.6.1 on the same random weights, float32.

`DUALSYS_FIXTURES=DIR` runs the same on another folder of fixtures.
"""

from functools import partial

import pytest
import torch

from dualsys.app.importing.layouts.heads import act_network
from dualsys.errors import CheckpointError
from tests.parity.head_outputs import NAMES, load, network, outputs

BOUND = 1e-5
PREFIXES = {"act": "model.", "diffusion unet": "diffusion.unet."}
"""Of a policy's file."""


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_lerobot_s_outputs(name: str) -> None:
    fixture = load(name)
    found = outputs(fixture)
    assert found.keys() == fixture.out.keys()
    for key, expected in fixture.out.items():
        torch.testing.assert_close(found[key], expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("name", NAMES)
def test_weights_fit_or_are_refused(name: str) -> None:
    fixture = load(name)
    weights, build = fixture.weights, partial(network, fixture.config)
    prefix = PREFIXES[fixture.config["policy"]]
    build({f"{prefix}{key}": value for key, value in weights.items()})
    with pytest.raises(CheckpointError, match="1 unexpected: surprise"):
        build(weights | {"surprise": torch.ones(1)})
    last = next(reversed(weights))
    with pytest.raises(CheckpointError, match="1 missing"):
        build({key: value for key, value in weights.items() if key != last})
    bias = next(key for key in weights if key.endswith(("norm1.bias", "block.1.bias")))
    with pytest.raises(CheckpointError, match="of another shape"):
        build(weights | {bias: torch.ones(3)})


def test_an_act_that_is_not_built_here_is_refused_in_a_line() -> None:
    fixture = load("lerobot_act_gelu")
    with pytest.raises(CheckpointError, match=r"activation = 'glu'"):
        act_network(fixture.weights, num_heads=4, activation="glu")
    with pytest.raises(CheckpointError, match=r"no such Act: .*num_heads"):
        act_network(fixture.weights, num_heads=5, activation="gelu")
    without = {name: value for name, value in fixture.weights.items() if not name.startswith("vae_encoder")}
    with pytest.raises(CheckpointError, match=r"no vae_encoder: .* \(use_vae false\)"):
        act_network(without, num_heads=4, activation="relu")
