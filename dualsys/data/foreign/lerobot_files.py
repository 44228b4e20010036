"""What LeRobot's formats v2.1 and v3.0 have in common: features and rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualsys.data import layout
from dualsys.data.foreign.pictures import decoded_pictures
from dualsys.data.foreign.source import ForeignEpisode, component_names, joined, require_keys
from dualsys.data.info import Feature
from dualsys.data.tables import column_array
from dualsys.errors import DatasetError
from dualsys.messages import ImageArray

_IMAGES = "observation.images."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LeRobotColumns:
    """Which features are states, actions and cameras."""

    features: Mapping[str, Feature]
    state_keys: tuple[str, ...]
    where: str

    def __post_init__(self) -> None:
        """Raise `DatasetError` where a feature is missing."""
        vectors = [name for name, feature in self.features.items() if feature.dtype.startswith(("float", "int"))]
        require_keys((*self.state_keys, layout.ACTION), vectors, self.where)

    @property
    def cameras(self) -> dict[str, str]:
        """Feature by camera's name."""
        kinds = ("video", "image")
        return {name.removeprefix(_IMAGES): name for name, feature in self.features.items() if feature.dtype in kinds}

    @property
    def state_names(self) -> tuple[str, ...]:
        """As the features name their components, else numbered."""
        return tuple(name for key in self.state_keys for name in self._names(key))

    @property
    def action_names(self) -> tuple[str, ...]:
        """Likewise."""
        return self._names(layout.ACTION)

    @property
    def vectors(self) -> list[str]:
        """The columns that `episode` needs."""
        return [*self.state_keys, layout.ACTION]

    def episode(self, table: pa.Table, where: Path, instruction: str) -> ForeignEpisode:
        """States and actions out of an episode's rows. Raises `DatasetError`."""
        found = {key: self._column(table, key, str(where)) for key in self.vectors}
        return ForeignEpisode(
            states=joined({key: found[key] for key in self.state_keys}, str(where)),
            actions=joined({layout.ACTION: found[layout.ACTION]}, str(where)),
            instruction=instruction,
        )

    def _names(self, key: str) -> tuple[str, ...]:
        feature = self.features[key]
        return feature.component_names or component_names({key.removeprefix("observation."): feature.shape})

    def _column(self, table: pa.Table, key: str, where: str) -> NDArray[Any]:
        values = column_array(table, key)
        if values.reshape(len(values), -1).shape[1] != int(np.prod(self.features[key].shape)):
            raise DatasetError(f"{where}: column {key} has shape {values.shape}, not {self.features[key].shape} a row")
        return values


def embedded_pictures(table: pa.Table, key: str, where: str) -> ImageArray:
    """Images of a column of files: `{bytes, path}` a row. Raises `DatasetError`."""
    entries = table[key].to_pylist()
    blobs = [entry.get("bytes") if isinstance(entry, dict) else None for entry in entries]
    if any(blob is None for blob in blobs):
        raise DatasetError(f"{where}: {key} holds paths instead of pictures; copy the dataset again, pictures included")
    return decoded_pictures((blob for blob in blobs if blob is not None), f"{where}: {key}")


def video_path(root: Path, template: str | None, places: Mapping[str, Any]) -> Path:
    """Where a video lies. Raises `DatasetError` for a template that does not say or names something else."""
    try:
        return root / str(template).format(**places)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise DatasetError(f"{root / layout.INFO_PATH}: the path template {template!r} is not LeRobot's") from error
