"""A tape in one file, or in bounded parts of which the oldest can be let go.

    run.mcap
    run.0000.mcap | run.0001.mcap | run.0002.mcap ...    cut where an episode starts, or at twice the size at the latest

Parts are the same tape: played one after another (`dualsys replay run.*.mcap`) they give what one file would. A part
that begins with an episode can be played by itself.
"""

from pathlib import Path
from types import TracebackType
from typing import Self, final

from dualsys.bridge.tape_file import TapeWriter
from dualsys.errors import TapeError
from dualsys.events import Started
from dualsys.tape import CarriedOver, Record, TapeHead


@final
class TapeReel:
    """Writes records to `path`, or to `STEM.NUMBER.mcap` beside it. A context manager.

    Args:
        path: `FOLDER/STEM.mcap`. Parts of an earlier run of this name are refused, so that two runs never mix.
        head: What a replay needs; the same in every part.
        part_bytes: A part that is larger ends where the next episode starts with nothing carried over, or at twice this
            size (see `CarriedOver`); 0: one file.
        keep: Newest parts kept on disk; 0: all.

    Raises:
        TapeError: the first file can't be written, or there are parts of this name.
    """

    def __init__(self, path: Path, head: TapeHead, *, part_bytes: int = 0, keep: int = 0) -> None:
        self._path, self._head, self._part_bytes, self._keep = path, head, part_bytes, keep
        self.files: list[Path] = []
        """On disk, the oldest first."""
        self._number = 0
        self._carried = CarriedOver()
        if part_bytes:
            _require_no_parts(path)
        self._writer = self._next_file()

    def add(self, record: Record) -> None:
        """Write a record. Raises `OSError` or `TapeError` where the disk is full."""
        if self._part_bytes and self._is_full(starting=isinstance(record, Started) and not self._carried):
            self._writer.close()
            self._writer = self._next_file()
            self._let_go()
        self._carried.see(record)
        self._writer.add(record)

    def close(self) -> None:
        """End the last file. Idempotent."""
        self._writer.close()

    def _is_full(self, *, starting: bool) -> bool:
        return self._writer.size_bytes >= self._part_bytes * (1 if starting else 2)

    def _next_file(self) -> TapeWriter:
        part = f".{self._number:04d}" if self._part_bytes else ""
        path = self._path.with_name(f"{self._path.stem}{part}{self._path.suffix}")
        writer = TapeWriter(path, self._head, part=self._number)
        self.files.append(path)
        self._number += 1
        return writer

    def _let_go(self) -> None:
        while self._keep and len(self.files) > self._keep:
            self.files.pop(0).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _require_no_parts(path: Path) -> None:
    parts = sorted(path.parent.glob(f"{path.stem}.[0-9]*{path.suffix}"))
    if parts:
        raise TapeError(f"tape {path} has {len(parts)} parts of another run ({parts[0].name} ...): move or delete them")
