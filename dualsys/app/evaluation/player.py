"""Plays episodes of several evaluations, one at a time: this process, a worker's, or one on another machine."""

import pickle
import platform
import time
import traceback
from collections import OrderedDict
from collections.abc import Sequence

from dualsys.app.controller import Controller
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import film_of_episode, make_episode_parts, play_episode
from dualsys.app.evaluation.identity import Identity
from dualsys.app.evaluation.job import EpisodeJob, Outcome, PlayedEpisode, Refusal, Scene
from dualsys.errors import BridgeError
from dualsys.protocols import Rendered

KEPT_PARTS = 2
"""Environments with their controllers that a player keeps: its own task's, and that of one whose worker died."""


class Player:
    """Environments and controllers of the last few tasks, made when they are first asked for."""

    def __init__(self, configs: Sequence[EvalConfig], expected: Sequence[Identity] | None = None) -> None:
        """A player of these evaluations.

        Args:
            configs: An evaluation each.
            expected: What each of them is of, for a player on a machine that may have something else.
        """
        self._configs, self._expected = configs, expected
        self._parts: OrderedDict[Scene, tuple[Rendered, Controller]] = OrderedDict()

    def play(self, job: EpisodeJob) -> PlayedEpisode:
        """Play an episode to its end, before a camera where it is to be filmed."""
        parts, config = self._parts_of(job), self._configs[job.evaluation]
        started_s = time.monotonic()
        if job.film is None:
            result = play_episode(config, *parts, job.seed)
        else:
            result = film_of_episode(config, *parts, job.seed, job.film)
        return PlayedEpisode(job=job, result=result, wall_s=time.monotonic() - started_s)

    def outcome(self, job: EpisodeJob) -> Outcome:
        """The same for another process: what is raised is returned, with where it was."""
        try:
            return self.play(job)
        except Exception as error:
            error.add_note(f"in a worker, which said:\n{traceback.format_exc()}")
            return Refusal(job=job, error=_sendable(error))

    def close(self) -> None:
        """Let everything go."""
        while self._parts:
            self._drop_oldest()

    def _parts_of(self, job: EpisodeJob) -> tuple[Rendered, Controller]:
        if job.scene not in self._parts:
            self._require_expected(job.evaluation)
            while len(self._parts) >= KEPT_PARTS:
                self._drop_oldest()
            self._parts[job.scene] = make_episode_parts(self._configs[job.evaluation], job.task)
        self._parts.move_to_end(job.scene)
        return self._parts[job.scene]

    def _drop_oldest(self) -> None:
        _, (environment, controller) = self._parts.popitem(last=False)
        controller.close()
        environment.close()

    def _require_expected(self, evaluation: int) -> None:
        """Raise `BridgeError` where this machine would give other bits than the one that asks."""
        if self._expected is None:
            return
        asked, here = self._expected[evaluation], Identity.of(self._configs[evaluation])
        if differing := asked.differing(here):
            raise BridgeError(
                f"the evaluation is of {differing} on the machine of a worker, {platform.node()}: install the same "
                "there and copy the checkpoint, or leave that machine out of the cluster"
            )


def _sendable(error: Exception) -> Exception:
    """An error that another process can make again; in words where it can't."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        told = RuntimeError(f"{type(error).__name__}: {error}")
        told.__notes__ = error.__notes__
        return told
    return error
