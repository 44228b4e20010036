"""`dualsys policy serve`: a controller for programs that speak openpi's or GR00T's protocol."""

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from dualsys.actor.outside.keys import PolicyKeys
from dualsys.app.serving.served_policy import BuildPolicy, ServedPolicy
from dualsys.bridge.process_life import use_one_torch_thread
from dualsys.bridge.processes import sigterm_as_exit
from dualsys.checkpoint import Checkpoint
from dualsys.errors import BridgeError, ConfigError
from dualsys.stored_kinds import require_kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyServeConfig:
    """Both systems behind one call: an observation in, a chunk out.

    By openpi's websocket protocol (`openpi_client.websocket_client_policy`) or GR00T's over ZMQ. Nobody is asked who
    they are, so listen where you trust who can reach it. The safety gate is with whoever moves the robot.
    """

    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    planner: str = ""
    """Registered planner, or `package.module:attribute`, to serve instead of the checkpoint's."""
    actor: str = ""
    """The same for the actor."""
    embodiment: str = ""
    """Which of its robots, by name, where the checkpoint is of several."""
    protocol: Literal["openpi", "groot"] = "openpi"
    """`openpi`: websocket; `groot`: ZMQ, as GR00T N1.6 and N1.7 have it."""
    keys: str = "dualsys"
    """Names that clients of openpi's protocol have for states, cameras and words: shipped (`dualsys`, `libero`,
    `droid`, `aloha`) or a TOML file."""
    host: str = "127.0.0.1"
    """Interface to listen on; 0.0.0.0: all."""
    port: int | None = None
    """None: the protocol's own, 8000 or 5555; 0: any that is free."""
    max_clients: int = 1
    """Clients at a time, each with models of its own (openpi)."""
    planner_hz: float | None = None
    """How often the planner plans, by the observations' times; None: with every call."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.max_clients < 1:
            raise ConfigError("--max-clients must be at least 1")
        if self.planner_hz is not None and not self.planner_hz > 0:
            raise ConfigError(f"--planner-hz {self.planner_hz:g} must be above 0")
        if self.port is not None and not 0 <= self.port < 2**16:
            raise ConfigError(f"--port {self.port} is none: 0 to 65535")
        if self.protocol == "groot" and (self.keys != "dualsys" or self.max_clients != 1):
            raise ConfigError(
                "--keys and --max-clients are of openpi's protocol: GR00T's names a robot's joints by its groups, and "
                "knows no connections"
            )


def main(config: PolicyServeConfig) -> int:
    """Serve until Ctrl-C. Returns the exit status.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        ConfigError: the keys are unknown, or leave out a state or a camera.
        ExtraMissing: what the protocol needs is not installed.
        BridgeError: the port is taken.
    """
    require_kinds(Checkpoint.open(config.checkpoint), planner=config.planner, actor=config.actor)
    use_one_torch_thread()
    build = partial(
        ServedPolicy.from_checkpoint,
        config.checkpoint,
        planner=config.planner,
        actor=config.actor,
        robot=config.embodiment,
        planner_hz=config.planner_hz,
    )
    with sigterm_as_exit(), suppress(KeyboardInterrupt):
        try:
            _serve_openpi(config, build) if config.protocol == "openpi" else _serve_groot(config, build)
        except OSError as error:
            raise BridgeError(
                f"nothing can listen at {config.host}:{_port(config)}: {error.strerror or error}. Choose another --port"
            ) from error
    return 0


def _serve_openpi(config: PolicyServeConfig, build: BuildPolicy) -> None:
    from dualsys.app.serving.openpi_server import OpenPIServer

    keys = PolicyKeys.named(config.keys)
    server = OpenPIServer(build, keys, host=config.host, port=_port(config), max_clients=config.max_clients)
    asyncio.run(server.serve(lambda port: _tell(config, f"ws://{config.host}:{port}")))


def _serve_groot(config: PolicyServeConfig, build: BuildPolicy) -> None:
    from dualsys.app.serving.groot_server import GrootServer

    server = GrootServer(build(), host=config.host, port=_port(config))
    _tell(config, server.address)
    server.serve()


def _port(config: PolicyServeConfig) -> int:
    return config.port if config.port is not None else {"openpi": 8000, "groot": 5555}[config.protocol]


def _tell(config: PolicyServeConfig, address: str) -> None:
    sys.stderr.write(f"{config.checkpoint} is served at {address}; Ctrl-C ends it\n")
    sys.stderr.flush()
