"""What a policy calls a robot's states, cameras and words: data, in a file of TOML or one of those shipped.

    [state]                                     [images]
    "observation/joint_position" = "0:7"        "observation/image" = 0        # the robot's first camera
    "observation/gripper_position" = ["grip"]   "images.cam_high" = "top"      # a camera by name

A key with a dot goes a level deeper: `images.cam_high` is `{"images": {"cam_high": ...}}`. States are chosen by their
names or by a slice of their order, cameras by name or number; `"images.{camera}" = "*"` is every camera by its name.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualsys.config import describe_invalid
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError, unknown_name

Choice = str | tuple[str, ...]
"""Of several names: a slice of their order, such as `:` or `0:7`, or those named."""


class PolicyKeys(BaseModel):
    """Names of one policy for what a robot senses, and for what it returns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: dict[str, Choice] = Field(min_length=1)
    """Key, to the states that go there, in order."""
    images: dict[str, str | int] = {}
    """Key, to the camera whose picture goes there: its name, or its number in the robot's order."""
    prompt: str = "prompt"
    """Key of the instruction."""
    actions: str = "actions"
    """Key of the chunk in the answer."""
    state_dtype: Literal["float32", "float64"] = "float32"
    """Of the states on the wire."""
    image_size: int | None = Field(default=None, gt=0)
    """Height and width of pictures on the wire, scaled and padded as openpi does it; None: as they are."""
    channels_first: bool = False
    """Pictures go as `(3, h, w)`, not as `(h, w, 3)`."""

    @classmethod
    def named(cls, name_or_file: str | Path) -> Self:
        """One that is shipped, by name, or a TOML file. Raises `ConfigError` for what is neither or means nothing."""
        keys: Self = read_keys(name_or_file, cls)
        return keys

    def states_of(self, embodiment: EmbodimentSpec) -> dict[str, list[int]]:
        """Places in a robot's state, by key. Raises `ConfigError` for states that it doesn't have."""
        return {
            key: chosen(choice, embodiment.state_names, what=f"state of {embodiment.name}")
            for key, choice in self.state.items()
        }

    def cameras_of(self, embodiment: EmbodimentSpec) -> dict[str, str]:
        """A robot's cameras, by key. Raises `ConfigError` for cameras that it doesn't have."""
        names = [camera.name for camera in embodiment.cameras]
        found: dict[str, str] = {}
        for key, choice in self.images.items():
            if choice == "*":
                found |= {key.replace("{camera}", name): name for name in names}
            else:
                found[key] = _camera(choice, names, embodiment.name)
        return found


def read_keys(name_or_file: str | Path, model: type[BaseModel]) -> Any:
    """A model of keys, from one that is shipped or from a file. Raises `ConfigError`."""
    file, shipped = Path(name_or_file), shipped_keys()
    if file.suffix != ".toml" and str(name_or_file) not in shipped:
        raise ConfigError(f"{unknown_name('keys', str(name_or_file), shipped)} A file of your own ends in .toml")
    try:
        text = shipped[str(name_or_file)] if file.suffix != ".toml" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"keys {file} cannot be read ({error.strerror}): name a file, or one of {', '.join(shipped)}"
        ) from error
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name_or_file} is no TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"keys {str(name_or_file)!r}: {describe_invalid(error)}") from error


def shipped_keys() -> dict[str, str]:
    """Text of the shipped ones by name."""
    folder = resources.files("dualsys.actor.outside") / "key_files"
    return {file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in folder.iterdir()}


def chosen(choice: Choice, names: Sequence[str], *, what: str) -> list[int]:
    """Places of what is chosen of some names. Raises `ConfigError` for what isn't there."""
    places = {name: place for place, name in enumerate(names)}
    if isinstance(choice, str):
        return _sliced(choice, len(names), what)
    for name in choice:
        if name not in places:
            raise ConfigError(unknown_name(what, name, places))
    return [places[name] for name in choice]


def placed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Values by their keys, those with dots a level deeper."""
    nested: dict[str, Any] = {}
    for key, value in entries.items():
        *above, last = key.split(".")
        level = nested
        for name in above:
            level = level.setdefault(name, {})
        level[last] = value
    return nested


def found_at(message: Any, key: str) -> Any:
    """The value at a key with dots; None where there is none."""
    for name in key.split("."):
        if not isinstance(message, Mapping) or name not in message:
            return None
        message = message[name]
    return message


def _sliced(choice: str, length: int, what: str) -> list[int]:
    first, colon, end = choice.partition(":")
    try:
        bounds = (int(first) if first else 0, int(end) if end else length)
    except ValueError:
        colon = ""
    if not colon:
        raise ConfigError(f"{what}: {choice!r} is no slice such as ':' or '0:7'; names go into a list")
    if not 0 <= bounds[0] < bounds[1] <= length:
        raise ConfigError(f"{what}: {choice!r} is asked for, and there are {length}")
    return list(range(*bounds))


def _camera(choice: str | int, names: Sequence[str], robot: str) -> str:
    if isinstance(choice, str):
        if choice not in names:
            raise ConfigError(unknown_name(f"camera of {robot}", choice, names))
        return choice
    if not 0 <= choice < len(names):
        raise ConfigError(f"camera {choice} of {robot} is asked for, and it has {len(names)}: {', '.join(names)}")
    return names[choice]
