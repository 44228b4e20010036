"""TFRecord files: records one after the other, each with checksums, read without TensorFlow.

    length    uint64      little-endian, as all that follows
    crc       uint32      of the length's 8 bytes
    data      length bytes
    crc       uint32      of the data

A checksum is CRC-32C, turned and shifted so that a checksum of data that holds checksums is no trivial one. Source:
tensorflow/core/lib/io/record_writer.h and lib/hash/crc32c.h.
"""

import importlib
import struct
from pathlib import Path
from typing import Any, BinaryIO, final

from dualsys.errors import DatasetError, ExtraMissing

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_DELTA = 0xA282EAD8


@final
class TFRecordFile:
    """One file. Where its records lie is read when it is opened, their data when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Raises `DatasetError` where the file is damaged or cut short, `ExtraMissing` without google-crc32c."""
        self.path = path
        self._places = list(_places(path))

    def __len__(self) -> int:
        return len(self._places)

    def record(self, index: int) -> bytes:
        """Data of a record. Raises `DatasetError` where it isn't what its checksum says."""
        offset, length = self._places[index]
        with _opened(self.path) as file:
            file.seek(offset)
            data = file.read(length)
            (crc,) = _FOOTER.unpack(file.read(_FOOTER.size).ljust(_FOOTER.size, b"\0"))
        if masked_crc(data) != crc:
            raise DatasetError(f"{self.path}: record {index} is damaged (checksum); copy the file again")
        return data


def masked_crc(data: bytes) -> int:
    """A record's checksum."""
    crc: int = _crc32c().value(data)
    return ((crc >> 15 | crc << 17) + _DELTA) & 0xFFFFFFFF


def _places(path: Path) -> Any:
    """Offset and length of each record's data."""
    size = path.stat().st_size
    position = 0
    with _opened(path) as file:
        index = 0
        while position < size:
            file.seek(position)
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise _cut(path, index, position, size)
            length, crc = _HEADER.unpack(header)
            if masked_crc(header[:8]) != crc:
                raise DatasetError(
                    f"{path}: what should be the length of record {index} (byte {position}) is not; the file is "
                    "damaged or no TFRecord file (compressed ones are not read); copy it again"
                )
            end = position + _HEADER.size + length + _FOOTER.size
            if end > size:
                raise _cut(path, index, position, size)
            yield position + _HEADER.size, length
            position = end
            index += 1


def _cut(path: Path, index: int, position: int, size: int) -> DatasetError:
    return DatasetError(
        f"{path} is cut short: record {index} begins at byte {position} and the file ends at {size}; copy it again"
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); copy it again") from error


def _crc32c() -> Any:
    try:
        return importlib.import_module("google_crc32c")
    except ImportError as error:
        raise ExtraMissing("reading TFRecord files needs google-crc32c: pip install 'dualsys[import]'") from error
