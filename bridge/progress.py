"""What a running system tells whoever watches it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dualsys.bridge.reporter import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A look at a run."""

    stage: str
    """`starting` or `running`."""
    seconds: float
    """Since its beginning."""
    waiting: tuple[str, ...] = ()
    """Who is not ready yet."""
    statuses: Mapping[str, Status] = field(default_factory=dict)
    """Newest status of each process or thread, by name."""


OnProgress = Callable[[Progress], None]
IsOver = Callable[[], bool]
"""Whether a run is to end now, before its time: in order, and with its figures until then."""


def never() -> bool:
    """A run that nobody ends before its time."""
    return False
