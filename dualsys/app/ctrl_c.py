"""Ctrl-C where it must not strike, while processes are begun and while they end; and where it ends a run in order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, final


def _nothing() -> None:
    pass


@final
class CtrlC:
    """SIGINT's handler while `watched`: as before at the first press, unless it is held back; later presses are noted.

    A signal mask would not do: it binds one thread, and Python raises in the main one whichever took the signal.
    """

    def __init__(self, before: Callable[[int, FrameType | None], Any]) -> None:
        self._before = before
        self._is_held = False
        self._then: Callable[[], None] = _nothing
        self.was_pressed = False
        """Since it is held back, or after it was raised."""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self._is_held:
            self.was_pressed = True
            self._then()
            return
        try:
            self._before(number, frame)
        except BaseException:
            self._is_held = True  # what ends now must not be broken off half-way by pressing again
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block that Ctrl-C does not break off; it is raised at its end."""
        was_held, self._is_held = self._is_held, True
        try:
            yield
        finally:
            self._is_held = was_held
        if self.was_pressed and not was_held:
            self.was_pressed = False
            signal.raise_signal(signal.SIGINT)

    def hold(self, then: Callable[[], None]) -> None:
        """From here to the end of `watched`; `then` is called at each press."""
        self._is_held, self._then = True, then


@contextmanager
def watched() -> Iterator[CtrlC]:
    """A block in which Ctrl-C can be held back. What was pressed and not raised is raised behind it.

    Where the block ends with an error, that says enough. In other threads than the main one nothing is ever raised,
    and an ignored Ctrl-C stays ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    is_raised = callable(before) and threading.current_thread() is threading.main_thread()
    ctrl_c = CtrlC(before if callable(before) else lambda number, frame: None)
    if is_raised:
        signal.signal(signal.SIGINT, ctrl_c)
    try:
        yield ctrl_c
    finally:
        if signal.getsignal(signal.SIGINT) is ctrl_c:  # and not one that was set since
            signal.signal(signal.SIGINT, before)
    if ctrl_c.was_pressed:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def first_press_noted() -> Iterator[Callable[[], bool]]:
    """A block that the first Ctrl-C doesn't break off; it is told of it by what is yielded. A second is raised.

    In other threads than the main one, or where Ctrl-C is ignored, it is never told.
    """
    pressed = False
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
