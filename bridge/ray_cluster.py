"""Starting Ray, or joining a cluster: the same settings for whoever uses it."""

import logging
import os
import socket
from typing import Any, Final

from dualsys.errors import BridgeError

_LOGGER = logging.getLogger(__name__)

SETTINGS: Final = {
    # A call to an actor that was killed fails within milliseconds instead of seconds.
    "RAY_timeout_ms_task_wait_for_death_info": "0",
    # Ray's ports are open to the network of the machine: whoever uses them must hold the token.
    "RAY_AUTH_MODE": "token",
    # An actor that asks for no accelerator sees them all the same, as any process does.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Set before ray is imported, unless the user has set them."""

OBJECT_STORE_BYTES = 80 * 2**20
"""Ray's smallest object store: nothing of ours goes through it."""
START_ATTEMPTS = 3
CONNECT_TIMEOUT_S = 3.0
"""For the head of a cluster to take a connection; Ray itself would wait for minutes, without a word."""


def start_ray(address: str | None, *, num_cpus: int, without: str) -> Any:
    """Start a local cluster, or join one; returns the module `ray`. Whoever calls this calls `ray.shutdown()`.

    Args:
        address: Cluster to join; None: start a local one.
        num_cpus: What a local one may hand out.
        without: How to do without Ray, for the error.

    Raises:
        BridgeError: Ray is not installed, didn't start in several attempts, or nobody answers at the address.
    """
    if address is not None:
        require_listening(address, without=without)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise BridgeError(f"this needs ray: pip install ray; {without} does without") from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        # Without the word Ray would join a cluster of somebody else's that runs on this machine, and refuse the rest.
        options |= {"address": "local", "num_cpus": num_cpus}
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        options |= {"address": address}
    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(**options)
        except Exception as error:
            # Ray raises whatever its layers raise; on a busy machine its daemons may just have taken too long.
            ray.shutdown()
            where = f"join the Ray cluster at {address}" if address else "start a local Ray cluster"
            _LOGGER.warning("attempt %d to %s: %s", attempt, where, error)
            if attempt == START_ATTEMPTS:
                raise BridgeError(f"cannot {where}: {error}; {without} does without Ray") from error
        else:
            break
    return ray


def node_address(ray: Any, node: str) -> tuple[str, int] | None:
    """Where a node's own daemon takes connections; None where the cluster can't tell, or has the node no more."""
    try:
        nodes = ray.nodes()
    except ray.exceptions.RayError as error:
        _LOGGER.warning("the cluster does not tell of its nodes: %s", first_words(error))
        return None
    for each in nodes:
        if each["NodeID"] == node and each["Alive"]:
            return str(each["NodeManagerAddress"]), int(each["NodeManagerPort"])
    return None


def takes_connections(address: tuple[str, int], within_s: float) -> bool:
    """Whether somebody takes a connection there within the time: a daemon that lives, behind a link that isn't cut."""
    try:
        socket.create_connection(address, timeout=within_s).close()
    except OSError:
        return False
    return True


def first_words(error: Exception) -> str:
    """Ray's own words, less the pages that may follow them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300]


def require_listening(address: str, *, without: str) -> None:
    """Raise `BridgeError` where nobody takes a connection at `HOST:PORT` or `ray://HOST:PORT`.

    Words such as `auto`, which name no place, are Ray's to look up.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    if not host or not port.isdecimal():
        raise BridgeError(f"--ray-address {address} is no HOST:PORT; `ray start --head` names the one to give")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise BridgeError(
            f"no Ray cluster answers at --ray-address {address} ({error}); start one there (ray start --head), give "
            f"the address that it names, or leave --ray-address out to have a local one; {without} does without Ray"
        ) from error
