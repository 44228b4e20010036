"""Options of `dualsys train`. Apart, so that asking for them imports no torch."""

from dataclasses import dataclass, field
from pathlib import Path

from dualsys.actor.config import FlowActorConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Train a planner and an actor together on a dataset."""

    data: tuple[Path, ...]
    """Dataset folders (`dualsys demos`); several are joined."""
    out: Path
    """Folder of the checkpoint; the curve and the state to resume from go to its `training/`."""
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
    """Offsets between the planner's and the actor's view are uniform up to this."""
    subgoal_dropout: float = 0.1
    """Probability of training a moment with the null subgoal."""
    position_weight: float = 1.0
    """Weight of the helper losses on positions; 0: none."""
    image_noise: float = 0.15
    """Strength of photometric augmentation."""
    camera: str = "head"
    """Camera the planner looks through."""
    backbone: str = "tiny"
    """`tiny` (a small PaliGemma with fresh weights), or name or folder of a pretrained vision-language model."""
    exit_layer: int | None = None
    """Leave the backbone's decoder after this many layers; None: use all."""
    subgoal_tokens: int = 8
    """Tokens of a subgoal."""
    subgoal_dim: int = 64
    """Width of a subgoal's tokens."""
    actor: FlowActorConfig = field(default_factory=FlowActorConfig)
    """Shape of the action expert."""
    validation_fraction: float = 0.05
    """Share of episodes kept for validation."""
    validate_every: int = 250
    """Steps between validations and saves."""
    threads: int = 1
    """Torch threads. More than one only on idle cores: contended ones make it many times slower."""
    seed: int = 0
    """Of weights, batches and noise."""
