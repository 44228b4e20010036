"""Writing a dataset: episodes are staged one by one, then become part of the dataset together.

    writer = DatasetWriter(folder, embodiment, fps=50)
    writer.stage(episode)                        # any order, any process; a killed recording keeps what is staged
    writer.finish(seeds, provenance)             # appends these episodes in this order

`finish` writes new files only and replaces `meta/info.json` last: killed half-way, the folder still reads as it was
before, and the next `finish` overwrites the leftovers. What it writes depends on the episodes alone, not on who staged
them or when.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualsys.data import layout
from dualsys.data.append import Append
from dualsys.data.episode import Episode, StagedEpisode
from dualsys.data.info import DatasetInfo, Feature, Provenance, make_features
from dualsys.data.summaries import Statistics
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError
from dualsys.files import write_json


class DatasetWriter:
    """Writes a dataset folder. Not for two processes at once, except for `stage`."""

    def __init__(
        self,
        root: Path,
        embodiment: EmbodimentSpec,
        *,
        fps: int,
        column_names: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Open a folder for writing; an existing dataset is appended to.

        Args:
            root: The dataset's folder.
            embodiment: The robot.
            fps: Rows a second.
            column_names: Names of the components of some of the episodes' `extras`.

        Raises:
            DatasetError: the folder holds a damaged dataset, one of another robot or rate; or the robot has no states.
        """
        if not embodiment.state_names:
            raise DatasetError(f"{embodiment.name} has no states: rows of a dataset hold some; name what it senses")
        self.root = root
        self.embodiment = embodiment
        self.fps = fps
        self._column_names = dict(column_names or {})
        self.info: DatasetInfo | None = None
        if (root / layout.INFO_PATH).is_file():
            self.info = DatasetInfo.read(root)
            self._require_same(self.info)
        elif (
            root.is_dir()
            and any(path.name != layout.STAGING_DIR for path in root.iterdir())
            and not self.staged_seeds()
        ):
            raise DatasetError(f"{root} exists and is no dataset; give an empty or new folder")

    @property
    def staging(self) -> Path:
        """Folder of the episodes not yet in the dataset."""
        return self.root / layout.STAGING_DIR

    @property
    def num_episodes(self) -> int:
        """Episodes in the dataset, staged ones not counted."""
        return 0 if self.info is None else self.info.total_episodes

    def staged_seeds(self) -> list[int]:
        """Seeds of the staged episodes, ascending."""
        return StagedEpisode.seeds(self.staging)

    def stage(self, episode: Episode) -> None:
        """Store an episode for a later `finish`.

        Raises:
            DatasetError: it doesn't fit the embodiment.
            CannotWrite: a full disk, or a folder that is read-only.
        """
        shapes = (episode.states.shape[1:], episode.actions.shape[1:], sorted(episode.cameras))
        spec = self.embodiment
        expected = ((spec.num_states,), (spec.num_actions,), sorted(camera.name for camera in spec.cameras))
        if shapes != expected:
            raise DatasetError(
                f"episode of seed {episode.seed} has state, action, cameras {shapes}, expected {expected}"
            )
        for camera in spec.cameras:
            size, own = episode.cameras[camera.name].frames.shape[1:], (camera.height, camera.width, 3)
            if size != own:  # a video would hold them, and whoever reads it gets them stretched
                raise DatasetError(
                    f"episode of seed {episode.seed}: pictures of {camera.name} are {size}, expected {own}"
                )
        StagedEpisode.save(self.staging, episode, self.fps)

    def finish(self, seeds: Sequence[int], provenance: Provenance) -> DatasetInfo:
        """Append the staged episodes of these seeds in this order, and delete the staging folder.

        Raises:
            DatasetError: a staged episode is damaged, or there is none.
            CannotWrite: a full disk, or a folder that is read-only.
        """
        cameras = tuple(camera.name for camera in self.embodiment.cameras)
        append = Append.load(self.root, self.info, self.fps, cameras, seeds)
        features = self.info.features if self.info is not None else self._features(append.episodes[0])
        append.write_rows(features)
        append.write_videos()
        append.write_meta()
        write_json(self.root / layout.STATS_PATH, _plain(append.dataset_statistics(features)))
        total = append.rows[-1]["episode_index"] + 1
        info = DatasetInfo(
            codebase_version=layout.CODEBASE_VERSION,
            robot_type=self.embodiment.name,
            total_episodes=total,
            total_frames=append.rows[-1]["dataset_to_index"],
            total_tasks=len(append.tasks),
            fps=self.fps,
            splits={"train": f"0:{total}"},
            video_path=layout.VIDEO_PATH if self.embodiment.cameras else None,
            features=features,
            dualsys=provenance,
        )
        info.write(self.root)
        self.info = info
        shutil.rmtree(self.staging)
        return info

    def _features(self, episode: StagedEpisode) -> dict[str, Feature]:
        extras = {
            name.removeprefix("extra/"): 1 if column.ndim == 1 else column.shape[1]
            for name, column in episode.columns.items()
            if name.startswith("extra/")
        }
        return make_features(self.embodiment, extras, self._column_names, self.fps)

    def _require_same(self, info: DatasetInfo) -> None:
        if info.dualsys is None:
            raise DatasetError(f"{self.root} was not written by dualsys and cannot be appended to; give another folder")
        if info.dualsys.embodiment != self.embodiment or info.fps != self.fps:
            theirs = info.dualsys.embodiment
            raise DatasetError(
                f"{self.root} holds {info.fps} Hz data of embodiment {theirs.name!r} ({theirs.fingerprint()}), not "
                f"{self.fps} Hz of {self.embodiment.name!r} ({self.embodiment.fingerprint()}); give another folder"
            )


def _plain(statistics: Mapping[str, Statistics]) -> dict[str, Any]:
    """As JSON takes it; counts are whole."""
    return {
        feature: {
            name: value.astype(int).tolist() if name == "count" else value.tolist() for name, value in entry.items()
        }
        for feature, entry in statistics.items()
    }
