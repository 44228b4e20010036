"""What talking to other programs' policies needs beside dualsys, imported when it is used."""

from importlib import import_module
from typing import Any

from dualsys.errors import ExtraMissing

_OPENPI = "pip install 'dualsys[openpi]'"
_GROOT = "pip install 'dualsys[groot-zmq]'"


def import_msgpack(*, groot: bool = False) -> Any:
    """Raises `ExtraMissing`."""
    return _import("msgpack", "GR00T's protocol" if groot else "openpi's protocol", _GROOT if groot else _OPENPI)


def import_websockets(module: str) -> Any:
    """A module of websockets. Raises `ExtraMissing`."""
    return _import(f"websockets.{module}", "openpi's protocol", _OPENPI)


def import_zmq() -> Any:
    """Raises `ExtraMissing`."""
    return _import("zmq", "GR00T's protocol", _GROOT)


def _import(name: str, what: str, fix: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ExtraMissing(f"{what} needs {name.partition('.')[0]}; install it with: {fix}") from error
