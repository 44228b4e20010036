"""Which published layout a checkpoint is of: told by the names of its tensors, checked against its config.json."""

from collections.abc import Collection
from typing import Literal, get_args

from dualsys.app.importing.family import Family, Published
from dualsys.app.importing.groot_family import GrootFamily
from dualsys.app.importing.groot_statistics import find_groot_robot
from dualsys.app.importing.layout_names import Layout
from dualsys.app.importing.layouts.groot import PREFIX as GROOT_PREFIX
from dualsys.app.importing.layouts.groot import Version
from dualsys.app.importing.layouts.pi import PREFIX, PiVersion, version_of
from dualsys.app.importing.other_models import require_known
from dualsys.app.importing.pi_family import PiFamily
from dualsys.app.importing.smolvla_family import SmolVLAFamily
from dualsys.errors import CheckpointError, ConfigError

_TYPES = {"pi0": "lerobot-pi0", "pi05": "lerobot-pi05", "smolvla": "lerobot-smolvla"}
"""LeRobot's word in config.json."""
_GROOT_MARKS: tuple[tuple[str, Version], ...] = (
    ("backbone.eagle_model.", "n1_5"),
    ("backbone.model.vision_model.", "n1_6"),
    ("backbone.model.mlp1.", "n1_6"),
    ("backbone.model.visual.", "n1_7"),
    ("backbone.model.model.visual.", "n1_7"),
)
_TOLD = 3


def family_of(published: Published, layout: Layout, tag: str, *, padded_state: bool = False) -> Family:
    """The family that reads a checkpoint.

    Args:
        published: The checkpoint.
        layout: Forced, or `auto`.
        tag: Of GR00T's robots, which; empty: the only one.
        padded_state: Of LeRobot's pi0.5, whether its prompt tells zeros up to the widest robot's state.

    Raises:
        CheckpointError: it is of no known layout, or config.json and tensors tell different ones.
        ConfigError: a padded state is asked for of another layout.
    """
    require_known(published)
    chosen = recognized(published) if layout == "auto" else layout
    if padded_state and chosen != "lerobot-pi05":
        raise ConfigError(f"--padded-state is of LeRobot's pi0.5; this checkpoint is {chosen}: leave it out")
    if chosen.startswith("groot-"):
        version: Version = _groot_version(chosen)
        return GrootFamily(published=published, version=version, robot=find_groot_robot(published, tag, version))
    if chosen.startswith("lerobot-") and not (published.folder / "config.json").is_file():
        raise CheckpointError(f"{published.folder} has no config.json, which LeRobot's folders have; copy it, too")
    if tag:
        raise CheckpointError(f"--tag names one of GR00T's robots; this checkpoint is {chosen}")
    if chosen == "lerobot-smolvla":
        return SmolVLAFamily(published=published)
    pi: PiVersion = "pi05" if chosen.endswith("pi05") else "pi0"
    publisher: Literal["openpi", "lerobot"] = "openpi" if chosen.startswith("openpi") else "lerobot"
    return PiFamily(published=published, version=pi, publisher=publisher, padded_state=padded_state)


def recognized(published: Published) -> str:
    """Its layout. Raises `CheckpointError` as `family_of` does."""
    names = published.weights.tensors.keys()
    by_names = _by_names(names, published)
    kind = published.config.get("type")
    if by_names is None:
        known = ", ".join(get_args(Layout)[1:])
        told = f"config.json calls it {kind!r}; " if kind else ""
        raise CheckpointError(
            f"{published.folder} is of no layout that can be imported: {told}its tensors are called "
            f"{', '.join(sorted(names)[:_TOLD]) or 'nothing'}, ...; known: {known}"
        )
    if isinstance(kind, str) and by_names.startswith("lerobot") and _TYPES.get(kind) != by_names:
        raise CheckpointError(
            f"{published.folder}/config.json says {kind!r}, its tensors are those of {by_names}; "
            f"if they are right: --layout {by_names}"
        )
    return by_names


def _by_names(names: Collection[str], published: Published) -> str | None:
    plain = [name.removeprefix(GROOT_PREFIX).removeprefix(PREFIX) for name in names]
    if any(name.startswith("vlm_with_expert.") for name in plain):
        return "lerobot-smolvla"
    if any(name.startswith("paligemma_with_expert.") for name in plain):
        told = "type" in published.config or "input_features" in published.config
        is_lerobot = told or (not published.config and any(name.startswith(PREFIX) for name in names))
        return f"{'lerobot' if is_lerobot else 'openpi'}-{version_of(plain)}"
    if any(name.startswith("action_head.") for name in plain):
        for mark, version in _GROOT_MARKS:
            if any(name.startswith(mark) for name in plain):
                return f"groot-{version.replace('_', '.')}"
    return None


def _groot_version(layout: str) -> Version:
    versions: dict[str, Version] = {"groot-n1.5": "n1_5", "groot-n1.6": "n1_6", "groot-n1.7": "n1_7"}
    return versions[layout]
