"""Files are replaced whole or stay; whoever writes them, a refusal is one line of one kind."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dualsys.errors import CannotWrite
from dualsys.files import replacing, written_or_said

LIMIT_BYTES = 100_000
LARGE = 2 * LIMIT_BYTES


def write_plain(path: Path) -> None:
    path.write_bytes(bytes(LARGE))


def write_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(LARGE, np.uint8))


def write_torch(path: Path) -> None:
    with path.open("wb") as file:
        torch.save({"weight": torch.zeros(LARGE)}, file)


def write_safetensors(path: Path) -> None:
    save_file({"weight": torch.zeros(LARGE)}, path)


WRITERS = (write_plain, write_array, write_torch, write_safetensors)


@contextmanager
def no_file_beyond(limit_bytes: int) -> Iterator[None]:
    """What a full disk is to a process: no file of this one may grow beyond a limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_plain, "File too large"),
        (write_array, r"200000 requested and \d+ written"),
        (write_torch, "File too large"),
        (write_safetensors, "File too large"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_what_was_there(
    tmp_path: Path, write: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "kept.bin"
    path.write_bytes(b"old")
    said = rf"^cannot write .*/kept\.bin: {reason}\. Free some room \([\d.]+ MB are left\), or .* nothing .* is lost$"
    with no_file_beyond(LIMIT_BYTES), pytest.raises(CannotWrite, match=said), replacing(path) as partial:
        write(partial)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"kept.bin": b"old"}


@pytest.mark.parametrize("write", WRITERS)
def test_what_fits_takes_the_old_file_s_place(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "new/folder/kept.bin"
    with replacing(path) as partial:
        write(partial)
        assert not path.exists()
    write(tmp_path / "alone.bin")
    assert path.read_bytes() == (tmp_path / "alone.bin").read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["kept.bin"]


def test_a_full_disk_is_said_of_a_file_that_grows() -> None:
    said = r"cannot write .*: No space left on device\. Free some room"
    with (
        pytest.raises(CannotWrite, match=said),
        written_or_said(Path("/dev/full")),
        Path("/dev/full").open("a") as file,
    ):
        file.write("a line\n")


def test_a_folder_that_is_a_file_is_not_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    said = r"taken/state\.pt: (File exists|Not a directory)\. Mend that, or write to another folder"
    with pytest.raises(CannotWrite, match=said), replacing(tmp_path / "taken/state.pt") as partial:
        write_plain(partial)


def test_errors_that_are_not_of_writing_pass(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a shape is wrong"), replacing(tmp_path / "file"):
        raise RuntimeError("a shape is wrong")
    (tmp_path / "damaged").write_bytes(bytes(20))
    with pytest.raises(SafetensorError), replacing(tmp_path / "file"):
        load_file(tmp_path / "damaged")
    assert [file.name for file in tmp_path.iterdir()] == ["damaged"]
