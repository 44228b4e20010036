"""Shared memory for the bridge's tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """A folder in real shared memory."""
    folder = Path(tempfile.mkdtemp(prefix="dualsys-test.", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)
