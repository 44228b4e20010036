"""The planner of an imported controller while its actor is trained: it plans, and is saved as it came."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from dualsys.checkpoint import TOKENIZER, Checkpoint, ModuleEntry
from dualsys.embodiment import SubgoalSpec
from dualsys.messages import LatentSubgoal, Observation
from dualsys.planner.feature_planner import FeaturePlanner
from dualsys.planner.prefix_planner import PrefixPlanner

KINDS: dict[str, type[PrefixPlanner] | type[FeaturePlanner]] = {"prefix": PrefixPlanner, "features": FeaturePlanner}
"""By the name that a checkpoint knows them under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPlanner:
    """A `PrefixPlanner` or a `FeaturePlanner`, and the checkpoint that it is of."""

    planner: PrefixPlanner | FeaturePlanner
    base: Checkpoint

    @classmethod
    def of(cls, base: Checkpoint) -> Self:
        """Raises `CheckpointError` where the weights don't fit the configuration."""
        return cls(planner=KINDS[base.manifest.planner.name].from_checkpoint(base), base=base)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """Shape and shelf life of its subgoals."""
        return self.planner.subgoal_spec

    @property
    def cameras(self) -> tuple[str, ...]:
        """What it looks through."""
        return tuple(self.planner.config.cameras)

    @property
    def optional_cameras(self) -> tuple[str, ...]:
        """Those of them that it does without."""
        return tuple(self.planner.config.optional_cameras) if isinstance(self.planner, PrefixPlanner) else ()

    @property
    def reads_state(self) -> bool:
        """Whether it is told the state."""
        return isinstance(self.planner, PrefixPlanner) and self.planner.config.state is not None

    def plan_batch(self, observations: Sequence[Observation]) -> list[LatentSubgoal]:
        """A subgoal for each; no gradient is kept."""
        return self.planner.plan_batch(observations)

    def digest(self) -> str:
        """Short hash of the base's configuration, weights and tokenizer."""
        return self.base.weights_digest()

    def save(self, checkpoint: Checkpoint) -> ModuleEntry:
        """Copy weights and tokenizer into a folder, in the precision that they are in; returns the manifest's entry."""
        entry = self.base.manifest.planner
        source = self.base.weights(entry)
        shutil.copyfile(source, checkpoint.folder / source.name)
        shutil.copytree(self.base.folder / TOKENIZER, checkpoint.folder / TOKENIZER)
        return entry
