"""robomimic, and LIBERO, which stores the same with the instruction beside it.

    data                    attributes env_args (JSON: env_name, env_kwargs.control_freq ...), LIBERO: problem_info
    data/demo_N/actions     (n, nu)
    data/demo_N/obs/<key>   (n, m), or pictures (n, h, w, 3)
    data/demo_N/rewards     (n,)

Source: robomimic's documentation ("Dataset Structure") and Lifelong-Robot-Learning/LIBERO, scripts/create_dataset.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from dualsys.data.foreign.hdf5 import hdf5_files, json_attribute, natural_order, numbers, opened_hdf5
from dualsys.data.foreign.pictures import as_pictures, looks_like_pictures
from dualsys.data.foreign.source import ForeignEpisode, component_names, joined, require_keys
from dualsys.errors import DatasetError
from dualsys.messages import ImageArray

_STATES = {
    "robomimic-hdf5": ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos"),
    "libero-hdf5": ("joint_states", "gripper_states"),
}
"""What the projects' own policies take."""


@final
class RobomimicSource:
    """One file of demonstrations, or a folder of them with the same columns, such as LIBERO's: a task a file."""

    def __init__(
        self, path: Path, format_: Literal["robomimic-hdf5", "libero-hdf5"], state_keys: tuple[str, ...] = ()
    ) -> None:
        """Look into every file. Raises `DatasetError` where one has no demonstrations."""
        self.format = format_
        self._state_keys = state_keys or _STATES[format_]
        self._demos: list[tuple[Path, str]] = []
        for file_path in hdf5_files(path):
            with opened_hdf5(file_path) as file:
                names = sorted((name for name in file["data"] if name.startswith("demo")), key=natural_order)
            self._demos += [(file_path, name) for name in names]
        if not self._demos:
            raise DatasetError(f"{path} has no data/demo_N; record or copy it again")
        first, name = self._demos[0]
        with opened_hdf5(first) as file:
            data, demo = file["data"], file["data"][name]
            observations = demo.get("obs", {})
            vectors = {key: node.shape[1:] for key, node in observations.items() if len(node.shape) <= 2}
            require_keys(self._state_keys, list(vectors), f"{first}:/data/{name}/obs")
            self.state_names = component_names({key: vectors[key] for key in self._state_keys})
            self.action_names = component_names({"action": demo["actions"].shape[1:]})
            self.cameras = tuple(sorted(key for key, node in observations.items() if looks_like_pictures(node.shape)))
            arguments = json_attribute(data, "env_args")
            settings = arguments.get("env_kwargs") or {}
            self.robot = str(arguments.get("env_name") or data.attrs.get("env_name", ""))
            frequency = settings.get("control_freq")
            self.fps = int(frequency) if isinstance(frequency, int | float) and frequency == int(frequency) else None
            self.action_representation: Literal["joint", "end-effector"] = _representation(settings)
            # robosuite's "opengl" pictures have their first row at the bottom.
            self._upside_down = data.attrs.get("macros_image_convention") == "opengl"
        self.notes: Mapping[str, Any] = {
            "state_keys": list(self._state_keys),
            "files": sorted({path.name for path, _ in self._demos}),
            **({"images": "flipped upright"} if self._upside_down else {}),
        }

    def __len__(self) -> int:
        return len(self._demos)

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode. Raises `DatasetError`."""
        path, name = self._demos[index]
        where = f"{path}:/data/{name}"
        with opened_hdf5(path) as file:
            demo = file["data"][name]
            states = {key: numbers(demo["obs"], key) for key in self._state_keys}
            actions = numbers(demo, "actions")
            joined({**states, "actions": actions}, where)
            return ForeignEpisode(
                states=joined(states, where),
                actions=joined({"actions": actions}, where),
                instruction=_instruction(file["data"], path) if self.format == "libero-hdf5" else "",
                success=_success(demo),
            )

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Images of an episode, upright. Raises `DatasetError`."""
        path, name = self._demos[index]
        with opened_hdf5(path) as file:
            pictures = as_pictures(numbers(file["data"][name]["obs"], camera), f"{path}:/data/{name}/obs/{camera}")
        return np.ascontiguousarray(pictures[:, ::-1]) if self._upside_down else pictures


def _representation(settings: Mapping[str, Any]) -> Literal["joint", "end-effector"]:
    """Operational-space controllers of robosuite move the hand; joint controllers are told joints."""
    controllers = settings.get("controller_configs") or {}
    kind = controllers.get("type", "OSC_POSE") if isinstance(controllers, dict) else "OSC_POSE"
    return "joint" if str(kind).startswith("JOINT") else "end-effector"


def _instruction(data: Any, path: Path) -> str:
    """From `problem_info`; else from the file's name: KITCHEN_SCENE3_put_the_pot_on_the_stove_demo.hdf5."""
    found = json_attribute(data, "problem_info").get("language_instruction")
    if isinstance(found, list):
        found = " ".join(map(str, found))
    if found:
        return str(found).strip().strip('"')
    words = path.stem.removesuffix("_demo").split("_")
    return " ".join(word for word in words if not word.isupper() and not word.startswith("SCENE"))


def _success(demo: Any) -> bool | None:
    """Sparse rewards say it; shaped ones do not."""
    rewards = numbers(demo, "rewards") if "rewards" in demo else np.zeros(0)
    return bool(rewards.max() > 0) if len(rewards) and np.isin(rewards, (0, 1)).all() else None
