"""One configuration for all processes of a run; each reads the same file and takes what concerns it."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dualsys.bridge.parts import PartConfig
from dualsys.bridge.shared_memory import NO_FOLDER
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import BridgeError
from dualsys.settings import (
    IMAGE_ACTIONS,
    CoreConfig,
    PlannerLifeConfig,
    RealtimeConfig,
    RestartConfig,
    SafetyConfig,
    StalenessConfig,
    image_staleness,
)
from dualsys.tape import TapeHead

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

MAX_COMMANDS = 2_000_000
"""Commands the tick can remember for the log: more than an hour at 500 Hz, under 2 GB for 60 joints."""


class PlannerPlace(BaseModel):
    """Where a planner is that isn't on the robot's node: a relay stands in for it there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ray_address: str
    """Cluster that both are of, `host:port` or `auto`."""
    server: str = ""
    """Name of a planner's server that others started (`dualsys serve --name`); empty: one of the run's own."""
    node: str = ""
    """Where the run's own goes: see `placement.placement`."""
    robot: str = ""
    """Name of this robot at the server; empty: after its host and its run."""


class SystemConfig(BaseModel):
    """Everything a run of several processes or threads is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = NO_FOLDER
    """Where its boxes and its tape are; in shared memory for processes. Set by whoever makes it (`RunFolder`)."""
    environment: PartConfig
    """The simulated robot: `package.module:function` and its arguments."""
    planner: PartConfig
    actor: PartConfig
    embodiment: EmbodimentSpec
    """The robot that all parts must be for."""
    subgoal: SubgoalSpec
    """The contract between planner and actor."""
    core: CoreConfig = CoreConfig()
    safety: SafetyConfig = SafetyConfig()
    realtime: RealtimeConfig = RealtimeConfig()
    seed: int = Field(default=0, ge=0)
    """Seed of the first episode; later ones count up from it."""
    seconds: Rate = 60.0
    control_hz: Rate = 500.0
    planner_hz: Rate = 5.0
    camera_hz: Rate = 10.0
    image: StalenessConfig = image_staleness()
    """What the actor does with old images: `keep`, or `hold`: it makes no chunk, and its motion comes to rest."""
    state_hz: Rate = 100.0
    """Rate at which the tick publishes the robot's state for the others."""
    video_hz: float = Field(default=0.0, ge=0)
    """Rate at which the tick remembers poses to draw a video from afterwards; 0: none."""
    log_folder: Path | None = None
    """Where the models' outputs and the commands are noted; None: nowhere."""
    tape_bytes: int = Field(default=0, ge=0)
    """Room in shared memory for the newest records of the tick (`dualsys.tape`); 0: none are kept."""
    planner_standbys: int = Field(default=0, ge=0, le=4)
    """Further planners that have loaded everything and wait for the one that plans to die."""
    planner_place: PlannerPlace | None = None
    """Where the planner is, if not on this node."""
    planner_life: PlannerLifeConfig = PlannerLifeConfig()
    """When a planner counts as stale or hung, and how often it is started again."""
    ray_head_gone_after_s: Rate = 10.0
    """Ray's head without an answer for this long is taken for dead: a local cluster is started anew."""
    hangs_after_s: Rate = 10.0
    """An actor or a camera without a sign of life for this long is killed and started again; a tick ends the run."""
    max_failed_starts: int = Field(default=20, gt=0)
    """Starts in a row that may fail before the actor or a camera is given up; the tick goes on without it."""
    ready_within_s: Rate = 300.0
    """How long everything may take to load before the run is given up."""
    subgoal_capacity: int = Field(default=4 * 2**20, gt=0)
    """Bytes of the largest subgoal; one with a longer prefix of keys and values has what its spec needs."""

    @model_validator(mode="after")
    def _check_rates(self) -> Self:
        if self.state_hz > self.control_hz:
            raise ValueError(f"state_hz {self.state_hz} exceeds control_hz {self.control_hz}: the tick publishes it")
        return self

    @model_validator(mode="after")
    def _check_image_actions(self) -> Self:
        if not {self.image.on_stale, self.image.on_expired} <= set(IMAGE_ACTIONS):
            raise ValueError(f"what is done with an old image is one of {', '.join(IMAGE_ACTIONS)}")
        return self

    @property
    def child_restart(self) -> RestartConfig:
        """How the actor and the cameras are started again: nothing moves without them, so no limit within a time."""
        most = self.max_failed_starts
        return RestartConfig(longest_delay_s=5.0, max_restarts=most, max_in_a_row=most)

    @property
    def max_commands(self) -> int:
        """Commands that the tick remembers for the log; of a longer run it keeps the newest."""
        return min(int(self.seconds * self.control_hz) + 2, MAX_COMMANDS)

    def tape_head(self) -> TapeHead:
        """What a replay of this run's tape is built from."""
        return TapeHead(
            embodiment=self.embodiment, core=self.core, safety=self.safety, control_dt_s=1.0 / self.control_hz
        )

    @property
    def tape(self) -> Path:
        """Where the tick's newest records are, if any are kept."""
        return self.folder / "tape"

    @classmethod
    def load(cls, path: Path) -> "SystemConfig":
        """Read the file the supervisor wrote. Raises `BridgeError` for one that isn't whole."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise BridgeError(f"cannot read the run's configuration {path}: {error}") from error
