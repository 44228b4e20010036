"""An actor alone as a checkpoint."""

from pathlib import Path

from dualsys.actor.flow_actor import FlowActor
from dualsys.checkpoint import FORMAT, Checkpoint, Manifest, ModuleEntry, write_manifest


def saved(actor: FlowActor, folder: Path) -> Checkpoint:
    """Written into a new folder, and opened."""
    folder.mkdir()
    manifest = Manifest(
        format=FORMAT,
        name="t",
        embodiment=actor.embodiment,
        subgoal=actor.subgoal_spec,
        planner=ModuleEntry(name="null"),
        actor=ModuleEntry(name=""),
        versions={},
    )
    checkpoint = Checkpoint(folder=folder, manifest=manifest)
    write_manifest(folder, manifest.model_copy(update={"actor": actor.save(checkpoint)}))
    return Checkpoint.open(folder)
