"""Whether what a checkpoint stores is of the kind that a planner or an actor, asked for by name, reads.

Told from the manifest alone. What we don't know, a third party's part or one that reads no weights, is not judged.
"""

from dualsys.checkpoint import Checkpoint
from dualsys.errors import CheckpointError

_PLANNERS = {"features": "features", "prefix": "prefix", "subtasks": "vlm", "vlm": "vlm"}
"""Registered name, to the kind of planner whose weights it reads."""
_ACTORS = ("act", "diffusion", "dit", "flow", "joint", "regression", "tokens")
"""Each reads its own."""


def require_kinds(checkpoint: Checkpoint, *, planner: str = "", actor: str = "") -> None:
    """Raise `CheckpointError` where a part that is asked for, instead of the checkpoint's own, reads another kind."""
    name, manifest = checkpoint.folder.name, checkpoint.manifest
    stored, needed = manifest.planner.name, _PLANNERS.get(planner)
    if needed is not None and stored in _PLANNERS and needed != _PLANNERS[stored]:
        raise CheckpointError(
            f"checkpoint {name!r} has a `{stored}` planner; `{planner}` needs `{needed}`. Leave the planner's name "
            "out to take the checkpoint's own"
        )
    stored = manifest.actor.name
    if actor in _ACTORS and stored in _ACTORS and actor != stored:
        raise CheckpointError(
            f"checkpoint {name!r} has a `{stored}` actor, not `{actor}`. Leave the actor's name out to take the "
            "checkpoint's own"
        )


def require_teachable(checkpoint: Checkpoint) -> None:
    """Raise `CheckpointError` where a planner can't be taught a language head, which senses a readout."""
    require_kinds(checkpoint, planner="subtasks")
    cut = checkpoint.manifest.planner.config.get("cut", "readout")
    if cut != "readout":
        raise CheckpointError(
            f"checkpoint {checkpoint.folder.name!r}: its planner's cut is `{cut}`; `subtasks` needs `readout`"
        )
