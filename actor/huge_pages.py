"""`lie_in_huge_pages`: asks Linux to keep weights in pages of 2 MB instead of 4 KB.

A large expert's weights go through a processor's caches once for each flow step. In small pages that costs a look-up of
an address every 4 KB, and pages that fall upon each other's places in the caches. Asked for, not required: kernels
before 6.1 make huge pages by and by, or not at all where an administrator forbids them
(`/sys/kernel/mm/transparent_hugepage/enabled`).

Source: madvise(2), `MADV_HUGEPAGE` and `MADV_COLLAPSE`.
"""

import ctypes
import functools
import sys
from collections.abc import Callable, Iterable

HUGE_PAGE = 2 << 20
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25


def lie_in_huge_pages(blocks: Iterable[tuple[int, int]]) -> int:
    """How many huge pages memory came to lie in, of those that hold a part of these blocks.

    What else lies in such a page comes along and is as it was. 0 on other systems than Linux.

    Args:
        blocks: Address and size in bytes of each.
    """
    madvise = _madvise()
    if madvise is None:
        return 0
    starts = {
        start
        for address, nbytes in blocks
        for start in range(address // HUGE_PAGE * HUGE_PAGE, address + nbytes, HUGE_PAGE)
    }
    return sum(_collapse(madvise, start) for start in starts)


def _collapse(madvise: Callable[..., int], start: int) -> bool:
    page = ctypes.c_void_p(start), ctypes.c_size_t(HUGE_PAGE)
    madvise(*page, _MADV_HUGEPAGE)  # fails where a part isn't mapped, as at a heap's end; then the next one does, too
    return madvise(*page, _MADV_COLLAPSE) == 0


@functools.cache
def _madvise() -> Callable[..., int] | None:
    return ctypes.CDLL(None).madvise if sys.platform == "linux" else None
