"""Published actions that are relative to the state in which a chunk begins: which, to what, and by whose numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dualsys.messages import FloatArray

Numbers = Mapping[str, FloatArray]
"""Statistics by quantity and kind, such as `action.mean`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeActions:
    """Of one robot's."""

    to: tuple[int | None, ...]
    """Of each action the number of the state that it is relative to; None: a position."""
    by_row: Numbers = field(default_factory=dict)
    """Of what is learned, by kind such as `mean`, `(A, U)` for each row of a chunk, or `(1, U)` for all. Empty: it is
    what the statistics of actions are of, as LeRobot's are; else those are of positions, as GR00T's are."""
    told: str = ""
    """Which, in words."""

    def rows_of(self, numbers: Numbers) -> list[Numbers]:
        """Statistics as if every row had them; one where all rows share them."""
        if not self.by_row:
            return [numbers]
        count = len(next(iter(self.by_row.values())))
        others = {name: value for name, value in numbers.items() if not name.startswith("action.")}
        return [
            {**others, **{f"action.{kind}": value[row] for kind, value in self.by_row.items()}} for row in range(count)
        ]

    def positions(self, numbers: Numbers) -> Numbers:
        """With actions' statistics of positions, so that they bound what may be sent: the farthest differences away
        from the farthest states. A kind that states don't have is left out.
        """
        if self.by_row:
            return numbers
        found = {name: value for name, value in numbers.items() if not name.startswith("action.")}
        at = np.array([each or 0 for each in self.to], dtype=np.intp)
        moves = np.array([each is not None for each in self.to])
        for name, value in numbers.items():
            state = numbers.get(name.replace("action.", "state.", 1))
            if name.startswith("action.") and state is not None and value.shape == at.shape and state.size > at.max():
                found[name] = np.where(moves, value + state[at], value)
        return found

    def named(self, states: Sequence[str], actions: Sequence[str]) -> tuple[str, ...]:
        """Names of states, those that actions are relative to called as these are: that they are of one joint."""
        names = list(states)
        for action, state in zip(actions, self.to, strict=False):
            if state is not None and state < len(names) and names[state] == states[state]:
                names[state] = action
        return tuple(names)
