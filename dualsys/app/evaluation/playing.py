"""Several evaluations played by one crew: every episode once, whatever dies, and gone on with where it was stopped."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.crew import play_all
from dualsys.app.evaluation.crews import crew_of
from dualsys.app.evaluation.identity import Identity
from dualsys.app.evaluation.job import Death, EpisodeJob
from dualsys.app.evaluation.journal import Journal, opened_journal
from dualsys.app.evaluation.played import Played
from dualsys.app.evaluation.progress import EvaluationProgress
from dualsys.app.evaluation.watched import Watched


def play_evaluations(
    configs: Sequence[EvalConfig],
    identities: Sequence[Identity],
    tasks: Sequence[Sequence[str]],
    *,
    journal: Path | None = None,
    resume: bool = False,
) -> Played:
    """Play all episodes of several evaluations, with progress on the terminal.

    Args:
        configs: The evaluations. Who plays, and how often is tried again, is as the first one says.
        identities: What each is of.
        tasks: Of each.
        journal: File that keeps episodes until the result is written.
        resume: Go on with the episodes that it holds.

    Raises:
        BridgeError: an episode kills whoever plays it, or Ray can't be had.
        ConfigError: the journal is of something else, or there although nobody asked to go on; or a file that decides
            episodes was replaced meanwhile.
        CheckpointError: the weights were.
        DualsysError: what an environment or a controller refuses.
    """
    started_s = time.monotonic()
    jobs, watched = _jobs(configs, tasks), Watched(configs, identities)
    by_return = configs[0].rules().success == "return"
    with _opened(journal, configs, identities, resume=resume) as kept:
        before = {} if kept is None else {job: kept.played[job] for job in jobs if job in kept.played}
        missing = [job for job in jobs if job not in before]
        played, deaths, ends_s = dict(before), list[Death](), list[float]()
        with (
            EvaluationProgress(total=len(jobs), done=len(before), by_return=by_return) as progress,
            crew_of(configs, len(missing), progress.say, identities) as crew,
        ):

            def on_death(death: Death) -> None:
                deaths.append(death)
                progress.note_death(death)

            for episode in play_all(crew, missing, max_retries=configs[0].max_retries, on_death=on_death):
                watched.require_unchanged()
                if kept is not None:
                    kept.add(episode)
                played[episode.job] = episode
                ends_s.append(time.monotonic() - started_s)
                progress.note(episode)
        watched.require_unchanged(closely=True)
    return Played(
        episodes=[played[job] for job in jobs],
        num_kept=len(before),
        wall_s=time.monotonic() - started_s,
        first_end_s=ends_s[0] if ends_s else 0.0,
        deaths=deaths,
    )


def _jobs(configs: Sequence[EvalConfig], tasks: Sequence[Sequence[str]]) -> list[EpisodeJob]:
    return [
        EpisodeJob(evaluation=index, task=task, seed=seed)
        for index, (config, own) in enumerate(zip(configs, tasks, strict=True))
        for task in own
        for seed in range(config.seed, config.seed + config.episodes)
    ]


def _opened(
    journal: Path | None, configs: Sequence[EvalConfig], identities: Sequence[Identity], *, resume: bool
) -> AbstractContextManager[Journal | None]:
    if journal is None:
        return nullcontext()
    facts: dict[str, Any] = {
        "evaluations": [
            {
                "config": config.plain(),
                "protocol": identity.protocol,
                "controller_weights": identity.weights,
                "policy": identity.policy,
                "policy_keys": identity.policy_keys,
                "device": identity.device,
                "traces": identity.traces,
            }
            for config, identity in zip(configs, identities, strict=True)
        ],
        "versions": identities[0].versions,
    }
    return opened_journal(journal, facts, resume=resume)
