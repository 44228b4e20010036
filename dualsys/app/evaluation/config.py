"""Options of `dualsys eval`."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dualsys.app.border import require_parts, require_timing
from dualsys.errors import ConfigError
from dualsys.settings import ActorBackend, CoreConfig, Precision, SafetyConfig, TimingConfig
from dualsys.sim_envs.options import Randomization


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """Success of a suite or a task on the virtual clock, with the latencies as arguments."""

    suite_or_task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SUITE_OR_TASK")]
    """A task (`humanoid/touch`) or a suite (`humanoid`: all its tasks)."""
    episodes: int = 50
    """Episodes of each task."""
    seed: int = 8000
    """Seed of the first episode, the others follow. 8000 to 9999 are for development, from 10000 on for claims."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    planner: str = ""
    """Registered planner to use instead of the checkpoint's, such as `null`."""
    actor: str = ""
    """Registered actor to use instead of the checkpoint's."""
    actor_backend: ActorBackend = "eager"
    """What samples chunks: PyTorch (`eager`; `packed`: weights in the processor's order), ONNX Runtime on one core
    (`onnx`, `onnx-int8`), `torch.compile`."""
    actor_precision: Precision = "auto"
    """`original`: bfloat16 where the model's authors have it (`eager` and `compiled`); `auto`: that for `compiled` on a
    GPU, else float32."""
    planner_precision: Precision = "auto"
    """The same for a planner of the pi family; `auto`: float32."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    planner_latency_s: float = 0.12
    """Simulated time from its start until its subgoal can be used."""
    actor_latency_s: float = 0.03
    """Simulated time from the actor's start until its chunk can be used."""
    control_hz: float | None = None
    """Rate of control ticks; None: the task's own (50 Hz in the humanoid suite)."""
    core: CoreConfig = field(default_factory=CoreConfig)
    """How often chunks are asked for, how they are played, and what is done about old inputs."""
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    """The gate's share of the joints' limits."""
    phrasing: Literal["train", "held-out"] = "train"
    """Split of the grammar that instructions are drawn from."""
    randomization: Randomization = "usual"
    """How far light, shades and cameras stray from episode to episode, as in `dualsys demos`."""
    workers: int = 1
    """Processes. The result is the same for any number."""
    json: Path | None = None
    """File for the result; a picture of the same name ending in .png is drawn beside it."""
    video_dir: Path | None = None
    """Folder for videos of some successes and the first failures."""
    videos: int = 2
    """Successes, and failures, to film."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.episodes < 1 or self.workers < 1 or self.seed < 0 or self.videos < 0:
            raise ConfigError("--episodes and --workers must be at least 1, --seed and --videos at least 0")
        require_timing(partial(self.timing, 1.0 if self.control_hz is None else self.control_hz))
        require_parts(planner=self.planner, actor=self.actor, core=self.core)
        self._check_files()

    def timing(self, control_hz: float) -> TimingConfig:
        """Rates and latencies. Raises `pydantic.ValidationError` for negative ones."""
        return TimingConfig(
            planner_hz=self.planner_hz,
            planner_latency_s=self.planner_latency_s,
            actor_latency_s=self.actor_latency_s,
            control_hz=control_hz,
        )

    def _check_files(self) -> None:
        if self.json is not None and (self.json.is_dir() or self.json.suffix == ".png"):
            raise ConfigError(
                f"--json {self.json} must be a file, and not a .png: a picture of the results is written beside it"
            )
