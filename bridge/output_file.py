"""What a process prints, in a file of bounded size."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, final

MOST_BYTES = 512 * 2**10
"""Of a file; where it grows larger, its older part is let go."""
_KEPT_BYTES = 64 * 2**10
"""Of its end, then."""
_SHOWN_BYTES = 1000


@final
class OutputFile:
    """Written to by a process through a descriptor that appends, and read, and kept short, by another.

    Args:
        path: The file, in shared memory as a rule: what it takes there, the run's mailboxes lack.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def appended(self) -> Iterator[tuple[IO[bytes], int]]:
        """The file, to hand to a process, and its size before."""
        with self.path.open("ab") as file:
            yield file, file.tell()

    def end(self, most_bytes: int, *, since: int = 0) -> str:
        """Its end as a text, of what was written from a place on; empty where there is nothing."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(size - most_bytes, min(since, size), 0))
                return file.read(most_bytes).decode(errors="replace")
        except OSError:
            return ""

    def trim(self) -> bool:
        """Let its older part go where it has grown too large; whether it had.

        The end is moved to the front with all that is written meanwhile, then the rest is cut off: lost is only what is
        written between the last look and the cut, two calls of the system.
        """
        try:
            with self.path.open("r+b", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if size <= MOST_BYTES:
                    return False
                source = size - _KEPT_BYTES
                kept = os.pwrite(file.fileno(), f"({source} bytes before this were let go)\n".encode(), 0)
                while kept < MOST_BYTES and (piece := os.pread(file.fileno(), _KEPT_BYTES, source)):
                    source += len(piece)
                    kept += os.pwrite(file.fileno(), piece, kept)
                os.ftruncate(file.fileno(), kept)
        except OSError:
            return False
        return True


def ends_of_output(folder: Path) -> str:
    """The end of what each process of a run's folder wrote."""
    return "\n".join(
        f"{log.name}: {OutputFile(log).end(_SHOWN_BYTES).strip() or '(nothing)'}"
        for log in sorted(folder.glob("*.log"))
    )
