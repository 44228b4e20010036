"""What a `Trainer` trains."""

from typing import TypeAlias

from dualsys.app.training.frozen_learner import FrozenLearner
from dualsys.app.training.learner import Learner

AnyLearner: TypeAlias = Learner | FrozenLearner
"""With a planner that may learn, or with an imported one, which stays."""
