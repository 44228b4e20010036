"""`dualsys data import`: somebody else's demonstrations as a dataset of ours."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import Progress

from dualsys.app.recording import require_image_sides
from dualsys.checkpoint import installed_versions
from dualsys.data.foreign.action_scale import Scaling
from dualsys.data.foreign.conversion import Conversion, convert
from dualsys.data.foreign.formats import open_source
from dualsys.data.foreign.resampling import ActionsAre
from dualsys.errors import ConfigError

Format = Literal[
    "auto",
    "lerobot-v2.1",
    "lerobot-v3",
    "act-hdf5",
    "robomimic-hdf5",
    "libero-hdf5",
    "diffusion-policy-zarr",
    "rlds",
    "mcap",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataImportConfig:
    """Converts demonstrations to a LeRobot v3 dataset with provenance, ready for `dualsys train`.

    Reads LeRobot v2.1 and v3 folders, HDF5 of ACT, robomimic and LIBERO, Diffusion Policy's zarr stores, RLDS datasets
    (Open X-Embodiment) and MCAP logs; all but LeRobot's need the extra `import`. Stopped half-way, the same command
    goes on where it was.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Folder or file to import."""
    out: Path
    """Folder of the new dataset."""
    format: Format = "auto"
    """What the source is; auto tells it by its structure."""
    fps: float | None = None
    """Rows a second of the source; needed where it does not say (ACT, Diffusion Policy, MCAP, most of RLDS). A dataset
    has a whole number of them: of 3.75 it is made with --resample-hz."""
    resample_hz: int | None = None
    """Rows a second of the dataset, made of the source's; none: as many as it has."""
    actions_are: ActionsAre = "as-known"
    """What actions are, for --resample-hz and a gripper's scale: `positions`, `changes` until the next row, or
    `changes-and-gripper`, of which the last is the gripper's; asked for where the source does not say (RLDS that is
    not known)."""
    action_scaling: Scaling = "none"
    """Scales actions to [-1, 1]: `bounds` by the smallest and largest, `bounds-q99` by the 1 % and 99 % quantiles."""
    instruction: str = ""
    """What is to be done, in words; replaces the source's, and is needed where it has none."""
    state_keys: tuple[str, ...] = ()
    """Columns that make the state, in this order; none: the format's usual ones."""
    action_keys: tuple[str, ...] = ()
    """Columns that make the action, in this order (RLDS, MCAP); none: the usual ones."""
    image_size: tuple[int, int] | None = None
    """Height and width the pictures are resized to; both even."""
    action_shift_rows: int = 0
    """Pair each state with the action so many rows later, where states were stored after their action."""
    skip: tuple[int, ...] = ()
    """Episodes to leave out, by their number in the source."""
    embodiment: Path | None = None
    """JSON file of the robot's embodiment; none: derived, limits from what the actions show."""
    task: str = ""
    """For the provenance, such as suite/task."""
    expert: str = ""
    """For the provenance: who demonstrated."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for values that mean nothing."""
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ConfigError(f"--fps must be above 0, got {self.fps:g}")
        if self.resample_hz is not None and self.resample_hz < 1:
            raise ConfigError(f"--resample-hz must be at least 1, got {self.resample_hz}")
        if self.action_shift_rows < 0:
            raise ConfigError(f"--action-shift-rows must not be negative, got {self.action_shift_rows}")
        if self.image_size is not None:
            require_image_sides(*self.image_size)


def main(config: DataImportConfig) -> int:
    """Import, with progress on the terminal."""
    source = open_source(config.source, config.format, config.state_keys, config.action_keys, config.fps)
    console = Console(stderr=True)
    plan = Conversion(
        path=config.source,
        fps=config.fps,
        resample_hz=config.resample_hz,
        actions_are=config.actions_are,
        action_scaling=config.action_scaling,
        instruction=config.instruction,
        embodiment=config.embodiment,
        image_size=config.image_size,
        action_shift_rows=config.action_shift_rows,
        skip=config.skip,
        task=config.task,
        expert=config.expert,
        versions=installed_versions(),
    )
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"importing {source.format}", total=None)
        info = convert(source, plan, config.out, lambda done, total: bar.update(task, completed=done, total=total))
    console.print(
        f"{config.out}: {info.total_episodes} episodes, {info.total_frames} rows at {info.fps} Hz, "
        f"{info.total_tasks} instructions, from {source.format}. Look it over: dualsys data check {config.out}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 0
