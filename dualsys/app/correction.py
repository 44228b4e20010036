"""What the controller does wrong, and what the expert would have done: short recordings that start where it went.

The controller runs an episode. From moments of it the environment is then set back, and the expert goes on:

    takeover   from a moment before a failure to success: the way back into a good episode
               (HG-DAgger: Kelly et al., "Interactive Imitation Learning with Human Experts", 2019)
    label      from moments all along, for as long as a chunk: what should have been done there
               (DAgger: Ross et al., "A Reduction of Imitation Learning to No-Regret Online Learning", 2011)

Both record whole stretches of the expert's own motion, since an actor learns chunks: single targets along the
controller's path are no motion that anybody made.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dualsys.app.controller import Controller
from dualsys.app.recording import CORRECTIONS_A_SEED, Demonstrator, RecordingSettings, record_from_here
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.data.episode import Episode
from dualsys.protocols import Rewindable

Mode = Literal["takeover", "label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionPlan:
    """When the expert steps in."""

    mode: Mode
    moments: int
    """Times an episode that it does, at the most."""
    label_rows: int
    """Rows of each label."""
    failures_only: bool
    """Leave episodes alone that the controller solves."""


def correct_episode(
    environment: Rewindable,
    controller: Controller,
    expert: Demonstrator,
    seed: int,
    plan: CorrectionPlan,
    settings: RecordingSettings,
) -> tuple[EpisodeResult, list[Episode]]:
    """Run the controller, then the expert from some of its moments. Returns how it went, and what to learn from it."""
    snapshots: list[Any] = []
    result = run_episode(environment, controller, seed, on_step=lambda _: snapshots.append(environment.snapshot()))
    if result.success and plan.failures_only:
        return result, []
    episodes = []
    for number, moment in enumerate(_moments(len(snapshots), seed, plan, failed=not result.success)):
        environment.restore(snapshots[moment], restart_clock=True)
        episode = record_from_here(
            environment,
            expert,
            episode_number(seed, number),
            settings,
            rows=plan.label_rows if plan.mode == "label" else None,
        )
        if episode is not None:
            episodes.append(episode)
    return result, episodes


def episode_number(seed: int, number: int) -> int:
    """What a correction is filed under: seeds have room for a hundred."""
    return CORRECTIONS_A_SEED * seed + number


def _moments(steps: int, seed: int, plan: CorrectionPlan, *, failed: bool) -> list[int]:
    """Steps after which the expert steps in, ascending, none of them twice and none of them the last.

    Takeovers come late in failures, with a chance that grows evenly: what went wrong did so there.
    """
    rng = np.random.default_rng([seed, 104729])
    choices = max(steps - 1, 0)
    chances = np.arange(1.0, choices + 1) if failed and plan.mode == "takeover" else np.ones(choices)
    count = min(plan.moments, choices)
    return sorted(rng.choice(choices, count, replace=False, p=chances / chances.sum()).tolist()) if count else []
