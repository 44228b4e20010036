"""The embodiment of an imported dataset: one given in a file, or what its columns tell."""

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from dualsys.data.foreign.source import Source
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import DatasetError
from dualsys.files import read_json
from dualsys.messages import FloatArray

_MARGIN = 0.05
"""Derived limits lie this share of the range beyond what was seen."""


def derived_embodiment(
    source: Source, name: str, lowest: FloatArray, highest: FloatArray, sizes: dict[str, tuple[int, int]]
) -> EmbodimentSpec:
    """A robot that does what the data shows: nobody knows its true limits, nor its units (`1`).

    Args:
        source: Names of states and actions.
        name: The embodiment's.
        lowest: Smallest action seen `(nu,)`.
        highest: Greatest `(nu,)`.
        sizes: Height and width of each camera's pictures.
    """
    room = np.where(highest > lowest, _MARGIN * (highest - lowest), 0.5)
    joints = tuple(
        Joint(name=joint, lower=float(low), upper=float(high), unit="1")
        for joint, low, high in zip(source.action_names, lowest - room, highest + room, strict=True)
    )
    return EmbodimentSpec(
        name=name,
        joints=joints,
        state_names=source.state_names,
        cameras=tuple(CameraSpec(name=key, height=h, width=w) for key, (h, w) in sorted(sizes.items())),
        action_representation=source.action_representation or "joint",
    )


def read_embodiment(path: Path, source: Source, sizes: dict[str, tuple[int, int]]) -> EmbodimentSpec:
    """An embodiment from a JSON file. Raises `DatasetError` where it is none, or the source is of another robot."""
    try:
        spec = EmbodimentSpec.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{path} is no embodiment: {where}: {first['msg']}") from error
    theirs = (len(source.action_names), len(source.state_names), dict(sorted(sizes.items())))
    ours = (
        spec.num_actions,
        spec.num_states,
        {camera.name: (camera.height, camera.width) for camera in sorted(spec.cameras, key=lambda c: c.name)},
    )
    if ours != theirs:
        raise DatasetError(
            f"{path} describes {spec.name!r} with actions, states, cameras {ours}; the source has {theirs}. "
            "Correct the file, choose --state-keys or --image-size, or leave --embodiment out"
        )
    return spec
