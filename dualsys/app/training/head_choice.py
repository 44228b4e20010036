"""From `--head` and the shape of an actor to a head's configuration, fitted to data where it has to be."""

import numpy as np

from dualsys.actor.action_words import fit_ends, fit_fast
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.experts import ExpertConfig
from dualsys.actor.head_config import ActConfig, DiffusionConfig, RegressionConfig, TokensConfig, UNetConfig
from dualsys.actor.normalization import ControllerStatistics
from dualsys.app.train_config import HeadName
from dualsys.data.reader import DemonstrationDataset
from dualsys.errors import ConfigError

_CHUNKS_FITTED = 2000
"""That byte-pair merges are fitted to, at most."""


def head_config(
    name: HeadName,
    shape: FlowActorConfig,
    statistics: ControllerStatistics,
    data: DemonstrationDataset,
    rows: np.ndarray,
) -> ExpertConfig:
    """What an actor of that name is built from.

    Args:
        name: Of the head.
        shape: Its transformer's, and its chunks'.
        statistics: Of the data, and which of its actions are relative.
        data: That word tokenizers are fitted to.
        rows: Of the training's episodes.

    Raises:
        ConfigError: for chunks that a head can't have.
    """
    match name:
        case "flow":
            return shape
        case "regression":
            return RegressionConfig(shape=shape)
        case "diffusion":
            return DiffusionConfig(shape=shape)
        case "unet":
            unet = UNetConfig(down_dims=(shape.width, 2 * shape.width))
            if shape.horizon % unet.shrink:
                raise ConfigError(f"--head unet halves its rows: --actor.horizon {shape.horizon} is odd")
            return DiffusionConfig(shape=shape, unet=unet)
        case "act":
            return ActConfig(shape=shape, feed_forward=4 * shape.width)
    if statistics.is_relative:
        normalised = _chunks(name, data, statistics, shape.horizon).reshape(-1, statistics.action.width)
    else:
        normalised = statistics.action.normalize(data.actions[rows].astype(np.float64))
    words = fit_ends(TokensConfig(shape=shape), normalised)
    if name == "bins":
        return words
    return fit_fast(words.model_copy(update={"tokenizer": "fast"}), _chunks(name, data, statistics, shape.horizon))


def _chunks(name: HeadName, data: DemonstrationDataset, statistics: ControllerStatistics, horizon: int) -> np.ndarray:
    """Normalised chunks `(n, horizon, U)` from all through the episodes."""
    starts = [
        row
        for start, length in zip(data.episode_starts, data.episode_lengths, strict=True)
        for row in range(start, start + length - horizon + 1)
    ]
    if not starts:
        raise ConfigError(f"--head {name} is fitted to chunks of {horizon} rows, and no episode is as long")
    chosen = [starts[index] for index in np.linspace(0, len(starts) - 1, min(len(starts), _CHUNKS_FITTED)).astype(int)]
    rows = np.stack([data.actions[row : row + horizon] for row in chosen]).astype(np.float64)
    return statistics.rows_normalized(rows, data.states[chosen].astype(np.float64))
