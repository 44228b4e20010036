"""What a protocol sets of an evaluation's options, and what it refuses to have set otherwise."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dualsys.bounds import UsualHz
from dualsys.errors import ConfigError
from dualsys.settings import CoreConfig
from dualsys.sim_envs.protocols import EvaluationProtocol, protocol_called

if TYPE_CHECKING:
    from dualsys.app.evaluation.config import EvalConfig


class Usual(int):
    """A number that stands where nobody chose one: a protocol may replace it."""


def by_protocol(config: "EvalConfig") -> dict[str, Any]:
    """Values of those options that the protocol decides.

    Raises `ConfigError` for an unknown protocol or group, and for a choice that contradicts it; only fewer episodes may
    be chosen, which the report then says.
    """
    if not config.protocol:
        if config.group:
            raise ConfigError(f"--group {config.group} is a part of a protocol's tasks: give --protocol, too")
        return {}
    protocol = protocol_called(config.protocol)
    if config.group:
        protocol.tasks_among((), group=config.group)  # refuses an unknown one
    return {
        "episodes": _episodes(config.episodes, protocol),
        "seed": _seed(config.seed, protocol),
        "control_hz": _control_hz(config.control_hz, protocol),
        "core": _core(config.core, protocol),
        "execution_horizon": _execution_horizon(config, protocol),
    }


def _episodes(asked: int, protocol: EvaluationProtocol) -> int:
    if isinstance(asked, Usual):
        return protocol.episodes
    if asked > protocol.episodes:
        raise _contradiction("--episodes", asked, f"{protocol.episodes} of each task; fewer can be had", protocol)
    return asked


def _seed(asked: int, protocol: EvaluationProtocol) -> int:
    if not isinstance(asked, Usual) and asked != protocol.first_seed:
        raise _contradiction("--seed", asked, str(protocol.first_seed), protocol)
    return protocol.first_seed


def _control_hz(asked: float | None, protocol: EvaluationProtocol) -> float | None:
    if protocol.control_hz is None:
        return asked
    if asked not in (None, protocol.control_hz):
        raise _contradiction("--control-hz", f"{asked:g}", f"{protocol.control_hz:g}", protocol)
    return protocol.control_hz


def _core(asked: CoreConfig, protocol: EvaluationProtocol) -> CoreConfig:
    """With the protocol's rate of chunks, where it has one."""
    if protocol.chunk_hz is None or asked.actor_hz == protocol.chunk_hz:
        return asked
    if not isinstance(asked.actor_hz, UsualHz):
        own = f"{protocol.chunk_hz:g}: a chunk every {protocol.execution_horizon} rows at {protocol.control_hz:g} Hz"
        raise _contradiction("--core.actor-hz", f"{asked.actor_hz:g}", own, protocol)
    return replace(asked, actor_hz=protocol.chunk_hz)


def _execution_horizon(config: "EvalConfig", protocol: EvaluationProtocol) -> int | None:
    """In a frozen world, the protocol's rows of a chunk; where the world moves, the rate of chunks says it all."""
    asked, own = config.execution_horizon, protocol.execution_horizon
    if own is None or (config.world == "moves" and not config.sweep_frozen_world):
        return asked
    if asked not in (None, own):
        raise _contradiction("--execution-horizon", asked, str(own), protocol)
    return own


def _contradiction(flag: str, asked: object, own: str, protocol: EvaluationProtocol) -> ConfigError:
    return ConfigError(f"{flag} {asked} contradicts the protocol {protocol.name}, which has {own}: leave one out")
