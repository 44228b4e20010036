"""A place for one value between two threads: the newest wins, and is taken once."""

from collections import deque
from typing import Generic, TypeVar, final

T = TypeVar("T")


@final
class Slot(Generic[T]):
    """Put by one thread, taken by another; neither waits. Nothing that is put while something is taken gets lost."""

    def __init__(self) -> None:
        # A bounded deque drops and appends, and pops, in one step each; reading and clearing an attribute is two.
        self._values: deque[T] = deque(maxlen=1)

    def put(self, value: T) -> None:
        """Leave a value, in place of one that was not taken."""
        self._values.append(value)

    def take(self) -> T | None:
        """The value, once; None where there is nothing new."""
        try:
            return self._values.pop()
        except IndexError:
            return None
