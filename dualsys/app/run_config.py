"""Options of `dualsys run`."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dualsys.app.border import require_parts, require_timing
from dualsys.errors import ConfigError
from dualsys.settings import CoreConfig, SafetyConfig, TimingConfig

VIDEO_HZ = 20
"""Frames a second of a run's video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Drive one task live with both systems. Episodes follow one another until the time is up.

    Modes: `inline` is one process on a virtual clock, deterministic, with the latencies given; `threads` is one process
    on the wall clock; `processes` is the real thing: planner, actor, cameras and a real-time tick, each a process.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")]
    """Such as `humanoid/touch`; `dualsys list` names them all."""
    mode: Literal["inline", "threads", "processes"] = "inline"
    """How the systems are run."""
    seconds: float = 60.0
    """How long; simulated time in inline mode."""
    seed: int = 8000
    """Seed of the first episode; the others follow."""
    instruction: str | None = None
    """What to do, in words; overrides the episodes' own, and with it what counts as success."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    planner: str = ""
    """Registered planner, or `package.module:attribute`, to use instead of the checkpoint's."""
    actor: str = ""
    """Registered actor, or `package.module:attribute`, to use instead of the checkpoint's."""
    control_hz: float = 500.0
    """Rate of control ticks."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    camera_hz: float = 10.0
    """Rate at which images are drawn (threads and processes)."""
    planner_latency_s: float = 0.12
    """Simulated latency of the planner (inline)."""
    actor_latency_s: float = 0.03
    """Simulated latency of the actor (inline)."""
    core: CoreConfig = field(default_factory=lambda: CoreConfig(actor_hz=12.5))
    """How often chunks are asked for, how they are played, and what is done about old inputs. Chunks are asked for at
    12.5 Hz, so that 10 a second come in spite of the pauses between episodes."""
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    """The gate's share of the joints' limits."""
    launcher: Literal["ray", "subprocess"] = "ray"
    """Who starts the planner's process, and starts it again when it dies (processes)."""
    ray_address: str | None = None
    """Ray cluster to join; without it a local one is started for the run (processes)."""
    planner_standbys: int = 0
    """Further planners, loaded and waiting for the one that plans to die (processes)."""
    planner_hang_s: float = 30.0
    """A planner without a sign of life for this long is killed and started again (processes)."""
    realtime_priority: int = 80
    """SCHED_FIFO priority that the tick asks for; 0: none (processes)."""
    realtime_cpu: int = -1
    """CPU that the tick is pinned to; -1: the last it may use, -2: any (processes)."""
    video: Path | None = None
    """File for a video of the scene, `.mp4`."""
    log: Path | None = None
    """File for the run log, one JSON object a line: every command with its chunk, subgoal, ages and limits."""
    json: Path | None = None
    """File for the figures."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        require_timing(self.timing)
        require_parts(planner=self.planner, actor=self.actor, core=self.core)
        if not all(value > 0 for value in (self.seconds, self.camera_hz, self.planner_hang_s)):
            raise ConfigError("--seconds, --camera-hz and --planner-hang-s must be above 0")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} must not be below 0")
        if not 0 <= self.planner_standbys <= 4:
            raise ConfigError("--planner-standbys is from 0 to 4")
        if not 0 <= self.realtime_priority <= 98:
            raise ConfigError("--realtime-priority is from 0 (none) to 98")

    def timing(self) -> TimingConfig:
        """Rates and latencies on the virtual clock."""
        return TimingConfig(
            planner_hz=self.planner_hz,
            planner_latency_s=self.planner_latency_s,
            actor_latency_s=self.actor_latency_s,
            control_hz=self.control_hz,
        )

    def plain(self) -> dict[str, Any]:
        """The options as JSON holds them."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
