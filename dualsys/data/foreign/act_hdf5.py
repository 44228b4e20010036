"""ACT and ALOHA: a file an episode, joint positions and their targets.

    /action                        (n, 14)
    /observations/qpos             (n, 14)    what the targets are for
    /observations/qvel, effort     (n, 14)    not used unless asked for
    /observations/images/<camera>  (n, h, w, 3) uint8, or (n, bytes) of JPEG, padded, where the file has `compress`

Source: tonyzhaozh/act, record_sim_episodes.py; MarkFzp/mobile-aloha's recorder for the compressed pictures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

from dualsys.data.foreign.hdf5 import hdf5_files, numbers, opened_hdf5
from dualsys.data.foreign.pictures import as_pictures, decoded_pictures
from dualsys.data.foreign.source import ForeignEpisode, component_names, joined, require_keys
from dualsys.messages import ImageArray

_QPOS = "qpos"


@final
class ActSource:
    """A folder of `episode_N.hdf5`, or one such file."""

    format = "act-hdf5"
    fps: int | None = None
    robot = "aloha"
    action_representation: Literal["joint"] = "joint"

    def __init__(self, path: Path, state_keys: tuple[str, ...] = ()) -> None:
        """Look into the first file. Raises `DatasetError` where it is none of ACT's."""
        self._files = hdf5_files(path)
        self._state_keys = state_keys or (_QPOS,)
        with opened_hdf5(self._files[0]) as file:
            observations = file["observations"]
            vectors = {key: node.shape[1:] for key, node in observations.items() if hasattr(node, "shape")}
            require_keys(self._state_keys, list(vectors), f"{self._files[0]}:/observations")
            self.state_names = component_names({key: vectors[key] for key in self._state_keys})
            width = file["action"].shape[1]
            # An action is the target of the joint position in the same place.
            same = vectors.get(_QPOS) == (width,) and _QPOS in self._state_keys
            self.action_names = component_names({_QPOS if same else "action": (width,)})
            self.cameras = tuple(sorted(observations.get("images", ())))
            self._compressed = any(observations["images"][camera].ndim == 2 for camera in self.cameras)
        self.notes: Mapping[str, Any] = {
            "state_keys": list(self._state_keys),
            # OpenCV took RGB for BGR when it wrote them; reading them as they are would swap red and blue.
            **({"jpeg_channels": "swapped back to RGB"} if self._compressed else {}),
        }

    def __len__(self) -> int:
        return len(self._files)

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode. Raises `DatasetError`."""
        with opened_hdf5(self._files[index]) as file:
            observations = file["observations"]
            states = {key: numbers(observations, key) for key in self._state_keys}
            parts = {**states, "action": numbers(file, "action")}
            joined(parts, str(self._files[index]))
            return ForeignEpisode(
                states=joined(states, str(self._files[index])),
                actions=joined({"action": parts["action"]}, str(self._files[index])),
            )

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Images of an episode. Raises `DatasetError`."""
        where = f"{self._files[index]}:/observations/images/{camera}"
        with opened_hdf5(self._files[index]) as file:
            values = numbers(file["observations/images"], camera)
        if values.ndim == 2:
            return decoded_pictures((row.tobytes() for row in values), where)[..., ::-1]
        return as_pictures(values, where)
