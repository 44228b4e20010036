"""A part that reads another kind than the checkpoint stores: refused from the manifest, before anything is built."""

from pathlib import Path
from typing import Any

import pytest

from dualsys.app.subtasks import SubtasksConfig
from dualsys.app.subtasks import main as subtasks
from dualsys.app.train import require_same_robot
from dualsys.bridge.parts import PartConfig, build_actor, make_planner
from dualsys.checkpoint import FORMAT, Checkpoint, Manifest, ModuleEntry, write_manifest
from dualsys.embodiment import CameraSpec, SubgoalSpec
from dualsys.errors import CheckpointError
from dualsys.stored_kinds import require_kinds
from dualsys.testing import fake_embodiment

ARM = fake_embodiment(2)


def stored(folder: Path, planner: str, actor: str, **config: Any) -> Checkpoint:
    folder.mkdir()
    manifest = Manifest(
        format=FORMAT,
        name=folder.name,
        embodiment=ARM,
        subgoal=SubgoalSpec(num_tokens=1, dim=1),
        planner=ModuleEntry(name=planner, config=config),
        actor=ModuleEntry(name=actor),
        versions={},
    )
    write_manifest(folder, manifest)
    return Checkpoint.open(folder)


@pytest.mark.parametrize(("asked", "needed"), [("subtasks", "vlm"), ("vlm", "vlm"), ("features", "features")])
def test_a_planner_of_another_kind_is_told_both(tmp_path: Path, asked: str, needed: str) -> None:
    checkpoint = stored(tmp_path / "imported", "prefix", "joint")
    with pytest.raises(CheckpointError, match=f"'imported' has a `prefix` planner; `{asked}` needs `{needed}`"):
        make_planner(PartConfig(name=asked, checkpoint=checkpoint.folder))


@pytest.mark.parametrize("asked", ["joint", "dit", "act", "diffusion", "regression", "tokens"])
def test_an_actor_of_another_kind_is_refused_not_ignored(tmp_path: Path, asked: str) -> None:
    checkpoint = stored(tmp_path / "h_flow", "vlm", "flow")
    with pytest.raises(CheckpointError, match=f"'h_flow' has a `flow` actor, not `{asked}`"):
        build_actor(PartConfig(name=asked, checkpoint=checkpoint.folder), ARM, checkpoint.manifest.subgoal)


def test_what_reads_the_stored_kind_or_none_passes(tmp_path: Path) -> None:
    ours = stored(tmp_path / "ours", "vlm", "flow")
    for planner, actor in (("", ""), ("vlm", "flow"), ("subtasks", ""), ("null", "hold"), ("m:P", "m:A"), ("mine", "")):
        require_kinds(ours, planner=planner, actor=actor)
    require_kinds(stored(tmp_path / "theirs", "mine", "mine"), planner="vlm", actor="flow")


@pytest.mark.parametrize(
    ("planner", "config", "message"),
    [("prefix", {}, "`subtasks` needs `vlm`"), ("vlm", {"cut": "features"}, "cut is `features`")],
)
def test_a_planner_that_cannot_be_taught_plays_no_episode(
    tmp_path: Path, planner: str, config: dict[str, Any], message: str
) -> None:
    checkpoint = stored(tmp_path / "base", planner, "flow", **config)
    with pytest.raises(CheckpointError, match=message):
        subtasks(SubtasksConfig(out=tmp_path / "out", checkpoint=str(checkpoint.folder)))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.npz").exists()


def test_another_robot_is_told_with_the_cameras_that_it_has(tmp_path: Path) -> None:
    checkpoint = stored(tmp_path / "base", "vlm", "flow")
    other = ARM.model_copy(update={"name": "other", "cameras": (CameraSpec(name="wrist", height=8, width=8),)})
    with pytest.raises(CheckpointError, match=r"not for 'other' \(2 joints, cameras: wrist"):
        require_same_robot(checkpoint, other)
