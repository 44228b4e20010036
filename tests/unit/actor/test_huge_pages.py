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
    with private(8 * HUGE_PAGE) as memory:
        numbers = np.frombuffer(memory, np.uint32)
        numbers[:] = np.arange(len(numbers))
        # From the middle of one huge page to the middle of another.
        found = lie_in_huge_pages([(numbers.ctypes.data + HUGE_PAGE // 2, 5 * HUGE_PAGE), (numbers.ctypes.data, 1)])
        assert 0 <= found <= 6
        # What the kernel does by itself may come on top.
        assert huge_bytes(numbers.ctypes.data) >= found * HUGE_PAGE
        np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
        del numbers


def test_memory_that_is_not_there_is_none() -> None:
    with private(4 * HUGE_PAGE) as memory:
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


def private(nbytes: int) -> mmap.mmap:
    """Memory as an allocator gets it."""
    return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def huge_bytes(address: int) -> int:
    """In huge pages, of the mapping at an address."""
    mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    for mapping in mappings[1:]:
        first, last = (int(end, 16) for end in mapping.split()[0].split("-"))
        if first <= address < last:
            return 1024 * int(re.findall(r"AnonHugePages: +(\d+) kB", mapping)[0])
    raise AssertionError(f"nothing is mapped at {address:x}")
