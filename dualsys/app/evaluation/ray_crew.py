"""Workers under Ray, on this machine or on a cluster's: Ray places them, and tells when one has died."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, final

from dualsys.app.ctrl_c import watched
from dualsys.app.evaluation.job import Death, EpisodeJob, Outcome
from dualsys.app.evaluation.player import Player
from dualsys.app.worker_pool import use_one_thread_each
from dualsys.bridge.ray_cluster import first_words, start_ray
from dualsys.errors import BridgeError, ConfigError

MakePlayer = Callable[[], Player]
"""It is sent to the workers."""
MOST_FAILED_STARTS = 3
"""In a row, before nothing more is hoped for."""
AS_URGENT_AS_WE_ARE = ("RAY_worker_niceness", "0")
"""Of a local cluster: Ray gives its workers what is left of the processors (nice 15) where others use them, too."""
_WITHOUT = "--launcher subprocess"
_SAY_AFTER_S = 30.0
"""Of waiting for a processor that the cluster has given to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process looks for files and modules. Ray's have places of their own."""

    folder: str
    path: tuple[str, ...]

    @classmethod
    def here(cls) -> Self:
        """This process's."""
        return cls(folder=os.getcwd(), path=tuple(map(os.path.abspath, sys.path)))

    def enter(self) -> None:
        """Look there, too. A folder that another machine doesn't have is left out."""
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        sys.path += [entry for entry in self.path if entry not in sys.path and os.path.exists(entry)]


class PlayerServer:
    """A worker: a player in a process of Ray's."""

    def __init__(self, make: MakePlayer, place: Place) -> None:
        place.enter()
        use_one_thread_each()
        self._player = make()

    def ready(self) -> None:
        """Answered when the process runs."""

    def outcome(self, job: EpisodeJob) -> Outcome:
        """Play an episode."""
        return self._player.outcome(job)


@contextmanager
def ray_crew(workers: int, make: MakePlayer, *, address: str | None, say: Callable[[str], None]) -> Iterator["RayCrew"]:
    """Workers of a Ray cluster; of a local one, which is started and goes with the block, without an address.

    Raises:
        BridgeError: Ray can't be had.
        ConfigError: the cluster has fewer processors than there are workers.
    """
    use_one_thread_each()  # what a local cluster's processes inherit
    os.environ.setdefault(*AS_URGENT_AS_WE_ARE)
    ray = start_ray(address, num_cpus=workers, without=_WITHOUT)
    try:
        found = int(ray.cluster_resources().get("CPU", 0))
        if found < workers:
            raise ConfigError(
                f"--workers {workers} need a processor each and the Ray cluster has {found}; use --workers "
                f"{max(1, found)}"
            )
        yield RayCrew(ray, workers, make, say)
    finally:
        with watched() as ctrl_c, ctrl_c.held():  # pressed again, it must not break off what takes the cluster down
            ray.shutdown()


@final
class RayCrew:
    """A fixed number of workers, a processor each; episodes are given to those whose process runs."""

    def __init__(self, ray: Any, workers: int, make: MakePlayer, say: Callable[[str], None]) -> None:
        self._ray, self._make, self._say = ray, make, say
        self._class = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(PlayerServer)
        self._place = Place.here()
        self._servers: dict[int, Any] = {}
        self._starting: dict[Any, int] = {}
        self._idle: set[int] = set()
        self._playing: dict[Any, tuple[int, EpisodeJob]] = {}
        self._failed_starts = 0
        for worker in range(workers):
            self._start(worker)

    @property
    def idle(self) -> list[int]:
        """Workers that run and wait."""
        return sorted(self._idle)

    def give(self, job: EpisodeJob, worker: int) -> None:
        """Have one of those play an episode."""
        self._idle.remove(worker)
        self._playing[self._servers[worker].outcome.remote(job)] = (worker, job)

    def outcomes(self) -> list[Outcome]:
        """Wait for the next that end, die, or have started."""
        waited_for = [*self._starting, *self._playing]
        done, _ = self._ray.wait(waited_for, timeout=None if self._playing else _SAY_AFTER_S)
        if not done:
            self._say("the Ray cluster's processors are busy: waiting for one")
        outcomes: list[Outcome] = []
        for call in done:
            if call in self._starting:
                self._take_started(call)
            else:
                outcomes.append(self._take_played(call))
        return outcomes

    def _start(self, worker: int) -> None:
        self._servers[worker] = self._class.remote(self._make, self._place)
        self._starting[self._servers[worker].ready.remote()] = worker

    def _take_started(self, call: Any) -> None:
        worker = self._starting.pop(call)
        try:
            self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise BridgeError(
                    f"{self._failed_starts} workers in a row could not be started on the Ray cluster: "
                    f"{first_words(error)}; {_WITHOUT} does without Ray"
                ) from error
            self._start(worker)
        else:
            self._failed_starts = 0
            self._idle.add(worker)

    def _take_played(self, call: Any) -> Outcome:
        worker, job = self._playing.pop(call)
        try:
            outcome: Outcome = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(self._servers[worker])  # where it is the node that is gone, or what came back
            self._start(worker)
            return Death(job=job, cause=first_words(error))
        self._idle.add(worker)
        return outcome
