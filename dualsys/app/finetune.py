"""`dualsys finetune`: a new task for a trained controller, from a few dozen demonstrations.

    dualsys demos my_suite/my_task --episodes 30 --out data/new
    dualsys finetune --data data/new --out checkpoints/new

It is `dualsys train` with the settings that suit few data: starting from a controller, fewer and smaller steps, and
where old data are given, those beside the new ones so that old tasks are not forgotten.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dualsys.app.train_config import TrainConfig
from dualsys.errors import ConfigError

Parts = Literal["all", "actor", "lora"]
PEAK_RATE: dict[Parts, float] = {"all": 3e-4, "actor": 3e-4, "lora": 1e-3}
"""Learning rate where none is asked for; adapters start from nothing and take larger steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig:
    """Teaches a trained controller a new task from a few dozen demonstrations."""

    data: tuple[Path, ...]
    """Dataset folders of the new task (20 to 50 demonstrations)."""
    out: Path
    """Folder of the new checkpoint."""
    checkpoint: str = "humanoid-table"
    """Controller to start from: shipped name or folder. Its statistics and the words it knows are kept."""
    parts: Parts = "all"
    """What is trained: `all` weights, the `actor` alone (its planner must see what the task needs; all that is trained
    of an imported controller), or `lora`: low-rank adapters on both."""
    lora_rank: int = 16
    """Rank of the adapters of `lora`."""
    rehearse: tuple[Path, ...] = ()
    """Datasets of old tasks to train on beside the new one, so that they are not forgotten."""
    rehearse_share: float = 0.5
    """Share of the frames that come from them."""
    name: str = "finetuned"
    """Name of the checkpoint."""
    steps: int = 600
    """Optimizer steps."""
    batch_size: int = 32
    """Frames a step."""
    learning_rate: float | None = None
    """Peak; None: 3e-4, with adapters 1e-3."""
    validation_fraction: float = 0.1
    """Share of each dataset's episodes kept for validation, at least one."""
    validate_every: int = 100
    """Steps between validations and saves."""
    resume: bool = False
    """Go on from the state in `out`."""
    threads: int = 1
    """Torch threads."""
    seed: int = 0
    """Of new words' rows, batches and noise."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing. Raises `ConfigError`."""
        if self.parts == "lora" and self.lora_rank < 1:
            raise ConfigError(f"--lora-rank must be at least 1, got {self.lora_rank}")
        if not 0 < self.rehearse_share < 1:
            raise ConfigError(f"--rehearse-share must be between 0 and 1, got {self.rehearse_share}")
        self.training()

    def training(self) -> TrainConfig:
        """The training that this is. Raises `ConfigError` for values that mean nothing."""
        return TrainConfig(
            data=(*self.data, *self.rehearse),
            data_shares=self._shares(),
            out=self.out,
            init=self.checkpoint,
            train="actor" if self.parts == "actor" else "both",
            lora_rank=self.lora_rank if self.parts == "lora" else 0,
            name=self.name,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=PEAK_RATE[self.parts] if self.learning_rate is None else self.learning_rate,
            warmup_steps=min(50, max(1, self.steps // 10)),
            average_decay=0.99,
            validation_fraction=self.validation_fraction,
            validate_every=self.validate_every,
            resume=self.resume,
            threads=self.threads,
            seed=self.seed,
        )

    def _shares(self) -> tuple[float, ...]:
        if not self.rehearse:
            return ()
        new, old = (1.0 - self.rehearse_share) / len(self.data), self.rehearse_share / len(self.rehearse)
        return (*(new for _ in self.data), *(old for _ in self.rehearse))


def main(config: FinetuneConfig) -> int:
    """Train, save, plot. Returns the exit status."""
    from dualsys.app import train

    return train.main(config.training())
