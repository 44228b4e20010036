"""Where a fence comes from, on machines that need one."""

import ctypes.util

import pytest

from dualsys.bridge.fences import _libatomic_fence, make_fence


def test_libatomic_is_looked_for_once_however_many_boxes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    find = ctypes.util.find_library

    def find_and_count(name: str) -> str | None:
        asked.append(name)
        return find(name)

    monkeypatch.setattr(ctypes.util, "find_library", find_and_count)
    _libatomic_fence.cache_clear()
    for _ in range(3):
        make_fence(strongly_ordered=False)()
    assert len(asked) <= 1, "each time starts ldconfig, and compilers where that knows nothing"
