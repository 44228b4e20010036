from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dualsys.errors import DualsysError, ExtraMissing
from dualsys.sim_envs.humanoid import meshes
from dualsys.sim_envs.humanoid.scene import build_model


def sphere(count: int) -> NDArray[np.float32]:
    """Corners `(faces, 3, 3)` of a unit sphere of about `2 count^2` triangles."""
    latitude, longitude = np.linspace(0, np.pi, count + 1), np.linspace(0, 2 * np.pi, count + 1)
    grid = np.array([[(np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)) for b in longitude] for a in latitude])
    grid = grid.astype(np.float32).round(6)
    lower = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:]], axis=2).reshape(-1, 3, 3)
    upper = np.stack([grid[:-1, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=2).reshape(-1, 3, 3)
    return np.concatenate([lower, upper])


def test_stl_round_trip(tmp_path: Path) -> None:
    corners = sphere(6)
    meshes.write_stl(tmp_path / "a.STL", corners)
    assert np.array_equal(meshes.read_stl(tmp_path / "a.STL"), corners)


@pytest.mark.parametrize("kept", [0, 40, 84, 200])
def test_a_truncated_stl_is_refused(tmp_path: Path, kept: int) -> None:
    meshes.write_stl(tmp_path / "a.STL", sphere(6))
    (tmp_path / "cut.STL").write_bytes((tmp_path / "a.STL").read_bytes()[:kept])
    with pytest.raises(DualsysError, match=r"cut\.STL is not a whole binary STL"):
        meshes.read_stl(tmp_path / "cut.STL")


def test_decimation_keeps_the_shape(tmp_path: Path) -> None:
    meshes.write_stl(tmp_path / "a.STL", sphere(80))
    count = meshes.decimate_file(tmp_path / "a.STL", tmp_path / "b.STL")
    light = meshes.read_stl(tmp_path / "b.STL")
    assert count == len(light) < 0.12 * len(sphere(80))
    assert np.abs(np.linalg.norm(light, axis=-1) - 1).max() < 0.05


def test_a_small_mesh_is_left_alone(tmp_path: Path) -> None:
    meshes.write_stl(tmp_path / "a.STL", sphere(8))
    assert meshes.decimate_file(tmp_path / "a.STL", tmp_path / "b.STL") == len(sphere(8))


@pytest.mark.slow
def test_the_cache_alone_is_enough_and_nothing_means_the_extra_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALSYS_CACHE", str(tmp_path / "cache"))
    prepared = meshes.robot_xml()
    assert prepared.is_relative_to(tmp_path / "cache")
    assert (prepared.parent / "LICENSE").is_file()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [meshes.CACHE_VERSION], "scratch is cleaned up"

    monkeypatch.setattr(meshes, "ASSET_MODULE", "not_installed_anywhere")
    assert meshes.robot_xml() == prepared
    assert build_model().nu == 28

    monkeypatch.setenv("DUALSYS_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ExtraMissing, match=r"pip install 'dualsys\[humanoid\]'"):
        meshes.robot_xml()


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALSYS_CACHE", str(tmp_path))

    def fail(source: Path, destination: Path) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(meshes, "decimate_file", fail)
    with pytest.raises(KeyboardInterrupt):
        meshes.robot_xml()
    assert list(tmp_path.iterdir()) == []


def test_a_race_lost_against_another_process_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meshes, "decimate_file", lambda source, destination: destination.write_bytes(b"light"))
    folder = tmp_path / "cache"
    meshes.prepare(folder)
    before = (folder / "manifest.json").stat().st_mtime_ns
    meshes.prepare(folder)
    assert (folder / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DUALSYS_CACHE": "/a"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/dualsys"),
        ({"HOME": "/c"}, "/c/.cache/dualsys"),
    ],
)
def test_where_the_cache_is(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DUALSYS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert meshes.cache_root() == Path(expected)
