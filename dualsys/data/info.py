"""`meta/info.json`: LeRobot's description of a dataset, and ours under the key `dualsys`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualsys.data import layout
from dualsys.data.video import video_info
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError
from dualsys.files import read_json, write_json

PROVENANCE_FORMAT = 1


class Provenance(BaseModel):
    """Which robot, task and expert a dataset is from, and with which seeds and versions it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = PROVENANCE_FORMAT
    embodiment: EmbodimentSpec
    task: str
    """`suite/task`."""
    expert: str = ""
    settings: dict[str, Any] = {}
    """What decides the recorded data beside the seed: expert's noise, camera's rate ..."""
    first_seed: int = 0
    next_seed: int = 0
    """Where a longer recording goes on."""
    attempted: int = 0
    failed_seeds: list[int] = []
    versions: dict[str, str] = {}


class Feature(BaseModel):
    """Type and shape of one column; `info` describes a video."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dtype: str
    shape: tuple[int, ...]
    names: list[str] | dict[str, Any] | None = None
    info: dict[str, Any] | None = None

    @property
    def component_names(self) -> tuple[str, ...]:
        """One a component of a vector; LeRobot also nests them, as in `{"motors": [...]}`. Empty where it has none."""
        names = self.names
        if isinstance(names, dict):
            names = [name for group in names.values() if isinstance(group, list) for name in map(str, group)]
        return tuple(names) if names is not None and (len(names),) == self.shape else ()


class DatasetInfo(BaseModel):
    """Keys of `meta/info.json`. Unknown ones are left alone, since LeRobot adds some with time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    codebase_version: str
    robot_type: str | None = None
    total_episodes: int = Field(ge=0)
    total_frames: int = Field(ge=0)
    total_tasks: int = Field(ge=0)
    chunks_size: int = Field(default=layout.CHUNKS_SIZE, gt=0)
    data_files_size_in_mb: int = layout.DATA_FILE_MB
    video_files_size_in_mb: int = layout.VIDEO_FILE_MB
    fps: int = Field(gt=0)
    splits: dict[str, str] = {}
    data_path: str = layout.DATA_PATH
    video_path: str | None = layout.VIDEO_PATH
    features: dict[str, Feature]
    dualsys: Provenance | None = None

    @classmethod
    def read(cls, root: Path) -> Self:
        """Read a dataset's description.

        Raises:
            DatasetError: there is none, it is of another format, or it doesn't hold together.
        """
        path = root / layout.INFO_PATH
        if not path.is_file():
            raise DatasetError(_missing(root))
        raw = read_json(path)
        version = raw.get("codebase_version") if isinstance(raw, dict) else None
        if version != layout.CODEBASE_VERSION:
            raise DatasetError(
                f"{path} is of LeRobot format {version!r}; dualsys reads {layout.CODEBASE_VERSION!r}. "
                "Convert it with LeRobot's own converter, or record it again with: dualsys demos"
            )
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DatasetError(f"{path} does not fit: {where}: {first['msg']}") from error

    def write(self, root: Path) -> None:
        """Write it atomically."""
        write_json(
            root / layout.INFO_PATH,
            self.model_dump(mode="json", exclude={"features": {"__all__": {"info"}}})
            | {"features": {name: _feature_json(feature) for name, feature in self.features.items()}},
        )


def make_features(
    embodiment: EmbodimentSpec, extras: dict[str, int], names: Mapping[str, Sequence[str]], fps: int
) -> dict[str, Feature]:
    """Features of a recording: state, action, cameras, their stamps, extras by width, LeRobot's indices.

    `names` has the components' names of some extras. Raises `DatasetError` where they don't fit the width.
    """
    action_names = [joint.name for joint in embodiment.joints]
    features = {
        layout.STATE: _vector(embodiment.num_states, list(embodiment.state_names)),
        layout.ACTION: _vector(embodiment.num_actions, action_names),
    }
    for camera in embodiment.cameras:
        features[layout.image_key(camera.name)] = Feature(
            dtype="video",
            shape=(camera.height, camera.width, 3),
            names=["height", "width", "channels"],
            info=video_info(camera.height, camera.width, fps),
        )
    if embodiment.cameras:
        cameras = [camera.name for camera in embodiment.cameras]
        features[layout.IMAGE_STAMPS] = _vector(len(cameras), cameras)
    for name, width in sorted(extras.items()):
        components = list(names[name]) if name in names else None
        if components is not None and len(components) != width:
            raise DatasetError(f"column {name} has {width} components, {len(components)} are named")
        features[name] = _vector(width, components)
    return features | {name: Feature(dtype=dtype, shape=(1,)) for name, dtype in layout.INDEX_FEATURES.items()}


def _vector(width: int, names: list[str] | None) -> Feature:
    return Feature(dtype="float32", shape=(width,), names=names)


def _feature_json(feature: Feature) -> dict[str, Any]:
    return feature.model_dump(mode="json", exclude=None if feature.info is not None else {"info"})


def _missing(root: Path) -> str:
    staging = root / layout.STAGING_DIR
    if staging.is_dir():
        count = len(list(staging.glob("*.npz")))
        note = staging / layout.BEGUN_WITH
        is_import = note.is_file() and layout.IMPORTED_FROM in read_json(note)
        return (
            f"{root} holds {'an import' if is_import else 'a recording'} that was not finished ({count} episodes so "
            f"far); finish it with the same command{'' if is_import else ' and --resume'}"
        )
    return f"{root} is no dataset: it has no {layout.INFO_PATH}. Record one with: dualsys demos TASK --out {root}"
