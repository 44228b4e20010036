"""Options of `dualsys train`. Apart, so that asking for them imports no torch."""

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from dualsys.actor.config import FlowActorConfig
from dualsys.app.head_options import require_head_options, require_layers
from dualsys.errors import ConfigError

HeadName = Literal["flow", "regression", "diffusion", "unet", "act", "bins", "fast"]
PATCH_PX = 12
"""Of the small backbones: what a token sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Train a planner and an actor together on a dataset."""

    data: tuple[Path, ...]
    """Dataset folders (`dualsys demos`); several are joined."""
    out: Path
    """Folder of the checkpoint; the curve and the state to resume from go to its `training/`."""
    data_shares: tuple[float, ...] = ()
    """Share of the frames from each folder of --data, in their order; none: the same for each, so no task drowns."""
    init: str = ""
    """Checkpoint (shipped name or folder) to start from: its tokenizer grows by the new words. Empty: fresh weights."""
    init_parts: Literal["planner", "both"] = "both"
    """What is taken from it. `both` keeps its statistics, too; `planner` is for another robot, shape or data."""
    train: Literal["both", "actor"] = "both"
    """`actor`: the planner stays as it is, as an imported one must; its subgoals are computed once and kept where they
    fit, and steps cost a third."""
    lora_rank: int = 0
    """Rank of low-rank adapters trained in place of the weights of --init or, without it or with its planner alone, of
    the backbone, beside all of readout and actor; 0: the weights themselves."""
    resume: bool = False
    """Go on from the state in `out`."""
    name: str = "controller"
    """Name of the checkpoint."""
    steps: int = 5500
    """Optimizer steps."""
    batch_size: int = 32
    """Frames a step."""
    moments_per_frame: int = 2
    """Moments of the actor trained on each frame: its loss is cheap beside the planner's."""
    learning_rate: float = 8e-4
    """Peak; warms up over `warmup_steps`, then falls to zero along a cosine."""
    warmup_steps: int = 200
    """Steps to the peak."""
    weight_decay: float = 1e-3
    """Of AdamW."""
    average_decay: float = 0.998
    """Of the exponential moving average, which is what is saved."""
    max_delay_s: float = 0.6
    """Delays between the planner's and the actor's view are drawn evenly up to this."""
    delay_log: Path | None = None
    """Log of a run (`dualsys run --log`) whose measured delays are drawn from instead."""
    goal_images: bool = False
    """Show the planner what each episode came to, its last frame, as Octo does; an actor with an eye can see it, too
    (docs/backbones.md has the line). Whoever runs the controller then gives `Observation.goal_image`, or none."""
    goal_dropout: float = 0.3
    """Probability of hiding the goal's picture, so that words alone go on to do."""
    subgoal_dropout: float = 0.1
    """Probability of training a moment with the null subgoal."""
    position_weight: float = 1.0
    """Weight of the helper losses on positions; 0: none."""
    image_noise: float = 0.15
    """Strength of photometric augmentation."""
    camera: str = ""
    """Camera the planner looks through. Empty: that of --init, `head`, or the only one that was recorded."""
    backbone: str = "tiny"
    """A family, built small with fresh weights (`paligemma`, also called `tiny`, `qwen3_vl`, `smolvlm` ...: all are
    listed where an unknown one is refused), or name or folder of a pretrained vision-language model."""
    image_size: int = 96
    """Height and width of the pictures that a small backbone works on, a multiple of 12; frames are resized to it."""
    tune_layers: int | None = None
    """Of the backbone train only the decoder's last so many layers before the exit; 0: it stays as it is, and readout
    and actor learn. None: all of it."""
    exit_layer: int | None = None
    """Leave the backbone's decoder after this many layers; None: use all."""
    subgoal_tokens: int = 8
    """Tokens of a subgoal."""
    subgoal_dim: int = 64
    """Width of a subgoal's tokens."""
    actor: FlowActorConfig = field(default_factory=FlowActorConfig)
    """Shape of the action expert."""
    head: HeadName = "flow"
    """How the actor makes rows: flow matching, or another of that shape, for comparison: all at once (`regression`),
    denoised (`diffusion`, `unet`), ACT's autoencoder (`act`), or word for word (`bins`, `fast`)."""
    normalization: Literal["mean-std", "min-max", "quantiles", "identity"] = "mean-std"
    """How states and actions are brought to the range that the actor works in (docs/embodiments.md)."""
    use_relative_actions: bool = False
    """Learn rows as differences to the state in which a chunk begins, as LeRobot and openpi do; what the robot is sent
    are positions all the same (docs/embodiments.md)."""
    relative_exclude_joints: tuple[str, ...] = ("gripper",)
    """Words in the names of joints that stay positions then."""
    max_prefix: int | None = None
    """Rows of a running motion that the actor learns to continue, for `--core.chunk-policy trained-prefix`. None: as
    many as before."""
    validation_fraction: float = 0.05
    """Share of each dataset's episodes kept for validation, at least one."""
    validate_every: int = 250
    """Steps between validations and saves."""
    threads: int = 1
    """Torch threads. More than one only on idle cores: contended ones make it many times slower."""
    seed: int = 0
    """Of weights, batches and noise."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the networks' arithmetic; weights, optimizer and losses are float32. auto: bfloat16 on CUDA, else float32."""
    workers: int = 1
    """Processes that share each step's batch, under Ray Train; 1: this process alone, without Ray."""
    ray_address: str | None = None
    """Ray cluster that the workers run on, all machines seeing the same folders; without it a local one is started."""
    max_restarts: int = 3
    """Times that workers are started again after one has died; they go on from the last saved state."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing. Raises `ConfigError`."""
        self._check_start()
        for name in ("steps", "batch_size", "moments_per_frame", "validate_every", "threads", "workers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        amounts = ("learning_rate", "warmup_steps", "weight_decay", "max_delay_s", "position_weight", "image_noise")
        for name in (*amounts, "lora_rank"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"--{name.replace('_', '-')} must not be negative, got {getattr(self, name)}")
        for name in ("subgoal_dropout", "goal_dropout", "validation_fraction", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} must be in [0, 1), got {getattr(self, name)}")
        if self.tune_layers is not None and self.tune_layers < 0:
            raise ConfigError(f"--tune-layers must not be negative, got {self.tune_layers}")
        if self.tune_layers is not None and (self.train == "actor" or self.lora_rank):
            raise ConfigError(
                "--tune-layers says what of the planner is trained: leave out --train actor and --lora-rank"
            )
        if self.max_prefix is not None and self.max_prefix < 0:
            raise ConfigError(f"--max-prefix must not be negative, got {self.max_prefix}")
        self._check_model()
        self._check_workers()

    def _check_model(self) -> None:
        """What is built; what --init goes on with is known when it has been opened."""
        if self.backbone != "tiny":  # which needs no torch
            from dualsys.planner.backbone_name import require_backbone

            require_backbone(self.backbone, option="--backbone")
        if not self.init or self.init_parts == "planner":
            require_head_options(self.head, self.actor, self.max_prefix)
        backbone = "" if self.init else self.backbone
        require_layers(backbone, self.image_size, exit_layer=self.exit_layer, tune_layers=self.tune_layers)

    def _check_workers(self) -> None:
        if self.batch_size % self.workers:
            raise ConfigError(
                f"--batch-size {self.batch_size} does not divide among {self.workers} workers; "
                f"use {self.workers * math.ceil(self.batch_size / self.workers)}"
            )
        if self.ray_address is not None and self.workers == 1:
            raise ConfigError("--ray-address is where --workers run: give it two or more")
        if self.max_restarts < 0:
            raise ConfigError(f"--max-restarts must not be negative, got {self.max_restarts}")

    def _check_start(self) -> None:
        """What is trained on, and from where."""
        if self.image_size < PATCH_PX or self.image_size % PATCH_PX:
            raise ConfigError(f"--image-size {self.image_size} is no multiple of the backbone's patches of {PATCH_PX}")
        if self.data_shares and (len(self.data_shares) != len(self.data) or not all(x > 0 for x in self.data_shares)):
            raise ConfigError(
                f"--data-shares has {len(self.data_shares)} numbers, --data {len(self.data)} folders; "
                "give each folder a positive one, or none"
            )
        self._check_names()
        if self.relative_exclude_joints != ("gripper",) and not self.use_relative_actions:
            raise ConfigError("--relative-exclude-joints says what stays a position: give --use-relative-actions, too")
        if self.actor.robots:
            raise ConfigError("--actor.robots is written by a training on --data of several robots; leave it out")
        if self.init:
            self._refuse_what_is_the_base_s()
        elif self.init_parts != "both":
            raise ConfigError(f"--init-parts {self.init_parts} of what? say so with --init CHECKPOINT, or leave it out")
        if self.train == "actor" and not self.init:
            raise ConfigError("--train actor keeps the planner as it is: say whose with --init CHECKPOINT")
        if self.lora_rank > 0 and self.train != "both":
            raise ConfigError("--lora-rank adapts the planner, --train actor keeps it as it is: leave one out")

    def _check_names(self) -> None:
        """A dataset's figures are told by the last part of its path."""
        paths: dict[str, Path] = {}
        for path in self.data:
            if path.name in paths:
                raise ConfigError(
                    f"--data {paths[path.name]} and {path} are both called {path.name!r}, and so would their "
                    "validation figures be; rename one of the folders"
                )
            paths[path.name] = path

    def _refuse_what_is_the_base_s(self) -> None:
        """Options that build a model anew say nothing about one that goes on."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        usual = {field.name: field.default for field in fields(self)} | {"actor": FlowActorConfig()}
        names = ["goal_images", "backbone", "image_size", "exit_layer", "subgoal_tokens", "subgoal_dim"]
        of_actor = ["actor", "head", "normalization", "use_relative_actions", "relative_exclude_joints"]
        names += of_actor if self.init_parts == "both" else []
        for name in names:
            if given[name] != usual[name]:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} builds a new model, --init {self.init} goes on with one; leave one out")

    @property
    def decisive(self) -> dict[str, Any]:
        """Every option that changes what is learned: what a resumed training must share, and what names it."""
        free = ("out", "resume", "name", "threads", "validate_every", "workers", "ray_address", "max_restarts")
        return {key: value for key, value in self.told.items() if key not in free}

    @property
    def told(self) -> dict[str, Any]:
        """Every option as a checkpoint tells it: of paths and --init the last part, which means something elsewhere."""
        return {**plain(asdict(self)), "init": Path(self.init).name}


def plain(value: Any) -> Any:
    """A value as JSON holds it; of every `Path` the last part. A path that is text stays as it is."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.name
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
