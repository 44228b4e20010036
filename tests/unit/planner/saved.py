"""A planner alone as a checkpoint."""

from pathlib import Path

from dualsys.checkpoint import FORMAT, Checkpoint, Manifest, ModuleEntry, write_manifest
from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.planner.vlm_planner import VLMPlanner


def saved(planner: VLMPlanner, folder: Path) -> Checkpoint:
    """Written into a new folder, and opened."""
    folder.mkdir()
    arm = EmbodimentSpec(name="arm", joints=(Joint(name="a", lower=-1, upper=1),), state_names=("a",))
    manifest = Manifest(
        format=FORMAT,
        name="t",
        embodiment=arm,
        subgoal=planner.subgoal_spec,
        planner=ModuleEntry(name=""),
        actor=ModuleEntry(name="hold"),
        versions={},
    )
    checkpoint = Checkpoint(folder=folder, manifest=manifest)
    write_manifest(folder, manifest.model_copy(update={"planner": planner.save(checkpoint)}))
    return Checkpoint.open(folder)
