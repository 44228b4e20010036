"""Actors that hold on to something outside this process, and are let go of when their controller is closed."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Closing(Protocol):
    """An actor with a connection, or whatever else somebody waits to have back."""

    def close(self) -> None:
        """Let go. Idempotent; the next `act` may take hold anew."""
        ...
