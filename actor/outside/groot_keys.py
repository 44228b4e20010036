"""What a GR00T policy calls a robot's cameras and parts, and how its version wraps them. Data, in TOML like `keys`.

    layout    observation                              state        picture          answer
    n1.5      flat: "state.left_arm", "video.head"     (1, d)       (1, h, w, 3)     {"action.left_arm": (rows, d)}
    n1.6      {"state": {"left_arm": ...}, ...}        (1, 1, d)    (1, 1, h, w, 3)  [{"left_arm": (1, rows, d)}, info]
    n1.6-sim  flat, as its simulations have it         (1, 1, d)    (1, 1, h, w, 3)  [{"action.left_arm": ...}, info]

N1.7 speaks as N1.6. `auto` tells N1.5 from the others by how it writes down its modalities.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, final

import numpy as np
from pydantic import BaseModel, ConfigDict

from dualsys.actor.outside.keys import Choice, PolicyKeys, chosen, read_keys
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, PolicyError
from dualsys.messages import FloatArray, Observation

Layout = Literal["n1.5", "n1.6", "n1.6-sim"]


class GrootKeys(BaseModel):
    """Names of one policy's modalities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: Layout | Literal["auto"] = "auto"
    """How its version wraps an observation."""
    video: dict[str, str | int] = {}
    """Name, to the camera: its name or number; `"{camera}" = "*"` is every camera by its own."""
    state: dict[str, Choice] = {}
    """Name, to the states that go there; empty: the embodiment's groups."""
    action: dict[str, Choice] = {}
    """Name, to the joints that it moves; empty: the embodiment's groups."""
    language: str = ""
    """Name of the instruction; empty: what the policy says."""

    @classmethod
    def named(cls, name_or_file: str | Path) -> Self:
        """One that is shipped, by name, or a TOML file. Raises `ConfigError`."""
        keys: Self = read_keys(name_or_file, cls)
        return keys


@final
class GrootParts:
    """A policy's names for one robot. Raises `ConfigError` for what the robot hasn't, and for joints left out."""

    def __init__(self, keys: GrootKeys, embodiment: EmbodimentSpec) -> None:
        self.embodiment = embodiment
        self.video = PolicyKeys(state={"": ":"}, images=keys.video).cameras_of(embodiment)
        joints = tuple(joint.name for joint in embodiment.joints)
        self.state = _places(keys.state or _groups(embodiment, embodiment.state_names), embodiment.state_names)
        self.action = _places(keys.action or _groups(embodiment, joints), joints)
        moved = sorted(place for places in self.action.values() for place in places)
        if moved != list(range(len(joints))):
            raise ConfigError(
                f"{', '.join(self.action) or 'no part'} of {embodiment.name} must move each of its {len(joints)} "
                f"joints once, and move {len(moved)}; name the joints of each part under [action] in a file of keys"
            )

    def outward(self, observation: Observation, layout: Layout, language: str) -> dict[str, Any]:
        """What a policy of a layout is sent of an observation."""
        ahead = (None,) if layout == "n1.5" else (None, None)
        dtype = np.float64 if layout == "n1.5" else np.float32
        state = {part: observation.state[places].astype(dtype)[ahead] for part, places in self.state.items()}
        video = {name: observation.images[camera][ahead] for name, camera in self.video.items()}
        words = observation.instruction
        if layout == "n1.6":
            return {"video": video, "state": state, "language": {language: [[words]]}}
        flat = {f"video.{name}": picture for name, picture in video.items()}
        return {**flat, **{f"state.{part}": value for part, value in state.items()}, language: [words]}

    def rows(self, answer: Any) -> FloatArray:
        """The chunk `(rows, nu)` of an answer of any layout. Raises `PolicyError` for what is none."""
        if isinstance(answer, list) and answer:
            answer = answer[0]
        if not isinstance(answer, Mapping):
            raise PolicyError(f"the answer is {type(answer).__name__}, expected a mapping of parts")
        parts = {str(name).removeprefix("action."): value for name, value in answer.items()}
        columns = {part: _columns(parts, part, len(places)) for part, places in self.action.items()}
        if len({len(value) for value in columns.values()}) != 1:
            raise PolicyError(f"the answer's parts differ in rows: { {k: len(v) for k, v in columns.items()} }")
        rows = np.zeros((len(next(iter(columns.values()))), self.embodiment.num_actions))
        for part, places in self.action.items():
            rows[:, places] = columns[part]
        return rows


def _groups(embodiment: EmbodimentSpec, names: tuple[str, ...]) -> dict[str, Choice]:
    """Names that the groups have for some of an order; where there are no groups, all are `joints`."""
    known = set(names)
    parts = {group.name: tuple(name for name in group.joints if name in known) for group in embodiment.groups}
    return {part: own for part, own in parts.items() if own} or {"joints": ":"}


def _places(choices: Mapping[str, Choice], names: tuple[str, ...]) -> dict[str, list[int]]:
    return {part: chosen(choice, names, what="name") for part, choice in choices.items()}


def _columns(parts: Mapping[str, Any], part: str, width: int) -> FloatArray:
    """`(rows, width)` of a part of an answer; a batch of one, and a single column that was squeezed, are undone."""
    value = parts.get(part)
    if not isinstance(value, np.ndarray):
        raise PolicyError(f"the answer has no part {part!r}; it has {', '.join(parts) or 'none'}")
    table = value[0] if value.ndim == 3 and len(value) == 1 else value
    table = table[:, None] if table.ndim == 1 and width == 1 else table
    if table.ndim != 2 or not len(table) or table.shape[1] != width or table.dtype.kind not in "iuf":
        raise PolicyError(f"the answer's {part!r} is {value.dtype} {value.shape}, expected rows of {width} numbers")
    return table.astype(np.float64)
