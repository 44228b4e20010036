"""Two network namespaces with a bad link between them: delay, loss and cuts, packet by packet.

Linux has `tc netem` for it, which not every kernel is built with. Here the link's ends are two TUN devices, one in each
namespace, and a thread carries the packets from one to the other, late, or not at all. It needs root and /dev/net/tun.
"""

import fcntl
import heapq
import os
import random
import selectors
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Self, final

TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_MTU = 1500
_IDLE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good a link is, the same both ways."""

    delay_s: float = 0.0
    """Of each packet, one way."""
    loss: float = 0.0
    """Share of the packets that are lost."""
    cut: bool = False
    """Whether all are."""


@final
class LossyLink:
    """Carries packets between two descriptors; a context manager.

    Args:
        ends: Read from and written to, a packet at a time.
        seed: Of the losses.
    """

    def __init__(self, ends: tuple[int, int], *, seed: int = 0) -> None:
        self._ends = ends
        self._random = random.Random(seed)
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="lossy-link", daemon=True)
        self.quality = Quality()
        """May be changed at any time; packets under way are carried as they were sent, unless the link is cut."""
        self.carried = 0
        self.lost = 0

    def __enter__(self) -> Self:
        """Begin to carry."""
        for end in self._ends:
            os.set_blocking(end, False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Carry no more."""
        self._stop.set()
        self._thread.join()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as selector:
            for index, end in enumerate(self._ends):
                selector.register(end, selectors.EVENT_READ, self._ends[1 - index])
            while not self._stop.is_set():
                due_s = self._under_way[0][0] - monotonic() if self._under_way else _IDLE_S
                for key, _ in selector.select(min(max(due_s, 0.0), _IDLE_S)):
                    self._take(int(key.fd), key.data)
                self._deliver()

    def _take(self, end: int, other: int) -> None:
        try:
            packet = os.read(end, 2 * _MTU)
        except (BlockingIOError, OSError):
            return
        quality = self.quality
        if quality.cut or self._random.random() < quality.loss:
            self.lost += 1
            return
        self._count += 1  # Of two that are due at once the first sent comes first.
        heapq.heappush(self._under_way, (monotonic() + quality.delay_s, self._count, other, packet))

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= monotonic():
            _, _, other, packet = heapq.heappop(self._under_way)
            try:
                if not self.quality.cut:
                    os.write(other, packet)
                    self.carried += 1
                    continue
            except OSError:
                pass  # The other end is down, or its buffer full: a network loses it, too.
            self.lost += 1


def run_in(namespace: str, command: Sequence[str]) -> list[str]:
    """A command line that runs another in a namespace."""
    return ["ip", "netns", "exec", namespace, *command]


@contextmanager
def two_namespaces(names: tuple[str, str], addresses: tuple[str, str]) -> Iterator[LossyLink]:
    """Two namespaces that reach nothing but each other, over the link; gone afterwards.

    Raises:
        OSError: there is no /dev/net/tun, or it may not be used.
        subprocess.CalledProcessError: `ip` says no.
    """
    with ExitStack() as stack:
        ends = []
        for index, (name, address) in enumerate(zip(names, addresses, strict=True)):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            end, device = os.open(TUN, os.O_RDWR), f"tun{os.getpid() % 100000}.{index}"
            stack.callback(os.close, end)
            fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
            ends.append(end)
            _ip("link", "set", device, "netns", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", device)
            _ip("-n", name, "link", "set", device, "mtu", str(_MTU), "up")
            # Ray finds out the node's address by asking for the way to anywhere.
            _ip("-n", name, "route", "add", "default", "dev", device)
        yield stack.enter_context(LossyLink((ends[0], ends[1])))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
