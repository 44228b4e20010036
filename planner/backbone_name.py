"""Whether a backbone's name can be had, told before anything is loaded or a hub is asked."""

import json
import re
from pathlib import Path

from dualsys.checkpoint import MANIFEST, shipped_checkpoints
from dualsys.errors import ConfigError, unknown_name
from dualsys.planner.families import UNSUPPORTED
from dualsys.planner.tiny_architectures import TINY

_OF_A_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def require_backbone(name: str, *, option: str = "backbone") -> None:
    """Refuse what is no family, no folder of a model, and no `owner/model` that a hub could know.

    Args:
        name: As `VLMPlannerConfig.backbone` has it.
        option: What it was given with, for the message.

    Raises:
        ConfigError: with all families and the closest one; why, for a family that isn't supported.
    """
    if name in TINY:
        return
    folder = Path(name)
    if name in shipped_checkpoints() or (folder.is_dir() and _is_controller(folder)):
        raise ConfigError(f"{option} {name}: that is a controller; go on with it by --init {name}")
    # A folder whose last part alone is wrong is mistyped; a hub's owner is seldom a folder here.
    if folder.is_dir() or (_OF_A_HUB.fullmatch(name) and not folder.parent.is_dir()):
        return
    if "/" in name:
        raise ConfigError(
            f"{option} {name!r} could not be loaded: there is no such folder. Give a folder that holds it, or one of "
            f"{', '.join(TINY)}, which are built small, with fresh weights"
        )
    known = name.lower().replace("-", "_")
    if known in TINY:
        raise ConfigError(f"{option} {name}: the family is called {known!r}")
    if known in UNSUPPORTED:
        raise ConfigError(f"{option} {name} is not supported: {UNSUPPORTED[known]}")
    raise ConfigError(f"{option}: {unknown_name('family', name, TINY)} Or give a folder, or OWNER/MODEL of a hub.")


def _is_controller(folder: Path) -> bool:
    try:
        told = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return False  # no controller's; whoever loads it says what is wrong
    return isinstance(told, dict) and told.get("kind") == "dualsys-controller"
