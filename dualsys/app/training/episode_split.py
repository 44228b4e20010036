"""Which episodes are trained on, and which are kept to validate on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualsys.app.recording import CORRECTIONS, CORRECTIONS_A_SEED
from dualsys.data.reader import DemonstrationDataset
from dualsys.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSplit:
    """Numbers of the episodes that are trained and validated on, ascending."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]


def split_dataset(data: DemonstrationDataset, fraction: float, seed: int) -> EpisodeSplit:
    """As `split_episodes`, with the corrections of one episode kept together: they share its scene and its words."""
    return split_episodes(data.folder_of_episode, fraction, seed, scenes_of(data))


def is_of_corrections(data: DemonstrationDataset, folder: int) -> bool:
    """Whether a folder of the dataset, by its number, is what `dualsys correct` wrote."""
    provenance = data.provenance[folder]
    return provenance is not None and provenance.settings.get("kind") == CORRECTIONS


def scenes_of(data: DemonstrationDataset) -> NDArray[np.int64]:
    """`(E,)` numbers that are equal within a folder where episodes are corrections of the same one."""
    scenes = np.arange(data.num_episodes)
    for folder in range(len(data.paths)):
        if is_of_corrections(data, folder):
            mine = data.folder_of_episode == folder
            scenes[mine] = data.seeds[mine] // CORRECTIONS_A_SEED
    return scenes


def split_episodes(
    folder_of_episode: NDArray[np.int64],
    fraction: float,
    seed: int,
    scene_of_episode: NDArray[np.int64] | None = None,
) -> EpisodeSplit:
    """Keep a share of each dataset folder's scenes for validation, so that every task is in both and no scene is.

    Args:
        folder_of_episode: `(E,)` number of the folder that each episode is from.
        fraction: Share to validate on, of a folder at least one scene. The only one of a folder is trained on.
        seed: Of the choice.
        scene_of_episode: `(E,)` the same number within a folder for the same scene; None: each episode is one.

    Raises:
        ConfigError: no folder has two scenes.
    """
    rng = np.random.default_rng(seed)
    scene_of_episode = np.arange(len(folder_of_episode)) if scene_of_episode is None else scene_of_episode
    kept = [np.zeros(0, np.int64)]
    for folder in np.unique(folder_of_episode):
        episodes = np.flatnonzero(folder_of_episode == folder)
        scenes = np.unique(scene_of_episode[episodes])
        wanted = max(1, round(len(scenes) * fraction))
        chosen = rng.permutation(scenes)[: min(wanted, len(scenes) - 1)]
        kept.append(episodes[np.isin(scene_of_episode[episodes], chosen)])
    validation = np.sort(np.concatenate(kept))
    count = len(folder_of_episode)
    if not len(validation):
        raise ConfigError(
            f"{count} episodes are too few to keep one for validation: no folder of --data has two; "
            "record more demonstrations"
        )
    return EpisodeSplit(training=np.setdiff1d(np.arange(count), validation), validation=validation)
