"""Fixtures by kind: how our outputs are made where a peer's are kept. `model_parity` runs them.

To add a kind, add a reader to `KINDS` under the word that stands as `policy` in its NAME.json.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from tests.parity import groot_fixtures, groot_outputs, head_outputs, pi_fixtures, pi_outputs

Outputs = dict[str, Tensor]


class Read(NamedTuple):
    """A fixture of a known kind."""

    peers: dict[str, Outputs]
    """Expected outputs by the peer that gave them."""
    ours: Callable[[str], Outputs]
    """Our outputs on an engine of attention: `eager` or `sdpa`."""


def read_pi(name: str, folder: Path) -> Read:
    """pi0, pi0.5 and SmolVLA, with openpi's outputs beside LeRobot's where they are there."""
    fixture = pi_fixtures.load(name, folder)
    peers = {"lerobot": fixture.out} | ({"openpi": fixture.others} if fixture.others else {})
    return Read(peers, lambda engine: pi_outputs.outputs(fixture, engine))


def read_groot(name: str, folder: Path) -> Read:
    """GR00T N1.5 and N1.7."""
    fixture = groot_fixtures.load_named(name, folder)
    return Read({"lerobot": fixture.out}, lambda engine: groot_outputs.outputs(fixture, engine))


def read_head(name: str, folder: Path) -> Read:
    """LeRobot's ACT and Diffusion Policy: their networks have one engine."""
    fixture = head_outputs.load(name, folder)
    return Read({"lerobot": fixture.out}, lambda _: head_outputs.outputs(fixture))


KINDS: dict[str, Callable[[str, Path], Read]] = {
    "pi0": read_pi,
    "pi05": read_pi,
    "smolvla": read_pi,
    "groot_n1_5": read_groot,
    "groot_n1_7": read_groot,
    "act": read_head,
    "diffusion unet": read_head,
}


def kind_of(name: str, folder: Path) -> str:
    """What a fixture says it is."""
    return str(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")).get("policy"))
