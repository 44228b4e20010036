"""What actors share that ask a policy elsewhere: no subgoal goes with a question, and each answer took its time."""

from collections import deque
from typing import final

import numpy as np

from dualsys.embodiment import SubgoalSpec
from dualsys.protocols import Actor

NO_SUBGOAL = SubgoalSpec(num_tokens=1, dim=1, schema_id="outside/1")
"""Such a policy plans for itself: whatever subgoal there is, it isn't told of it."""
_KEPT = 10_000


def asked_horizon(actor: Actor) -> int:
    """Rows of an actor's chunks where nobody tells: of its answer to an observation made up, which warms it up, too."""
    horizon = len(actor.act(actor.embodiment.fake_observation(np.random.default_rng(0)), None).rows)
    actor.reset()  # the first episode has still to begin
    return horizon


@final
class RoundTrips:
    """How long the newest answers took: what such a policy's latency is, for a simulation to be told."""

    def __init__(self) -> None:
        self._took_s: deque[float] = deque(maxlen=_KEPT)

    def add(self, seconds: float) -> None:
        """Note one."""
        self._took_s.append(seconds)

    def clear(self) -> None:
        """Forget those before."""
        self._took_s.clear()

    def __len__(self) -> int:
        return len(self._took_s)

    def quantile_s(self, share: float) -> float:
        """Of those kept; NaN before the first."""
        return float(np.quantile(self._took_s, share)) if self._took_s else float("nan")
