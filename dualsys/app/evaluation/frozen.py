"""Options of the timing that mean nothing where the world stands still while the models think."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from dualsys.bounds import UsualHz
from dualsys.errors import ConfigError
from dualsys.settings import CoreConfig
from dualsys.timing import LinkConfig, TimingConfig

if TYPE_CHECKING:
    from dualsys.app.evaluation.config import EvalConfig

_OPTIONS = tuple(
    each.name for each in fields(TimingConfig) if each.name not in ("control_hz", "link", "world", "execution_horizon")
)


def require_effect(config: "EvalConfig") -> None:
    """Raise `ConfigError` for delays and rates beside `--world frozen`: they would be left out in silence."""
    if config.world == "frozen" and (chosen := _chosen(config)):
        raise ConfigError(
            f"{', '.join(chosen)}: in a frozen world nothing takes time, and only --execution-horizon says how often "
            "there is a chunk. Leave that out, or --world frozen; a --sweep has it beside with --sweep-frozen-world"
        )


def usual_timing(config: "EvalConfig") -> dict[str, Any]:
    """Those options as they are where nobody chose them: what a frozen world keeps of another evaluation's."""
    own = {each.name: each.default for each in fields(config) if each.name in _OPTIONS}
    return {**own, "link": LinkConfig(), "core": replace(config.core, actor_hz=CoreConfig().actor_hz)}


def _chosen(config: "EvalConfig") -> list[str]:
    """Their flags, where they aren't what they usually are."""
    usual = usual_timing(config)
    found = [name for name in _OPTIONS if getattr(config, name) != usual[name]]
    found += [f"link.{each.name}" for each in fields(LinkConfig) if getattr(config.link, each.name) != each.default]
    rate, protocol = config.core.actor_hz, config.benchmark()
    if not isinstance(rate, UsualHz) and (protocol is None or rate != protocol.chunk_hz):
        found.append("core.actor_hz")
    return [f"--{name.replace('_', '-')}" for name in found]
