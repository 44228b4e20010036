"""Memory in huge pages: as many as the kernel says, and nothing that lay there changes."""

import ctypes
import mmap
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from dualsys.actor.huge_pages import HUGE_PAGE, lie_in_huge_pages
from dualsys.actor.packed_layers import packed
from tests.unit.actor.sampled_experts import make_expert

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="huge pages are asked for on Linux")


def test_what_lies_there_stays_and_the_kernel_counts_as_many() -> None:
    with mmap.mmap(-1, 8 * HUGE_PAGE) as memory:
        numbers = np.frombuffer(memory, np.uint32)
        numbers[:] = np.arange(len(numbers))
        before = huge_bytes()
        # From the middle of one huge page to the middle of another.
        found = lie_in_huge_pages([(numbers.ctypes.data + HUGE_PAGE // 2, 5 * HUGE_PAGE), (numbers.ctypes.data, 1)])
        assert 0 <= found <= 6
        # What the kernel does by itself may come on top.
        assert huge_bytes() - before >= found * HUGE_PAGE
        np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
        del numbers


def test_memory_that_is_not_there_is_none() -> None:
    with mmap.mmap(-1, 4 * HUGE_PAGE) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert lie_in_huge_pages([(address, 2 * HUGE_PAGE)]) == 0
    assert lie_in_huge_pages([]) == 0


def test_packed_weights_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("dualsys.actor.packed_layers.lie_in_huge_pages", asked.extend)
    expert = make_expert()
    packed(expert, rows=6)
    sizes = {weight.numel() * weight.element_size() for weight in expert.parameters()}
    assert {nbytes for _, nbytes in asked} & sizes
    assert all(address % 4 == 0 and nbytes > 0 for address, nbytes in asked)


def huge_bytes() -> int:
    """Of this process, in huge pages."""
    told = re.search(r"AnonHugePages: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert told is not None
    return int(told[1]) * 1024
