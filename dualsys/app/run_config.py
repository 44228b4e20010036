"""Options of `dualsys run`."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dualsys.app.border import require_image_actions, require_parts, require_policy, require_timing
from dualsys.app.run_modes import Mode, require_read
from dualsys.bridge.placement import placement
from dualsys.delays import Delay
from dualsys.errors import ConfigError
from dualsys.settings import (
    ActorBackend,
    CoreConfig,
    PlannerLifeConfig,
    Precision,
    RealtimeConfig,
    SafetyConfig,
    StalenessConfig,
    SupervisionConfig,
    TimingConfig,
    image_staleness,
)
from dualsys.timing import LinkConfig

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
    mode: Mode = "inline"
    """How the systems are run. An option that a mode doesn't read is refused."""
    seconds: float = 60.0
    """How long; simulated time in inline mode."""
    seed: int = 8000
    """Seed of the first episode; the others follow."""
    instruction: str | None = None
    """What to do, in words; overrides the episodes' own, and with it what counts as success."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    policy: str = ""
    """Address of a policy's server to run instead of a checkpoint: `ws://HOST:PORT` (openpi's protocol) or
    `tcp://HOST:PORT` (GR00T's)."""
    policy_keys: str = ""
    """Names that the policy has for states, cameras and words: shipped (`dualsys`, `libero`, `droid`, `aloha`, `groot`)
    or a TOML file; without it `dualsys` or `groot`."""
    planner: str = ""
    """Registered planner, or `package.module:attribute`, to use instead of the checkpoint's."""
    actor: str = ""
    """Registered actor, or `package.module:attribute`, to use instead of the checkpoint's."""
    actor_backend: ActorBackend = "eager"
    """What samples chunks: PyTorch (`eager`; `packed`: weights in the processor's order), ONNX Runtime on one core
    (`onnx`, `onnx-int8`), `torch.compile`."""
    actor_precision: Precision = "auto"
    """`original`: bfloat16 where the model's authors have it (`eager` and `compiled`); `auto`: that for `compiled` on a
    GPU, else float32."""
    planner_precision: Precision = "auto"
    """The same for a planner of the pi family; `auto`: float32."""
    control_hz: float = 500.0
    """Rate of control ticks."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    camera_hz: float = 10.0
    """Rate at which images are drawn (threads and processes)."""
    planner_latency_s: Delay = 0.12
    """Simulated latency of the planner (inline): a number, `uniform:LOW,HIGH`, `normal:MEAN,STD`, `lognormal:MEAN,STD`,
    `trace:FILE` or `trace-in-order:FILE`, and so are all delays."""
    actor_latency_s: Delay = 0.03
    """Simulated latency of the actor (inline)."""
    actuation_delay_s: Delay = 0.0
    """Simulated time from a command until the robot moves by it (inline)."""
    link: LinkConfig = field(default_factory=LinkConfig)
    """The way to a planner elsewhere and back (inline)."""
    core: CoreConfig = field(default_factory=lambda: CoreConfig(actor_hz=12.5))
    """How often chunks are asked for, how they are played, and what is done about old inputs. Chunks are asked for at
    12.5 Hz, so that 10 a second come in spite of the pauses between episodes."""
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    """The gate's share of the joints' limits."""
    launcher: Literal["ray", "subprocess"] = "ray"
    """Who starts the planner's process, and starts it again when it dies (processes)."""
    ray_address: str | None = None
    """Ray cluster to join; without it a local one is started for the run (processes)."""
    planner_node: str = ""
    """Node of the cluster at --ray-address that the planner goes to: a label KEY=VALUE, an address, or the name of a
    resource of that node. A relay stands in for it on this one (processes)."""
    planner_server: str = ""
    """Planner's server of the cluster at --ray-address (`dualsys serve --name`) to use, instead of a planner of the
    run's own (processes)."""
    robot: str = ""
    """Name of this robot at the planner's server; without it, after its host and its run."""
    planner_standbys: int = 0
    """Further planners, loaded and waiting for the one that plans to die (processes)."""
    planner_life: PlannerLifeConfig = field(default_factory=PlannerLifeConfig)
    """When the planner counts as stale or hung, and how often it is started again (processes; threads read
    `max_failures` alone)."""
    image: StalenessConfig = field(default_factory=image_staleness)
    """What the actor does with images this much older than the state: `keep`, or `hold`: it makes no chunk, and the
    motion comes to rest."""
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)
    """When the other processes count as hung or gone (processes)."""
    realtime: RealtimeConfig = field(default_factory=RealtimeConfig)
    """What the tick asks of the system: scheduling (threads and processes), a CPU, locked memory (processes)."""
    video: Path | None = None
    """File for a video of the scene, `.mp4`."""
    log: Path | None = None
    """File for the run log, one JSON object a line: every command with its chunk, subgoal, ages and limits."""
    record: Path | None = None
    """File for a tape of the run, `.mcap`: `dualsys replay` decides all of it again."""
    record_part_mb: float = 0.0
    """The tape goes on in a new file (`NAME.0000.mcap`, `NAME.0001.mcap` ...) when one is this large; 0: one file."""
    record_keep: int = 0
    """Newest such files that are kept, the others are deleted; 0: all."""
    flight_recorder: Path | None = None
    """Folder that gets a tape of the last seconds whenever something fails."""
    json: Path | None = None
    """File for the figures."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        require_timing(self.timing)
        require_image_actions(self.image)
        require_parts(planner=self.planner, actor=self.actor, core=self.core)
        require_policy(self.policy, keys=self.policy_keys, parts=self._parts())
        for flag, value in (("--seconds", self.seconds), ("--camera-hz", self.camera_hz)):
            if not value > 0:
                raise ConfigError(f"{flag} {value:g} must be above 0")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} must not be below 0")
        if not 0 <= self.planner_standbys <= 4:
            raise ConfigError("--planner-standbys is from 0 to 4")
        if self.planner_node or self.planner_server:
            self._check_planner_elsewhere()
        elif self.robot:
            raise ConfigError("--robot is this robot's name at a --planner-server: give that, too")
        elif self.ray_address is not None and self.launcher != "ray":
            raise ConfigError(
                f"--ray-address is where Ray runs the planner, --launcher {self.launcher} runs it without: leave out "
                "one of the two"
            )
        self._check_record()
        require_read(self)

    def _parts(self) -> dict[str, bool]:
        """Options of a checkpoint's parts, and whether they were given."""
        names = ("planner", "actor", "actor_backend", "actor_precision", "planner_precision", "planner_hz")
        others = ("planner_latency_s", "planner_node", "planner_server", "planner_standbys", "link")
        standard = {each.name: each.default for each in fields(self)} | {"link": LinkConfig()}
        return {
            f"--{name.replace('_', '-')}": bool(getattr(self, name) != standard[name]) for name in (*names, *others)
        }

    def _check_record(self) -> None:
        if not self.record_part_mb >= 0 or self.record_keep < 0 or self.record_keep == 1:
            raise ConfigError("--record-part-mb must not be below 0; --record-keep is 0 (all) or 2 and above")
        if self.record_part_mb and self.record is None:
            raise ConfigError("--record-part-mb is for a tape in several files: give --record FILE, too")
        if self.record_keep and not self.record_part_mb:
            raise ConfigError("--record-keep is for a tape in several files: give --record-part-mb, too")

    def _check_planner_elsewhere(self) -> None:
        asked = "--planner-node" if self.planner_node else "--planner-server"
        if self.planner_node and self.planner_server:
            raise ConfigError(
                "--planner-node is for a planner of the run's own, --planner-server for one that others serve"
            )
        if self.mode != "processes":
            raise ConfigError(f"{asked} needs --mode processes: a relay is a process")
        if self.ray_address is None:
            raise ConfigError(f"{asked} needs --ray-address HOST:PORT, a cluster that this machine is a node of, too")
        if self.launcher != "ray":
            raise ConfigError(f"{asked} needs Ray: leave --launcher {self.launcher} out")
        if self.planner_standbys:
            raise ConfigError(f"{asked} knows no --planner-standbys: there is one relay")
        if self.planner_precision != "auto" and self.planner_server:
            raise ConfigError(
                "--planner-precision is the server's (`dualsys serve`): leave it out beside --planner-server"
            )
        if self.planner and self.planner_server:
            raise ConfigError(
                "--planner is what the server has been started with: leave it out beside --planner-server"
            )
        placement(self.planner_node)

    def timing(self) -> TimingConfig:
        """Rates and latencies on the virtual clock."""
        return TimingConfig(
            planner_hz=self.planner_hz,
            planner_latency_s=self.planner_latency_s,
            actor_latency_s=self.actor_latency_s,
            actuation_delay_s=self.actuation_delay_s,
            link=self.link,
            control_hz=self.control_hz,
        )

    def decided_core(self) -> CoreConfig:
        """What the decision core is told: with a policy of another program nobody waits for a planner."""
        return replace(self.core, first_subgoal_wait_s=0.0) if self.policy else self.core

    def plain(self) -> dict[str, Any]:
        """The options as JSON holds them."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
