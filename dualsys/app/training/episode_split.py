"""Which episodes are trained on, and which are kept to validate on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualsys.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeSplit:
    """Numbers of the episodes that are trained and validated on, ascending."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]


def split_episodes(folder_of_episode: NDArray[np.int64], fraction: float, seed: int) -> EpisodeSplit:
    """Keep a share of each dataset folder's episodes for validation, so that every task is in both.

    Args:
        folder_of_episode: `(E,)` number of the folder that each episode is from.
        fraction: Share to validate on, of a folder at least one episode. The only one of a folder is trained on.
        seed: Of the choice.

    Raises:
        ConfigError: no folder has two episodes.
    """
    rng = np.random.default_rng(seed)
    kept = [np.zeros(0, np.int64)]
    for folder in np.unique(folder_of_episode):
        episodes = np.flatnonzero(folder_of_episode == folder)
        wanted = max(1, round(len(episodes) * fraction))
        kept.append(rng.permutation(episodes)[: min(wanted, len(episodes) - 1)])
    validation = np.sort(np.concatenate(kept))
    count = len(folder_of_episode)
    if not len(validation):
        raise ConfigError(
            f"{count} episodes are too few to keep one for validation: no folder of --data has two; "
            "record more demonstrations"
        )
    return EpisodeSplit(training=np.setdiff1d(np.arange(count), validation), validation=validation)
