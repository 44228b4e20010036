"""`SubgoalSpec`: the contract between a planner and an actor. Re-exported by `dualsys.embodiment`."""

import math
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dualsys.errors import SpecMismatch
from dualsys.messages import LatentSubgoal, TokenArray


class Spec(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PrefixSpec(Spec):
    """Keys and values of a planner's prefix, the pi family's cut: `(layers, heads, k, head_dim)` each."""

    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    """Of keys and values; grouped attention has fewer of them than of queries."""
    head_dim: int = Field(gt=0)


class SubgoalSpec(Spec):
    """What a planner emits and an actor accepts: feature tokens, one pooled vector (`num_tokens=1`), or a prefix."""

    num_tokens: int = Field(gt=0)
    """Tokens of a subgoal, padding included; with a `prefix` its length."""
    dim: int = Field(ge=0)
    """Width of the tokens; 0 only with a `prefix`, which may stand alone."""
    dtype: Literal["float32"] = "float32"
    max_age_s: float = Field(default=2.0, gt=0)
    """A subgoal older than this has expired for the actor: it was never trained on such an age."""
    schema_id: str = "tokens/1"
    """What the tokens mean: two planners with the same shape but other weights are not interchangeable."""
    prefix: PrefixSpec | None = None
    """Keys and values that a subgoal carries; None: none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.dim == 0 and self.prefix is None:
            raise ValueError("dim is 0 and there is no prefix: such a subgoal says nothing")
        return self

    @property
    def prefix_shape(self) -> tuple[int, int, int, int] | None:
        """`(layers, heads, k, head_dim)` of keys and of values, where there are any."""
        prefix = self.prefix
        return None if prefix is None else (prefix.layers, prefix.heads, self.num_tokens, prefix.head_dim)

    @property
    def nbytes(self) -> int:
        """Bytes of a subgoal's arrays."""
        numbers = self.num_tokens * self.dim + 2 * math.prod(self.prefix_shape or (0,))
        return numbers * np.dtype(self.dtype).itemsize + self.num_tokens

    def array_problem(self, subgoal: LatentSubgoal) -> str | None:
        """What of a subgoal's arrays isn't as told here, in words, or None. Never raises."""
        expected = {"tokens": (self.num_tokens, self.dim), "keys": self.prefix_shape, "values": self.prefix_shape}
        for name, shape in expected.items():
            array: Any = getattr(subgoal, name)
            if shape is None and array is None:
                continue
            if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != self.dtype:
                found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                return f"its {name} are {found}, the spec says {'none' if shape is None else f'{self.dtype} {shape}'}"
            if not np.isfinite(array).all():
                return f"its {name} are not finite"
        mask: Any = subgoal.mask
        if mask is None:
            return None
        if not isinstance(mask, np.ndarray) or mask.shape != (self.num_tokens,) or mask.dtype != np.bool_:
            found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
            return f"its mask is {found}, expected bool {(self.num_tokens,)}"
        return None

    def fake_subgoal(self, rng: np.random.Generator, *, stamp_s: float = 0.0) -> LatentSubgoal:
        """A random subgoal that fits, for tests and warm-ups."""

        def normal(shape: tuple[int, ...]) -> TokenArray:
            return rng.standard_normal(shape).astype(np.float32)

        shape = self.prefix_shape
        return LatentSubgoal(
            tokens=normal((self.num_tokens, self.dim)),
            keys=None if shape is None else normal(shape),
            values=None if shape is None else normal(shape),
            observation_stamp_s=stamp_s,
            producer="fake",
        )

    def require_same(self, other: "SubgoalSpec", *, ours: str, theirs: str) -> None:
        """Refuse another contract. Raises `SpecMismatch` naming both sides."""
        if self != other:
            raise SpecMismatch(f"{ours} gives subgoals of {self!r}, {theirs} takes {other!r}: they cannot be combined")
