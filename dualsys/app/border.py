"""Options that several commands share, refused before anything is built, by the names of their flags."""

from collections.abc import Callable, Mapping

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


_ADDRESSES = ("ws://", "wss://", "tcp://")


def require_policy(policy: str, *, keys: str, parts: Mapping[str, bool]) -> None:
    """Raise `ConfigError` for what is no policy's address, and for options of a checkpoint's parts beside one.

    Args:
        policy: Its address; empty: a checkpoint is used.
        keys: What its names are.
        parts: Flags of the checkpoint's parts, and whether they were given.
    """
    if not policy and keys:
        raise ConfigError("--policy-keys are names that a --policy has: give that, too")
    if policy:
        require_address(policy, option="--policy")
    if policy and any(parts.values()):
        beside = ", ".join(flag for flag, is_given in parts.items() if is_given)
        raise ConfigError(f"{beside}: a --policy is both systems of another program; leave it out")


def require_address(address: str, *, option: str) -> None:
    """Raise `ConfigError` for what is no policy's address."""
    if not address.startswith(_ADDRESSES) or not address.partition("://")[2]:
        raise ConfigError(
            f"{option} {address}: give ws://HOST:PORT of a server of openpi's protocol, or tcp://HOST:PORT of GR00T's"
        )


def require_parts(*, planner: str, actor: str, core: CoreConfig) -> None:
    """Raise `ConfigError` for names under which nothing is registered.

    Empty ones are the checkpoint's own; `package.module:attribute` need not be registered.
    """
    if planner and ":" not in planner:
        registry.require("planners", planner, option="--planner")
    if actor and ":" not in actor:
        registry.require("actors", actor, option="--actor")
    registry.require("chunk_policies", core.chunk_policy, option="--core.chunk-policy")
