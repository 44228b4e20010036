"""Which format a path holds, told by its structure, and the reader for it."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dualsys.data import layout
from dualsys.data.foreign.hdf5 import SUFFIXES, hdf5_files, opened_hdf5
from dualsys.data.foreign.source import Source
from dualsys.errors import ConfigError, DatasetError, some_of, unknown_name
from dualsys.files import read_json

FORMATS = (
    *("lerobot-v2.1", "lerobot-v3", "act-hdf5", "robomimic-hdf5", "libero-hdf5", "diffusion-policy-zarr"),
    *("rlds", "mcap"),
)
_HOME = "dualsys.data.foreign"


def open_source(
    path: Path,
    format_: str = "auto",
    state_keys: tuple[str, ...] = (),
    action_keys: tuple[str, ...] = (),
    fps: float | None = None,
) -> Source:
    """A reader for a path.

    Args:
        path: A folder or a file.
        format_: One of `FORMATS`, or `auto` to tell it by the structure.
        state_keys: Columns that make the state, in order; none: the format's usual ones.
        action_keys: Columns that make the action, likewise.
        fps: Rows a second that are made of a log (MCAP), which has none; others say it, or are asked by `convert`.

    Raises:
        ConfigError: the format is unknown, or its actions are in one column.
        DatasetError: nothing of any format, or of the one asked for, is there, or it is damaged.
        ExtraMissing: h5py, zarr, protobuf or a decoder is needed and not installed.
    """
    if format_ not in (*FORMATS, "auto"):
        raise ConfigError(unknown_name("format", format_, (*FORMATS, "auto")))
    found = find_format(path)
    if format_ not in ("auto", found) and {format_, found} != {"robomimic-hdf5", "libero-hdf5"}:
        raise DatasetError(f"{path} looks like {found}, not {format_}; leave --format out, or name what it is")
    chosen = found if format_ == "auto" else format_
    if action_keys and chosen not in ("rlds", "mcap"):
        raise ConfigError(f"--action-keys is for rlds and mcap: {chosen} has its actions in one column")
    match chosen:
        case "rlds":
            return _READERS[chosen](path, state_keys, action_keys)
        case "mcap":
            return _READERS[chosen](path, state_keys, action_keys, fps)
        case _:
            return _READERS[chosen](path, state_keys)


def find_format(path: Path) -> str:
    """One of `FORMATS`. Raises `DatasetError` naming what is there where it is none."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist; name a folder or a file to import")
    if (path / layout.INFO_PATH).is_file():
        return _lerobot_version(path)
    if _is_zarr(path):
        return "diffusion-policy-zarr"
    if (path / "features.json").is_file():
        return "rlds"
    if path.suffix == ".mcap" or any(path.glob("*.mcap")):
        return "mcap"
    if hdf5_files(path):
        return _hdf5_format(hdf5_files(path)[0])
    if path.is_dir():
        entries = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
        there = some_of(entries, 8) or "nothing"
    else:
        there = f"a file {path.suffix or 'without a suffix'}"
    raise DatasetError(
        f"{path} is of no known format: there is {there}; expected {layout.INFO_PATH} (LeRobot), .zgroup or zarr.json "
        f"(Diffusion Policy), features.json (RLDS: the folder of one version), *.mcap, or files "
        f"{' or '.join('*' + suffix for suffix in SUFFIXES)} (ACT, robomimic, LIBERO)"
    )


def _lerobot_version(path: Path) -> str:
    raw = read_json(path / layout.INFO_PATH)
    version = raw.get("codebase_version") if isinstance(raw, dict) else None
    if version == layout.CODEBASE_VERSION:
        return "lerobot-v3"
    if version in ("v2.0", "v2.1"):
        return "lerobot-v2.1"
    raise DatasetError(
        f"{path / layout.INFO_PATH} is of LeRobot format {version!r}; dualsys imports v2.0, v2.1 and v3.0. "
        "Convert it with LeRobot's own converter first"
    )


def _is_zarr(path: Path) -> bool:
    if path.is_file():
        return path.name.endswith((".zarr.zip", ".zip"))
    return any((path / name).is_file() for name in (".zgroup", "zarr.json", ".zmetadata"))


def _hdf5_format(path: Path) -> str:
    with opened_hdf5(path) as file:
        if "action" in file and "observations" in file:
            return "act-hdf5"
        data = file.get("data")
        if data is not None and hasattr(data, "keys") and any(name.startswith("demo") for name in data):
            named = "problem_info" in data.attrs or "bddl_file_name" in data.attrs
            return "libero-hdf5" if named else "robomimic-hdf5"
        raise DatasetError(
            f"{path} is HDF5 of no known layout: it has {', '.join(sorted(file)) or 'nothing'}; expected action and "
            "observations/qpos (ACT), or data/demo_N/{actions,obs} (robomimic, LIBERO)"
        )


def _reader(home: str, *arguments: str) -> Callable[..., Source]:
    """A class imported when it is needed."""
    module, _, name = home.partition(":")

    def build(path: Path, *keys: tuple[str, ...]) -> Source:
        kind: Any = getattr(importlib.import_module(f"{_HOME}.{module}"), name)
        source: Source = kind(path, *arguments, *keys)
        return source

    return build


_READERS = {
    "lerobot-v2.1": _reader("lerobot_v21:LeRobotV21Source"),
    "lerobot-v3": _reader("lerobot_v3:LeRobotV3Source"),
    "act-hdf5": _reader("act_hdf5:ActSource"),
    "robomimic-hdf5": _reader("robomimic_hdf5:RobomimicSource", "robomimic-hdf5"),
    "libero-hdf5": _reader("robomimic_hdf5:RobomimicSource", "libero-hdf5"),
    "diffusion-policy-zarr": _reader("diffusion_zarr:DiffusionSource"),
    "rlds": _reader("rlds:RldsSource"),
    "mcap": _reader("mcap_log:McapSource"),
}
