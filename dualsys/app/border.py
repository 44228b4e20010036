"""Options that several commands share, refused before anything is built, by the names of their flags."""

from collections.abc import Callable

from pydantic import ValidationError

from dualsys import registry
from dualsys.config import describe_invalid
from dualsys.errors import ConfigError
from dualsys.settings import IMAGE_ACTIONS, CoreConfig, StalenessConfig, TimingConfig


def require_timing(timing: Callable[[], TimingConfig]) -> None:
    """Raise `ConfigError` where the rates and latencies that a command's options make mean nothing."""
    try:
        timing()
    except ValidationError as error:
        raise ConfigError(describe_invalid(error, flags="--")) from error


def require_image_actions(image: StalenessConfig) -> None:
    """Raise `ConfigError` for what can't be done with an old image."""
    for flag, action in (("on-stale", image.on_stale), ("on-expired", image.on_expired)):
        if action not in IMAGE_ACTIONS:
            raise ConfigError(f"--image.{flag} {action}: with an old image an actor can {' or '.join(IMAGE_ACTIONS)}")


def require_parts(*, planner: str, actor: str, core: CoreConfig) -> None:
    """Raise `ConfigError` for names under which nothing is registered.

    Empty ones are the checkpoint's own; `package.module:attribute` need not be registered.
    """
    if planner and ":" not in planner:
        registry.require("planners", planner, option="--planner")
    if actor and ":" not in actor:
        registry.require("actors", actor, option="--actor")
    registry.require("chunk_policies", core.chunk_policy, option="--core.chunk-policy")
