"""The delays of one episode: each part's own row of values, all from the episode's seed."""

from collections.abc import Iterator
from itertools import repeat
from operator import attrgetter
from typing import final

from dualsys.delays import Distribution, distribution_of, draws, losses
from dualsys.timing import TimingConfig

DELAYS = (
    "planner_latency_s",
    "actor_latency_s",
    "camera_delay_s",
    "actuation_delay_s",
    "link.observation_s",
    "link.subgoal_s",
)
"""Options of a timing that are delays."""


@final
class DelaySource:
    """What the delays of any episode are drawn from. Traces are read once, here.

    Raises `ConfigError` where a trace can't be read.
    """

    def __init__(self, timing: TimingConfig) -> None:
        self.timing = timing
        self.distributions: dict[str, Distribution] = {
            name: distribution_of(attrgetter(name)(timing), series=name.rpartition(".")[2]) for name in DELAYS
        }

    def of_episode(self, seed: int) -> "EpisodeDelays":
        """The delays of an episode, from its beginning."""
        return EpisodeDelays(self, seed)


@final
class EpisodeDelays:
    """Delays drawn from a seed. The same seed and timing give the same values, whatever the other parts draw."""

    def __init__(self, source: DelaySource, seed: int) -> None:
        self._source, self._seed = source, seed
        self.timing = source.timing

    def of(self, part: str) -> Iterator[float]:
        """Delays of a part, such as `planner_latency_s` or `link.subgoal_s`, from the first on."""
        return self._source.distributions[part].values(draws(self._seed, part))

    def losses_of(self, part: str) -> Iterator[bool]:
        """Whether things are lost, such as `link.subgoal_drop`."""
        return losses(attrgetter(part)(self.timing), draws(self._seed, part))


def never_lost() -> Iterator[bool]:
    """For what always arrives."""
    return repeat(False)
