"""Which seed an episode has."""

from typing import Any, final

import gymnasium


@final
class ResetSeed:
    """Seeds of resets: the one that is given, else the one of `make` at the first reset, else drawn from it."""

    def __init__(self, first: int) -> None:
        """`first` is the one of `make`."""
        self._first: int | None = first

    def of(self, environment: gymnasium.Env[Any, Any], given: int | None) -> int:
        """The seed of the reset that an environment was just asked for; sets the environment's own generator."""
        gymnasium.Env.reset(environment, seed=given if given is not None else self._first)
        if given is None:
            given = self._first if self._first is not None else int(environment.np_random.integers(2**31))
        self._first = None
        return given
