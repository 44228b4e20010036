"""What a training gives away: the checkpoint folder of a controller."""

import shutil
from pathlib import Path
from typing import Any, TypeAlias

from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.many_robots_actor import ManyRobotActor
from dualsys.app.training.frozen_planner import FrozenPlanner
from dualsys.checkpoint import FORMAT, MANIFEST, Checkpoint, Manifest, ModuleEntry, installed_versions, write_manifest
from dualsys.files import written_or_said
from dualsys.planner.vlm_planner import VLMPlanner

AnyActor: TypeAlias = FlowActor | ManyRobotActor
"""What is trained."""
AnyPlanner: TypeAlias = VLMPlanner | FrozenPlanner
"""What is trained with it, or isn't."""


def save_controller(out: Path, name: str, planner: AnyPlanner, actor: AnyActor, training: dict[str, Any]) -> None:
    """Write a checkpoint folder. A kill leaves the old one, the new one, or one without manifest, which won't open.

    Raises:
        CannotWrite: it cannot be written, for want of room or rights; the old one is as it was.
    """
    draft = out / ".saving"
    with written_or_said(out):
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            _write_controller(draft, name, planner, actor, training)
            _replace(out, draft)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _replace(out: Path, draft: Path) -> None:
    (out / MANIFEST).unlink(missing_ok=True)
    for file in draft.iterdir():
        if file.is_dir():
            shutil.rmtree(out / file.name, ignore_errors=True)
        if file.name != MANIFEST:
            file.replace(out / file.name)
    (draft / MANIFEST).replace(out / MANIFEST)


def _write_controller(out: Path, name: str, planner: AnyPlanner, actor: AnyActor, training: dict[str, Any]) -> None:
    blank = ModuleEntry(name="")
    manifest = Manifest(
        format=FORMAT,
        name=name,
        embodiment=actor.embodiment,
        robots=actor.robots if isinstance(actor, ManyRobotActor) else (),
        subgoal=planner.subgoal_spec,
        planner=blank,
        actor=blank,
        versions=installed_versions(),
        training=training,
    )
    checkpoint = Checkpoint(folder=out, manifest=manifest)
    entries = {"planner": planner.save(checkpoint), "actor": actor.save(checkpoint)}
    for weights in out.glob("*.safetensors"):
        weights.chmod(0o644)  # written for the owner alone, which in a wheel would lock everybody else out
    write_manifest(out, manifest.model_copy(update=entries))
