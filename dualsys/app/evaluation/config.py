"""Options of `dualsys eval`."""

from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dualsys.app.border import require_parts, require_policy, require_timing
from dualsys.app.episode_rules import EpisodeRules
from dualsys.app.evaluation.by_protocol import Usual, by_protocol
from dualsys.app.evaluation.frozen import require_effect
from dualsys.app.who_drives import is_idle
from dualsys.delays import Delay
from dualsys.errors import ConfigError
from dualsys.settings import ActorBackend, CoreConfig, Precision, SafetyConfig, TimingConfig
from dualsys.sim_envs.options import Randomization
from dualsys.sim_envs.perturbations import perturbations_of
from dualsys.sim_envs.protocols import EvaluationProtocol, protocol_called
from dualsys.timing import LinkConfig, World

TIMING_OPTIONS = tuple(each.name for each in fields(TimingConfig) if each.name != "control_hz")
"""Options that make up the timing; the rate of control ticks is the task's own where none is asked for."""
NOT_DECIDING = (
    "workers", "launcher", "ray_address", "max_retries", "json", "resume", "video_dir", "videos", "page",
)  # fmt: skip
"""Options of which no episode depends: they stand with a result's timings, and may change with `--resume`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """Success of a suite or a task on the virtual clock, with the latencies as arguments."""

    suite_or_task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SUITE_OR_TASK")]
    """A task (`humanoid/touch`), a suite (`humanoid`: all its tasks) or a pattern (`libero/spatial-*`)."""
    protocol: str = ""
    """A benchmark's own way to be evaluated: a name of `dualsys list`, or a file of your own ending in .toml. It sets
    episodes, seeds, starts, horizon, images, rate and what counts as success; what contradicts it is refused."""
    group: str = ""
    """One of the protocol's groups of tasks, such as `easy`."""
    episodes: int = Usual(50)
    """Episodes of each task."""
    seed: int = Usual(8000)
    """Seed of the first episode, the others follow. 8000 to 9999 are for development, from 10000 on for claims."""
    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    policy: str = ""
    """Address of a policy's server to evaluate instead of a checkpoint: `ws://HOST:PORT` (openpi's protocol) or
    `tcp://HOST:PORT` (GR00T's). What it takes to think is --actor-latency-s, whatever it took."""
    policy_keys: str = ""
    """Names that the policy has for states, cameras and words: shipped (`dualsys`, `libero`, `droid`, `aloha`, `groot`)
    or a TOML file; without it `dualsys` or `groot`."""
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
    planner_latency_s: Delay = 0.12
    """Simulated time from its start until its subgoal can be used: a number, `uniform:LOW,HIGH`, `normal:MEAN,STD`,
    `lognormal:MEAN,STD`, `trace:FILE` or `trace-in-order:FILE` (`dualsys measure`), and so are all delays."""
    actor_latency_s: Delay = 0.03
    """Simulated time from the actor's start until its chunk can be used."""
    camera_hz: float | None = None
    """Frames a second; None: one at every tick where cameras are late, and else whenever a model looks."""
    camera_delay_s: Delay = 0.0
    """Simulated time from a frame until the models can see it."""
    actuation_delay_s: Delay = 0.0
    """Simulated time from a command until the robot moves by it."""
    link: LinkConfig = field(default_factory=LinkConfig)
    """The way to a planner elsewhere and back."""
    world: World = "moves"
    """`frozen`: the world stands still while the models think, which takes no time: plan, act, execute some rows, and
    so on, without any of the delays above."""
    execution_horizon: int | None = None
    """Rows of a chunk that are executed in a frozen world before it is replaced; None: half of them."""
    sweep: str = ""
    """Success against a delay or a rate: OPTION=VALUE,VALUE,..., such as `planner-latency-s=0,0.1,0.2`, on the same
    seeds. Between values with commas of their own stands a semicolon."""
    sweep_frozen_world: bool = False
    """The frozen world as one more point of a sweep."""
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
    perturb: tuple[str, ...] = ()
    """What goes otherwise than in training, such as lighting:severe or pushes (medium): lighting, camera, texture,
    friction, mass, pushes, sensor-noise, drop-out, paraphrase, or all, or change-of-mind; mild, medium or severe."""
    workers: int = 1
    """Processes. The result is the same for any number."""
    launcher: Literal["subprocess", "ray"] = "subprocess"
    """Who starts them: this machine's own processes, or Ray's."""
    ray_address: str | None = None
    """Ray cluster that the workers run on, all machines with the same versions and seeing the same folders; without it
    a local one is started."""
    max_retries: int = 2
    """How often an episode is played again whose worker died."""
    json: Path | None = None
    """File for the result; a picture of the same name ending in .png is drawn beside it. Until it is written, episodes
    are kept in a file of the same name ending in .partial.jsonl."""
    resume: bool = False
    """Go on with the episodes that are kept there."""
    video_dir: Path | None = None
    """Folder for videos of some successes and the first failures."""
    videos: int = 2
    """Successes, and failures, to film."""
    page: Path | None = None
    """File for a page of the result, `.html`, which needs no other file: figures, every episode, the videos of
    --video-dir."""

    def __post_init__(self) -> None:
        """Set what the protocol says; refuse values that contradict it or mean nothing."""
        for name, value in by_protocol(self).items():
            object.__setattr__(self, name, value)
        if self.episodes < 1 or self.workers < 1 or self.seed < 0 or self.videos < 0:
            raise ConfigError("--episodes and --workers must be at least 1, --seed and --videos at least 0")
        require_timing(partial(self.timing, 1.0 if self.control_hz is None else self.control_hz))
        require_effect(self)
        if self.execution_horizon is not None and self.world == "moves" and not self.sweep_frozen_world:
            raise ConfigError(
                "--execution-horizon is for --world frozen; where it moves, --core.actor-hz says how often chunks come"
            )
        if self.sweep_frozen_world and not self.sweep:
            raise ConfigError("--sweep-frozen-world is one more point of a --sweep; for it alone: --world frozen")
        perturbations_of(self.perturb)  # refuses what is unknown
        require_parts(planner=self.planner, actor=self.actor, core=self.core)
        require_policy(self.policy, keys=self.policy_keys, parts=self._parts())
        self._check_workers()
        self._check_files()

    def benchmark(self) -> EvaluationProtocol | None:
        """The protocol, or None where none was asked for."""
        return protocol_called(self.protocol) if self.protocol else None

    def rules(self) -> EpisodeRules:
        """What counts in each episode."""
        protocol = self.benchmark()
        if protocol is None:
            return EpisodeRules()
        return EpisodeRules(
            success=protocol.success,
            stop_on_success=protocol.stop_on_success,
            longest_steps=protocol.longest_steps,
            first_listed=protocol.first_seed if protocol.initial_states else None,
        )

    def timing(self, control_hz: float) -> TimingConfig:
        """Rates and latencies. Raises `pydantic.ValidationError` for negative ones."""
        return TimingConfig(**{name: getattr(self, name) for name in TIMING_OPTIONS}, control_hz=control_hz)

    @property
    def used_checkpoint(self) -> str:
        """The checkpoint; empty where none is used: beside a policy of another program, or parts that do nothing."""
        return "" if self.policy or is_idle(planner=self.planner, actor=self.actor) else self.checkpoint

    def plain(self) -> dict[str, Any]:
        """The options that decide what comes out, as JSON holds them: all but `NOT_DECIDING`."""
        values = asdict(self) | {"checkpoint": self.used_checkpoint}
        return _as_json({name: value for name, value in values.items() if name not in NOT_DECIDING})

    def not_deciding(self) -> dict[str, Any]:
        """The others, which say how it is played and where the result goes."""
        return _as_json({name: getattr(self, name) for name in NOT_DECIDING})

    def _check_workers(self) -> None:
        if self.max_retries < 0:
            raise ConfigError(f"--max-retries must not be negative, got {self.max_retries}")
        if self.ray_address is not None and self.launcher != "ray":
            raise ConfigError("--ray-address is where Ray runs the workers: give --launcher ray, too")
        if self.resume and self.json is None:
            raise ConfigError("--resume goes on with what is kept beside --json FILE: give that, too")

    def _parts(self) -> dict[str, bool]:
        """Options of a checkpoint and its parts, and whether they were given."""
        return {
            "--checkpoint": self._is_chosen("checkpoint"),
            "--planner": bool(self.planner),
            "--actor": bool(self.actor),
            "--actor-backend": self.actor_backend != "eager",
            "--actor-precision": self.actor_precision != "auto",
            "--planner-precision": self.planner_precision != "auto",
            **{f"--{name.replace('_', '-')}": self._is_chosen(name) for name in ("planner_hz", "planner_latency_s")},
            "--link": self.link != LinkConfig(),
        }

    def _is_chosen(self, name: str) -> bool:
        """Whether an option is not what it is where nobody chose."""
        return bool(getattr(self, name) != next(each.default for each in fields(self) if each.name == name))

    def _check_files(self) -> None:
        if self.page is not None and (self.page.is_dir() or self.page.suffix != ".html"):
            raise ConfigError(f"--page {self.page} must be a file of the name NAME.html")
        if self.json is not None and (self.json.is_dir() or self.json.suffix == ".png"):
            raise ConfigError(
                f"--json {self.json} must be a file, and not a .png: a picture of the results is written beside it"
            )


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
