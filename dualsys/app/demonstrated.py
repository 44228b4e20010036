"""What a task's environment and its expert tell about a recording of them, before anything is recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dualsys.app.recording import privileged_columns, rows_hz_of
from dualsys.app.recording_pool import MakeWorkplace, WorkplaceConfig
from dualsys.data.writer import DatasetWriter
from dualsys.embodiment import EmbodimentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrated:
    """Who is shown by whom, how often a second."""

    embodiment: EmbodimentSpec
    expert: str
    columns: Mapping[str, Sequence[str]]
    """What only the simulator knows, by column."""
    rows_hz: int

    @classmethod
    def by(cls, make: MakeWorkplace, workplace: WorkplaceConfig) -> Self:
        """Build an environment and its expert once, and ask them."""
        environment, expert = make(workplace)
        try:
            return cls(
                embodiment=environment.embodiment,
                expert=expert.name,
                columns=privileged_columns(environment),
                rows_hz=rows_hz_of(environment),
            )
        finally:
            environment.close()

    def writer(self, root: Path) -> DatasetWriter:
        """Of their dataset. Raises `DatasetError` where the folder holds something else."""
        return DatasetWriter(root, self.embodiment, fps=self.rows_hz, column_names=self.columns)
