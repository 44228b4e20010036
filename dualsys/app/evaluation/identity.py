"""What decides the bits of an evaluation beside its options and seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.versions import result_versions
from dualsys.checkpoint import Checkpoint
from dualsys.device import model_device


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Weights, versions, and what models run on."""

    weights: str
    versions: dict[str, str]
    device: str
    """`cpu` or `cuda`."""

    @classmethod
    def of(cls, config: EvalConfig) -> Self:
        """On this machine, now. Raises `CheckpointError` for a checkpoint that isn't here."""
        versions = result_versions()
        # A torch of that kind has no other; to import it would take as long as some episodes.
        device = "cpu" if versions["torch"].endswith("+cpu") else model_device().type
        return cls(weights=Checkpoint.open(config.checkpoint).weights_digest(), versions=versions, device=device)

    @classmethod
    def of_all(cls, configs: Sequence[EvalConfig]) -> list[Self]:
        """Of each; a checkpoint that several share is looked at once."""
        known: dict[str, Self] = {}
        for config in configs:
            if config.checkpoint not in known:
                known[config.checkpoint] = cls.of(config)
        return [known[config.checkpoint] for config in configs]

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)
