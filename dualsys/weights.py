"""Weights of a module from a checkpoint's file, tensor by tensor: of a large model there is never a second copy."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from dualsys.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

_NAMED = 3
"""Tensors of a kind that an error names."""


def fill(module: "nn.Module", file: Path, *, owner: str, tied: Collection[str] = ()) -> None:
    """Copy the file's tensors into the module's, in the module's dtypes and where it is.

    Args:
        module: Its `state_dict` must have the file's names and shapes.
        file: Of safetensors.
        owner: Whose weights they are, for errors: `planner` or `actor`.
        tied: Names that share another's memory, and are not saved.

    Raises:
        CheckpointError: the file can't be read, or doesn't fit; the module is as it was.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    place = module.state_dict()
    ours = {name: tuple(value.shape) for name, value in place.items() if name not in tied}
    try:
        with safe_open(file, framework="pt") as opened:
            theirs = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            _require_fit(ours, theirs, f"{owner} weights of {file.parent.name!r}")
            with torch.no_grad():
                for name in ours:
                    place[name].copy_(opened.get_tensor(name))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{owner} weights of {file.parent.name!r} can't be read ({file.name}): {error}"
        ) from error


def _require_fit(ours: dict[str, tuple[int, ...]], theirs: dict[str, tuple[int, ...]], which: str) -> None:
    problems = {
        "missing": sorted(ours.keys() - theirs.keys()),
        "unexpected": sorted(theirs.keys() - ours.keys()),
        "of another shape": sorted(
            f"{name} {theirs[name]} for {ours[name]}"
            for name in ours.keys() & theirs.keys()
            if ours[name] != theirs[name]
        ),
    }
    told = [f"{kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if told:
        raise CheckpointError(f"{which} don't fit its config; {'; '.join(told)}")


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
