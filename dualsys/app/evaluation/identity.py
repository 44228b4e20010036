"""What decides the bits of an evaluation beside its options and seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.outside_policy import policy_facts, served_weights
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
    policy: dict[str, Any] = field(default_factory=dict)
    """What the server of a policy elsewhere says of itself; `weights` are those that it tells, if any."""

    @classmethod
    def of(cls, config: EvalConfig) -> Self:
        """On this machine, now. Raises `CheckpointError` for a checkpoint that isn't here."""
        versions = result_versions()
        # A torch of that kind has no other; to import it would take as long as some episodes.
        device = "cpu" if versions["torch"].endswith("+cpu") else model_device().type
        if config.policy:
            says = policy_facts(config.policy)
            return cls(weights=served_weights(says), versions=versions, device=device, policy=says)
        return cls(weights=Checkpoint.open(config.checkpoint).weights_digest(), versions=versions, device=device)

    @classmethod
    def of_all(cls, configs: Sequence[EvalConfig]) -> list[Self]:
        """Of each; a checkpoint or policy that several share is looked at once."""
        known: dict[str, Self] = {}
        for config in configs:
            if (config.policy or config.checkpoint) not in known:
                known[config.policy or config.checkpoint] = cls.of(config)
        return [known[config.policy or config.checkpoint] for config in configs]

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)
