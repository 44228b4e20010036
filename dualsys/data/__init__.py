"""Datasets of demonstrations: LeRobot v3.0 folders, written and read with pyarrow and av alone.

    from dualsys.data import DatasetWriter, DemonstrationDataset, Episode

Importing this package is light; pyarrow and av are imported with the first name used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualsys.data.episode import CameraTrack as CameraTrack
    from dualsys.data.episode import Episode as Episode
    from dualsys.data.reader import DemonstrationDataset as DemonstrationDataset
    from dualsys.data.writer import DatasetWriter as DatasetWriter

_HOMES = {
    "CameraTrack": "dualsys.data.episode",
    "DatasetWriter": "dualsys.data.writer",
    "DemonstrationDataset": "dualsys.data.reader",
    "Episode": "dualsys.data.episode",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dualsys.data' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
