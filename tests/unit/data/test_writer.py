"""Staging, appending, and what a kill leaves behind."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualsys.data import CameraTrack, DatasetWriter, DemonstrationDataset, Episode, append
from dualsys.data.info import DatasetInfo, Provenance
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError

Write = Callable[..., DatasetInfo]
MakeEpisode = Callable[..., Episode]
MakeProvenance = Callable[..., Provenance]


def _digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file() and ".frames" not in path.parts]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_order_of_staging_leaves_no_trace(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "a", (0, 1, 2))
    write(tmp_path / "b", (2, 0, 1))
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")


def test_appending_leaves_earlier_files_alone(tmp_path: Path, write: Write, make_episode: MakeEpisode) -> None:
    write(tmp_path / "grown", (0, 1))
    before = _digests(tmp_path / "grown")
    write(tmp_path / "grown", (2, 4))
    after = _digests(tmp_path / "grown")
    unchanged = [path for path in before if path.startswith(("data", "videos", "meta/episodes"))]
    assert len(unchanged) == 3
    assert all(after[path] == before[path] for path in unchanged)
    write(tmp_path / "whole", (0, 1, 2, 4))
    grown, whole = DemonstrationDataset.open(tmp_path / "grown"), DemonstrationDataset.open(tmp_path / "whole")
    np.testing.assert_array_equal(grown.states, whole.states)
    np.testing.assert_array_equal(grown.frames[grown.frame_of_row], whole.frames[whole.frame_of_row])
    assert grown.instructions == whole.instructions
    assert (tmp_path / "grown/meta/stats.json").read_text() == (tmp_path / "whole/meta/stats.json").read_text()
    rows = [pq.read_table(path) for path in sorted((tmp_path / "grown/data").rglob("*.parquet"))]
    assert [i for table in rows for i in table["index"].to_pylist()] == list(range(len(whole)))


@pytest.mark.parametrize("step", ["write_rows", "write_videos", "write_meta", "dataset_statistics"])
def test_killed_append_reads_as_before_and_can_be_repeated(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write(tmp_path / "whole", (0, 1, 2))
    write(tmp_path / "whole", (4, 5))
    write(tmp_path / "killed", (0, 1, 2))
    original = getattr(append.Append, step)

    def killed(self: append.Append, *arguments: object) -> None:
        original(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(append.Append, step, killed)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "killed", (4, 5))
    assert DemonstrationDataset.open(tmp_path / "killed").seeds.tolist() == [0, 1, 2]
    write(tmp_path / "killed", (4, 5))
    assert _digests(tmp_path / "killed") == _digests(tmp_path / "whole")


def test_leftovers_of_a_killed_append_are_cleared(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LeRobot reads every file of `data/`, ours or not."""
    write(tmp_path, (0,))
    monkeypatch.setattr("dualsys.data.layout.DATA_FILE_MB", 0.003)
    with monkeypatch.context() as patch:
        patch.setattr(append.Append, "write_videos", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, (1, 2, 4))
    assert len(list((tmp_path / "data").rglob("*.parquet"))) == 4
    write(tmp_path, (1,))
    assert len(list((tmp_path / "data").rglob("*.parquet"))) == 2


def test_staged_episodes_survive_and_damage_is_named(
    tmp_path: Path, embodiment: EmbodimentSpec, make_episode: MakeEpisode, make_provenance: MakeProvenance
) -> None:
    writer = DatasetWriter(tmp_path, embodiment, fps=50)
    writer.stage(make_episode(7))
    writer.stage(make_episode(3))
    again = DatasetWriter(tmp_path, embodiment, fps=50)
    assert again.staged_seeds() == [3, 7]
    path = again.staging / "00000003.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"00000003.npz is damaged"):
        again.finish([3, 7], make_provenance(embodiment))
    with pytest.raises(DatasetError, match="no episode"):
        again.finish([], make_provenance(embodiment))
    path.unlink()
    with pytest.raises(DatasetError, match=r"00000003.npz is gone: somebody removed it"):
        again.finish([3, 7], make_provenance(embodiment))


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.95])
def test_a_staged_video_that_is_cut_short_is_named(
    tmp_path: Path,
    embodiment: EmbodimentSpec,
    make_episode: MakeEpisode,
    make_provenance: MakeProvenance,
    kept: float,
) -> None:
    writer = DatasetWriter(tmp_path, embodiment, fps=50)
    for seed in (3, 7):
        writer.stage(make_episode(seed))
    path = writer.staging / "00000007.head.mp4"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DatasetError, match=r"00000007\.head\.mp4"):
        writer.finish([3, 7], make_provenance(embodiment))
    assert writer.staged_seeds() == [3, 7]


def test_foreign_folders_are_refused(tmp_path: Path, write: Write, embodiment: EmbodimentSpec) -> None:
    write(tmp_path / "data", (0,))
    other = embodiment.model_copy(update={"name": "other"})
    with pytest.raises(DatasetError, match=r"'tiny'.*'other'"):
        DatasetWriter(tmp_path / "data", other, fps=50)
    with pytest.raises(DatasetError, match="30 Hz"):
        DatasetWriter(tmp_path / "data", embodiment, fps=30)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("mine")
    with pytest.raises(DatasetError, match="is no dataset"):
        DatasetWriter(tmp_path / "home", embodiment, fps=50)


def _replaced(episode: Episode, **changes: object) -> Episode:
    fields = {name: getattr(episode, name) for name in Episode.__dataclass_fields__}
    return Episode(**fields | changes)


def test_episodes_that_do_not_hold_together_are_refused(
    tmp_path: Path, embodiment: EmbodimentSpec, make_episode: MakeEpisode
) -> None:
    writer = DatasetWriter(tmp_path, embodiment, fps=50)
    good = make_episode(0)
    track = good.cameras["head"]
    backwards = CameraTrack(frames=track.frames, frame_of_row=track.frame_of_row[::-1], stamps_s=track.stamps_s)
    with pytest.raises(DatasetError, match="a state is not finite"):
        writer.stage(_replaced(good, states=np.full_like(good.states, np.nan)))
    with pytest.raises(DatasetError, match="actions has 5 rows"):
        writer.stage(_replaced(good, actions=good.actions[:5]))
    with pytest.raises(DatasetError, match="does not show its frames in order"):
        writer.stage(_replaced(good, cameras={"head": backwards}))
    with pytest.raises(DatasetError, match="expected"):
        writer.stage(_replaced(good, cameras={}))
    track = good.cameras["head"]
    smaller = CameraTrack(frames=track.frames[:, :-2], frame_of_row=track.frame_of_row, stamps_s=track.stamps_s)
    with pytest.raises(DatasetError, match=r"pictures of head are \(\d+, \d+, 3\), expected"):
        writer.stage(_replaced(good, cameras={"head": smaller}))
    with pytest.raises(DatasetError, match="no rows"):
        writer.stage(_replaced(good, states=good.states[:0]))
    assert writer.staged_seeds() == []


def test_a_robot_without_states_is_refused(tmp_path: Path, embodiment: EmbodimentSpec) -> None:
    with pytest.raises(DatasetError, match="has no states: rows of a dataset hold some"):
        DatasetWriter(tmp_path / "out", embodiment.model_copy(update={"state_names": ()}), fps=50)


def test_component_names_must_fit(
    tmp_path: Path, embodiment: EmbodimentSpec, make_episode: MakeEpisode, make_provenance: MakeProvenance
) -> None:
    names = {"privileged.target_position": ["x", "y"]}
    writer = DatasetWriter(tmp_path, embodiment, fps=50, column_names=names)
    writer.stage(make_episode(0))
    with pytest.raises(DatasetError, match="3 components, 2 are named"):
        writer.finish([0], make_provenance(embodiment))
