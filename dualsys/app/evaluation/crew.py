"""Workers that play episodes, and how episodes go to them until each has been played once."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NoReturn, Protocol

from dualsys.app.evaluation.job import Death, EpisodeJob, Outcome, PlayedEpisode, Refusal
from dualsys.app.evaluation.waiting import WaitingEpisodes
from dualsys.errors import BridgeError

MOST_GIVEN_UP = 3
"""Episodes that kill whoever plays them, before it is the machine's fault and not theirs."""


class Crew(Protocol):
    """Workers, wherever they are; one that dies is replaced."""

    @property
    def idle(self) -> Sequence[int]:
        """Workers that wait for something to do, by number; one that replaces another has its number."""
        ...

    def give(self, job: EpisodeJob, worker: int) -> None:
        """Have one of those play an episode."""
        ...

    def outcomes(self) -> list[Outcome]:
        """Wait until something has happened; what came of episodes that were given, each once."""
        ...


def raised(refusal: Refusal) -> NoReturn:
    """Raise what playing raised."""
    raise refusal.error


def play_all(
    crew: Crew,
    jobs: Iterable[EpisodeJob],
    *,
    max_retries: int,
    on_death: Callable[[Death], None],
    on_refusal: Callable[[Refusal], None] = raised,
) -> Iterator[PlayedEpisode]:
    """Play every episode once, as workers have time; they come as they end, those of a task from few workers.

    One whose worker dies is played again by another, before those that wait.

    Args:
        crew: Who plays.
        jobs: What is played.
        max_retries: How often an episode is tried again.
        on_death: Told of each death.
        on_refusal: Told of each episode that could not be played.

    Raises:
        BridgeError: an episode's workers died more often than that. The others have been played by then, unless
            `MOST_GIVEN_UP` of them end so.
        Exception: what playing raised.
    """
    waiting, under_way = WaitingEpisodes(jobs), 0
    deaths: Counter[EpisodeJob] = Counter()
    given_up: list[Death] = []
    while (waiting or under_way) and len(given_up) < MOST_GIVEN_UP:
        for worker in crew.idle[: len(waiting)]:
            crew.give(waiting.take(worker), worker)
            under_way += 1
        for outcome in crew.outcomes():
            under_way -= 1
            if isinstance(outcome, PlayedEpisode):
                yield outcome
            elif isinstance(outcome, Death):
                on_death(outcome)
                deaths[outcome.job] += 1
                if deaths[outcome.job] <= max_retries:
                    waiting.put_back(outcome.job)
                else:
                    given_up.append(outcome)
            else:
                on_refusal(outcome)
    if given_up:
        raise BridgeError(_deadly(given_up, max_retries + 1))


def _deadly(given_up: list[Death], times: int) -> str:
    episodes = "; ".join(f"{death.job} ({death.cause})" for death in given_up)
    return (
        f"every worker that played it died, {times} of them each: {episodes}. Play it alone to see why: --episodes 1 "
        "--seed SEED; if it is the memory, ask for fewer --workers. With --json the other episodes are kept: add "
        "--resume to go on"
    )
