"""The time between a chunk's rows is that between the data's: chunks are learned from consecutive rows."""

from dualsys.actor.config import FlowActorConfig
from dualsys.errors import CheckpointError, ConfigError

_USUAL_DT_S = FlowActorConfig().dt_s


def at_rate_of_data(shape: FlowActorConfig, fps: int) -> FlowActorConfig:
    """A fresh actor's shape, its rows as far apart as the data's.

    Raises:
        ConfigError: another time was chosen.
    """
    if shape.dt_s != _USUAL_DT_S and not is_rate_of(shape.dt_s, fps):
        raise ConfigError(
            f"--actor.dt-s {shape.dt_s:g}: --data has {fps} rows a second, and chunks are learned from those: "
            f"{1 / fps:g} s apart. Leave it out"
        )
    return shape.model_copy(update={"dt_s": 1.0 / fps})


def require_rate_of_data(name: str, dt_s: float, fps: int) -> None:
    """Refuse data of another rate than that of an actor that goes on. Raises `CheckpointError`."""
    if not is_rate_of(dt_s, fps):
        raise CheckpointError(
            f"the actor of {name} makes {1 / dt_s:.3g} rows a second, --data has {fps}: take data of its rate, or a "
            "new actor with --init-parts planner"
        )


def is_rate_of(dt_s: float, fps: int) -> bool:
    """Whether rows so many seconds apart are as far apart as those of data."""
    return abs(dt_s * fps - 1.0) <= 1e-3
