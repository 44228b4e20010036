"""Planners without a model: nothing, a table, a recording."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError, SpecMismatch, unknown_name
from dualsys.messages import LatentSubgoal, Observation, TokenArray
from dualsys.telemetry import read_log


class NullPlanner:
    """Emits the null subgoal: the actor knows nothing but its own state. What meaning is measured against."""

    def __init__(self, spec: SubgoalSpec) -> None:
        self._spec = spec

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """For the actor of a checkpoint."""
        return cls(checkpoint.manifest.subgoal)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """Shape of the zeros it emits."""
        return self._spec

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Zeros, all masked out."""
        prefix = None if self._spec.prefix_shape is None else np.zeros(self._spec.prefix_shape, dtype=np.float32)
        return LatentSubgoal(
            tokens=np.zeros((self._spec.num_tokens, self._spec.dim), dtype=np.float32),
            keys=prefix,
            values=prefix,
            mask=np.zeros(self._spec.num_tokens, dtype=np.bool_),
            observation_stamp_s=observation.oldest_stamp_s,
            producer="null",
            time_to_live_s=self._spec.max_age_s,
        )


class ScriptedPlanner:
    """Known tokens for known instructions: a stand-in while only the actor is under study."""

    def __init__(self, spec: SubgoalSpec, tokens_by_instruction: Mapping[str, TokenArray]) -> None:
        self._spec = spec
        self._tokens = {words: _fitting(tokens, spec, words) for words, tokens in tokens_by_instruction.items()}

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """Shape of its tokens."""
        return self._spec

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """The tokens of the instruction. Raises `ConfigError` for words it has none for."""
        if observation.instruction not in self._tokens:
            words = observation.instruction
            raise ConfigError(unknown_name("instruction of the scripted planner", words, self._tokens))
        return LatentSubgoal(
            tokens=self._tokens[observation.instruction],
            observation_stamp_s=observation.oldest_stamp_s,
            producer="scripted",
            time_to_live_s=self._spec.max_age_s,
        )


class ReplayPlanner:
    """Emits recorded subgoals in their order, and the last one from then on."""

    def __init__(self, spec: SubgoalSpec, recording: Sequence[TokenArray]) -> None:
        if not recording:
            raise ConfigError("a replay planner needs at least one recorded subgoal")
        self._spec = spec
        self._recording = [_fitting(tokens, spec, f"recording {index}") for index, tokens in enumerate(recording)]
        self._next = 0

    @classmethod
    def from_log(cls, spec: SubgoalSpec, log: Path) -> Self:
        """From the subgoal lines of a run's log. Raises `ConfigError` where it has none, `DatasetError` for no log."""
        tokens = [np.array(line["tokens"], dtype=np.float32) for line in read_log(log) if line["kind"] == "subgoal"]
        if not tokens:
            raise ConfigError(f"{log} holds no subgoal lines to replay")
        return cls(spec, tokens)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """Shape of what was recorded."""
        return self._spec

    def reset(self, *, seed: int = 0) -> None:
        """Start again at the first."""
        self._next = 0

    def plan(self, observation: Observation) -> LatentSubgoal:
        """The next recorded subgoal, stamped with the present observation."""
        tokens = self._recording[min(self._next, len(self._recording) - 1)]
        self._next += 1
        return LatentSubgoal(
            tokens=tokens,
            observation_stamp_s=observation.oldest_stamp_s,
            producer="replay",
            time_to_live_s=self._spec.max_age_s,
        )


def _fitting(tokens: TokenArray, spec: SubgoalSpec, where: str) -> TokenArray:
    if tokens.shape != (spec.num_tokens, spec.dim):
        raise SpecMismatch(f"{where!r} has tokens of shape {tokens.shape}, the spec says {(spec.num_tokens, spec.dim)}")
    return np.asarray(tokens, dtype=np.float32)
