"""What decides the bits of an evaluation beside its options and seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.traces import traces_of
from dualsys.app.flattened import flattened
from dualsys.app.outside_policy import policy_facts, policy_names, served_weights
from dualsys.app.versions import result_versions
from dualsys.checkpoint import Checkpoint
from dualsys.data.begun import differing_settings
from dualsys.device import model_device


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Weights, versions, what models run on, and what stands in files that options name."""

    weights: str
    """Digest of the checkpoint's; empty where none is used."""
    versions: dict[str, str]
    device: str
    """`cpu` or `cuda`."""
    policy: dict[str, Any] = field(default_factory=dict)
    """What the server of a policy elsewhere says of itself; `weights` are those that it tells, if any."""
    policy_keys: dict[str, Any] = field(default_factory=dict)
    """Names that such a policy has for what it is sent and gives, whatever they were read from."""
    traces: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Digests of the measured delays that are drawn from, by option."""
    protocol: dict[str, Any] | None = None
    """The protocol as a whole; None where there is none."""

    @classmethod
    def of(cls, config: EvalConfig) -> Self:
        """On this machine, now; files are read anew. Raises `CheckpointError` for a checkpoint that isn't here."""
        return cls._of_controller(config)._with_files_of(config)

    @classmethod
    def of_all(cls, configs: Sequence[EvalConfig]) -> list[Self]:
        """Of each; a checkpoint or policy that several share is looked at once."""
        known: dict[str, Self] = {}
        for config in configs:
            if (config.policy or config.used_checkpoint) not in known:
                known[config.policy or config.used_checkpoint] = cls._of_controller(config)
        return [known[config.policy or config.used_checkpoint]._with_files_of(config) for config in configs]

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    def differing(self, other: "Identity") -> str:
        """In what another is not the same, such as `weights 'a' (now 'b')`; empty: in nothing."""
        return differing_settings(flattened(self.plain()), flattened(other.plain()))

    @classmethod
    def _of_controller(cls, config: EvalConfig) -> Self:
        versions = result_versions()
        # A torch of that kind has no other; to import it would take as long as some episodes.
        device = "cpu" if versions["torch"].endswith("+cpu") else model_device().type
        if config.policy:
            says = policy_facts(config.policy)
            return cls(weights=served_weights(says), versions=versions, device=device, policy=says)
        weights = Checkpoint.open(config.used_checkpoint).weights_digest() if config.used_checkpoint else ""
        return cls(weights=weights, versions=versions, device=device)

    def _with_files_of(self, config: EvalConfig) -> Self:
        protocol = config.benchmark()
        names = policy_names(config.policy, config.policy_keys) if config.policy else None
        return replace(
            self,
            policy_keys={} if names is None else names.model_dump(mode="json"),
            traces=traces_of(config.timing(1.0)),
            protocol=None if protocol is None else protocol.model_dump(mode="json"),
        )
