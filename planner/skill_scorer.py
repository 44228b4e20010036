"""Which of a list of skills next: how likely their words are, times how well they would go here.

SayCan (arXiv 2204.01691): a skill's score is p(its words | instruction, what was done) x its affordance, the value
function's probability that it succeeds from the present state. The words' likelihood is not divided by their number:
the head has learned where a step ends, and a longer skill is a less likely one only where it says more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, Observation

Affordance = Callable[[str, Observation], float]
"""Probability in [0, 1] that a skill, named by its words, succeeds from here."""
MOST_SKILLS = 256


class StepLikelihood(Protocol):
    """What scores words: `LanguageHead`, or anything else that can."""

    def log_likelihoods(self, instruction: str, before: str, steps: Sequence[str]) -> FloatArray:
        """Natural logarithms `(len(steps),)` of the probability of each step's words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillScore:
    """Of one skill; the likelihoods of a list add up to 1, so do the scores where any is above 0."""

    skill: str
    likelihood: float
    affordance: float
    score: float


@final
class SkillScorer:
    """Scores a fixed list of skills.

    Args:
        words: Scores their words.
        skills: At most `MOST_SKILLS`, all different.
        affordance: Scores their chances.

    Raises:
        ConfigError: there are none, too many, or one twice.
    """

    def __init__(self, words: StepLikelihood, skills: Sequence[str], affordance: Affordance) -> None:
        self._words, self._affordance = words, affordance
        self.skills = tuple(skills)
        if not 0 < len(self.skills) <= MOST_SKILLS or len(set(self.skills)) < len(self.skills):
            raise ConfigError(
                f"a scorer takes 1 to {MOST_SKILLS} skills, all different; got {len(self.skills)}, of them "
                f"{len(set(self.skills))} different"
            )

    def scores(self, instruction: str, before: str, observation: Observation) -> tuple[SkillScore, ...]:
        """Of every skill, best first; of equals the one that stands first in the list.

        Raises:
            ConfigError: an affordance is no probability.
        """
        logs = self._words.log_likelihoods(instruction, before, self.skills)
        likely = np.exp(logs - logs.max())  # of the list alone, and safe where all are far below 1e-300
        likely = likely / likely.sum()
        chances = np.array([self._affordance(skill, observation) for skill in self.skills], dtype=np.float64)
        if not np.all((chances >= 0.0) & (chances <= 1.0)):
            wrong = self.skills[int(np.argmin((chances >= 0.0) & (chances <= 1.0)))]
            raise ConfigError(f"the affordance of {wrong!r} is no number between 0 and 1: make it a probability")
        products = likely * chances
        total = products.sum()
        products = products / total if total > 0 else products
        rows = zip(self.skills, likely, chances, products, strict=True)
        found = [
            SkillScore(skill=skill, likelihood=float(p), affordance=float(a), score=float(s)) for skill, p, a, s in rows
        ]
        return tuple(sorted(found, key=lambda one: -one.score))

    def pick(self, instruction: str, before: str, observation: Observation) -> str | None:
        """The best skill; None where none has a chance."""
        best = self.scores(instruction, before, observation)[0]
        return best.skill if best.score > 0 else None
