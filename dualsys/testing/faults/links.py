"""A link between two parts that is lost: whoever reads gets nothing new."""

from typing import Any, Generic, Protocol, TypeVar, final

T = TypeVar("T", covariant=True)


class Readable(Protocol[T]):
    """What a reader of a mailbox has (`dualsys.bridge.Mailbox`)."""

    def peek(self) -> Any:
        """Stamps of the newest value; None: there is none."""
        ...

    def read(self) -> T | None:
        """The newest value; None: there is none."""
        ...


@final
class LostLink(Generic[T]):
    """Stands in for a mailbox's reading end. While cut, it shows what was newest when it was cut.

    Args:
        reader: What is read from.
    """

    def __init__(self, reader: Readable[T]) -> None:
        self._reader = reader
        self._kept: tuple[Any, T | None] | None = None

    def cut(self) -> None:
        """From now on nothing new comes."""
        self._kept = (self._reader.peek(), self._reader.read())

    def mend(self) -> None:
        """What was written meanwhile is seen, the newest of it: a mailbox keeps no more."""
        self._kept = None

    def peek(self) -> Any:
        """Stamps of the newest value that came through."""
        return self._reader.peek() if self._kept is None else self._kept[0]

    def read(self) -> T | None:
        """The newest value that came through."""
        return self._reader.read() if self._kept is None else self._kept[1]
