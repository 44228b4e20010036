"""What is known of single datasets of Open X-Embodiment, as data: `rlds_standards.toml`."""

import tomllib
from fnmatch import fnmatch
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GripperCoding = Literal["opening", "closing", "closing-change", "minus-plus", "measured"]
"""How the last action says what the gripper does:

    opening          1 open, 0 closed: what all others are made
    closing          1 closed, 0 open
    closing-change   above 0.1: close, below -0.1: open, between: as before
    minus-plus       1 closed, -1 open
    measured         how far it is open, which takes some rows to change: where it is going
"""


class Standard(BaseModel):
    """Which columns of a dataset are what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...]
    """Of datasets, or patterns."""
    fps: int = Field(ge=1)
    state: tuple[str, ...]
    """Columns of a step, `observation/state`, or some of a column's components, `observation/state[0:6]`."""
    action: tuple[str, ...]
    gripper: GripperCoding | None = None
    """None: the last action is no gripper."""
    skip_first_row: bool = False
    """The first action is nobody's."""


@cache
def standards() -> tuple[Standard, ...]:
    """All that is known."""
    text = resources.files("dualsys.data.foreign").joinpath("rlds_standards.toml").read_text()
    return tuple(Standard.model_validate(entry) for entry in tomllib.loads(text)["dataset"])


def standard_of(name: str) -> Standard | None:
    """What is known of a dataset, None where nothing is."""
    for standard in standards():
        if any(fnmatch(name, pattern) for pattern in standard.names):
            return standard
    return None
