"""Where in a Ray cluster a planner goes: words of `--planner-node` as Ray's options."""

import ipaddress
from typing import Any

from dualsys.errors import ConfigError

_SHARE = 0.001
"""Of a resource: it only says where; the resource is for others to use."""


def placement(node: str) -> dict[str, Any]:
    """Options for a Ray actor that belongs on a node.

    Args:
        node: `KEY=VALUE`, a label of the node (`ray start --labels KEY=VALUE`); an address, such as 10.0.0.7; or the
            name of a resource of the node's own (`ray start --resources '{"NAME": 1}'`). Empty: anywhere.

    Raises:
        ConfigError: for what is none of these.
    """
    if not node:
        return {}
    key, equals, value = node.partition("=")
    if equals:
        if not key or not value:
            raise ConfigError(f"--planner-node {node!r}: a label is KEY=VALUE")
        return {"label_selector": {key: value}}
    try:
        ipaddress.ip_address(node)
    except ValueError:
        return {"resources": {node: _SHARE}}
    # Ray gives each node such a resource by itself.
    return {"resources": {f"node:{node}": _SHARE}}
