"""What decides the bits of an evaluation beside its options and seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.traces import traces_of
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
    traces: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Digests of the measured delays that are drawn from, by option."""

    @classmethod
    def of(cls, config: EvalConfig) -> Self:
        """On this machine, now. Raises `CheckpointError` for a checkpoint that isn't here."""
        versions = result_versions()
        # A torch of that kind has no other; to import it would take as long as some episodes.
        device = "cpu" if versions["torch"].endswith("+cpu") else model_device().type
        traces = traces_of(config.timing(1.0))
        if config.policy:
            says = policy_facts(config.policy)
            return cls(weights=served_weights(says), versions=versions, device=device, policy=says, traces=traces)
        weights = Checkpoint.open(config.checkpoint).weights_digest()
        return cls(weights=weights, versions=versions, device=device, traces=traces)

    @classmethod
    def of_all(cls, configs: Sequence[EvalConfig]) -> list[Self]:
        """Of each; a checkpoint or policy that several share is looked at once."""
        known: dict[str, Self] = {}
        for config in configs:
            if (config.policy or config.checkpoint) not in known:
                known[config.policy or config.checkpoint] = cls.of(config)
        shared = [known[config.policy or config.checkpoint] for config in configs]
        return [
            replace(each, traces=traces_of(config.timing(1.0))) for each, config in zip(shared, configs, strict=True)
        ]

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)
