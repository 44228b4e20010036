"""`SubgoalArrays`: from a subgoal to the array and the mask that an expert remembers."""

import numpy as np
import numpy.typing as npt

from dualsys.actor.sampling import Array
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import SpecMismatch
from dualsys.messages import LatentSubgoal


class SubgoalArrays:
    """Reads subgoals of one spec: tokens `(k, d)`, or keys and values `(2, layers, heads, k, head_dim)`."""

    def __init__(self, spec: SubgoalSpec) -> None:
        self._spec = spec
        self._newest: tuple[Array, Array, Array] | None = None
        """Keys and values of the newest prefix, and both in one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        sides = self._spec.prefix_shape
        return (self._spec.num_tokens, self._spec.dim) if sides is None else (2, *sides)

    def read(self, subgoal: LatentSubgoal | None) -> tuple[Array, npt.NDArray[np.bool_]]:
        """A copy, and a mask of tokens that count; without a subgoal, a mask without True.

        A prefix is some 30 MB: it is copied when it is new, which its arrays' identity tells, since nobody writes to
        those of a message.

        Raises:
            SpecMismatch: for a subgoal of another shape than the spec's.
        """
        spec = self._spec
        sides = spec.prefix_shape
        if subgoal is None:
            return np.zeros(self.shape, dtype=np.float32), np.zeros(spec.num_tokens, dtype=bool)
        mask_K = np.ones(spec.num_tokens, dtype=bool) if subgoal.mask is None else np.array(subgoal.mask)
        if sides is not None:
            return self._prefix(subgoal, sides), mask_K
        if subgoal.tokens.shape != (spec.num_tokens, spec.dim):
            raise SpecMismatch(f"subgoal from {subgoal.producer!r} has shape {subgoal.tokens.shape}, expected {spec!r}")
        return np.array(subgoal.tokens, dtype=np.float32), mask_K

    def _prefix(self, subgoal: LatentSubgoal, sides: tuple[int, ...]) -> Array:
        keys, values = subgoal.keys, subgoal.values
        if keys is None or values is None or keys.shape != sides or values.shape != sides:
            found = [None if side is None else side.shape for side in (keys, values)]
            raise SpecMismatch(
                f"subgoal from {subgoal.producer!r} has keys and values {found}, expected {self._spec!r}"
            )
        if self._newest is None or self._newest[0] is not keys or self._newest[1] is not values:
            self._newest = (keys, values, np.stack([keys, values]).astype(np.float32, copy=False))
        return self._newest[2]
