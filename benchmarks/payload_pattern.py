"""Payloads that are a function of their sequence number, so that whoever reads one can make it again and compare."""

import numpy as np
from numpy.typing import NDArray

_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


class PayloadPattern:
    """Payloads of one size: word `i` of number `n` is `i * golden + mix(n)`.

    `mix` is a bijection whose values differ in about half their bits from one number to the next, so that payloads of
    two numbers differ in every word: whatever is mixed from two of them is seen, wherever it is cut.

    Args:
        nbytes: Of a payload, a multiple of 8.
    """

    def __init__(self, nbytes: int) -> None:
        self._base = np.arange(nbytes // 8, dtype=np.uint64) * np.uint64(_GOLDEN)
        self._words: NDArray[np.uint64] = np.empty_like(self._base)
        self._bytes = self._words.data.cast("B")

    def payload(self, number: int) -> memoryview:
        """Payload of a number, valid until the next call."""
        np.add(self._base, np.uint64(mix(number)), out=self._words)
        return self._bytes

    def matches(self, number: int, data: bytes | bytearray | memoryview) -> bool:
        """Whether every byte is the payload's of that number."""
        return self.payload(number) == data


def mix(number: int) -> int:
    """SplitMix64's output function (Steele, Lea and Flood 2014)."""
    word = (number * _GOLDEN) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)
