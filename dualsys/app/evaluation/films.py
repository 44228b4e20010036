"""Videos of evaluations' episodes, made by the same kind of workers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.crew import play_all
from dualsys.app.evaluation.crews import crew_of
from dualsys.app.evaluation.job import Death, EpisodeJob, PlayedEpisode, Refusal
from dualsys.app.long_work import LongWork
from dualsys.errors import BridgeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Films:
    """What was filmed, and what could not be."""

    shown: Mapping[Path, str] = field(default_factory=dict)
    """Files, and what each shows."""
    failures: Sequence[Exception] = ()

    def require_whole(self) -> None:
        """Raise the first failure, if there is any; it has been told, and so have the others."""
        if self.failures:
            raise self.failures[0]


def film_all(configs: Sequence[EvalConfig], reports: Sequence[dict[str, Any]], labels: Sequence[str] = ("",)) -> Films:
    """Videos of some successes and the first failures of each evaluation, with progress on the terminal.

    The episodes are run again, which gives the same bits; a policy of another program may do otherwise, which is then
    told. One that can't be filmed costs no other.

    Args:
        configs: The evaluations; those with a folder for videos are filmed. Who plays is as the first one says.
        reports: What came of each.
        labels: Of each, before what its films show.
    """
    wanted = {
        job: (episode, label)
        for index, (config, report, label) in enumerate(zip(configs, reports, labels, strict=True))
        for job, episode in _chosen(index, config, report)
    }
    if not wanted:
        return Films()
    made, failures = dict[EpisodeJob, PlayedEpisode](), list[Exception]()
    with _Progress(total=len(wanted)) as progress, crew_of(configs, len(wanted), progress.say) as crew:

        def on_refusal(refusal: Refusal) -> None:
            failures.append(refusal.error)
            progress.note_failure(refusal)

        films = play_all(
            crew,
            wanted,
            max_retries=configs[0].max_retries,
            on_death=progress.note_death,
            on_refusal=on_refusal,
        )
        try:
            for film in films:
                made[film.job] = film
                progress.note(film)
        except BridgeError as error:  # workers died too often
            failures.append(error)
            progress.say(str(error))
    shown = {job.film: _told(*wanted[job], made[job]) for job in wanted if job in made and job.film is not None}
    return Films(shown=shown, failures=failures)


def _chosen(index: int, config: EvalConfig, report: dict[str, Any]) -> list[tuple[EpisodeJob, dict[str, Any]]]:
    if config.video_dir is None:
        return []
    return [
        (
            EpisodeJob(
                evaluation=index,
                task=task["task"],
                seed=episode["seed"],
                film=config.video_dir / f"{film_name(task['task'], episode)}.mp4",
            ),
            episode,
        )
        for task in report["tasks"]
        for success in (True, False)
        for episode in [each for each in task["per_episode"] if each["success"] is success][: config.videos]
    ]


def _told(episode: dict[str, Any], label: str, film: PlayedEpisode) -> str:
    told = caption_of(episode)
    if film.result.success is not episode["success"]:
        told += f". Filmed, it ended otherwise: {'success' if film.result.success else 'failure'}"
    return f"{label}: {told}" if label else told


def caption_of(episode: dict[str, Any]) -> str:
    """What was to be done, and how long it took."""
    return f"{episode['instruction']} ({episode['duration_s']:.2f} s)"


def film_name(task: str, episode: dict[str, Any]) -> str:
    """Of an episode's video, without the ending."""
    return f"{task.replace('/', '-')}-{episode['seed']}-{'success' if episode['success'] else 'failure'}"


@final
class _Progress:
    """Counts films."""

    def __init__(self, *, total: int) -> None:
        self._work = LongWork("filming", total=total, done=0, counted="failed")
        self._total, self._done, self._failed = total, 0, 0

    def __enter__(self) -> "_Progress":
        self._work.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._work.stop()

    def note(self, film: PlayedEpisode) -> None:
        self._move(film.job)

    def note_failure(self, refusal: Refusal) -> None:
        self._failed += 1
        self.say(f"no film of {refusal.job}: {refusal.error}")
        self._move(refusal.job)

    def note_death(self, death: Death) -> None:
        self.say(f"a worker died as it filmed {death.job} ({death.cause})")

    def say(self, text: str) -> None:
        self._work.say(text)

    def _move(self, job: EpisodeJob) -> None:
        self._done += 1
        if self._work.show(f"filming {job.task}", done=self._done, count=self._failed):
            self.say(f"{self._done}/{self._total} films, {self._failed} failed")
