"""Which workers an evaluation asked for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from dualsys.app.evaluation.alone import alone
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.crew import Crew
from dualsys.app.evaluation.identity import Identity
from dualsys.app.evaluation.job import Death, EpisodeJob, Outcome
from dualsys.app.evaluation.player import Player
from dualsys.app.evaluation.ray_crew import ray_crew
from dualsys.app.process_crew import process_crew


def crew_of(
    configs: Sequence[EvalConfig],
    num_jobs: int,
    say: Callable[[str], None],
    identities: Sequence[Identity] | None = None,
) -> AbstractContextManager[Crew]:
    """Workers for so many episodes of several evaluations, as the first one says.

    Args:
        configs: The evaluations.
        num_jobs: Episodes: there are no more workers than that.
        say: Told what there is to wait for.
        identities: What each is of, where workers on other machines are to look.
    """
    first = configs[0]
    if num_jobs == 0 or (first.workers == 1 and first.launcher == "subprocess"):
        return alone(partial(Player, configs))
    workers = min(first.workers, num_jobs)
    if first.launcher == "subprocess":
        return process_crew(workers, partial(Player, configs), lost=death_of)
    return ray_crew(workers, partial(Player, configs, identities), address=first.ray_address, say=say)


def death_of(job: EpisodeJob, cause: str) -> Outcome:
    """What comes of an episode whose process has died."""
    return Death(job=job, cause=cause)
