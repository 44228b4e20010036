"""Building planners, actors and environments from words in a config: the same words work in every process.

A part is named by its entry in the registry (`vlm`, `flow`) or, for one of your own that isn't registered, by
`package.module:attribute`. With a checkpoint it is built by its `from_checkpoint`, where it has one, else it is called
with its options.
"""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

from dualsys import registry
from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import BridgeError, ConfigError
from dualsys.protocols import Accelerated, Actor, Planner
from dualsys.settings import ActorBackend, Precision
from dualsys.stored_kinds import require_kinds


class PartConfig(BaseModel):
    """Which class or function builds a part, and from what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    """Registered name or `package.module:attribute`; empty: what the checkpoint names."""
    checkpoint: Path | str | None = None
    """Folder or shipped name."""
    options: dict[str, Any] = {}
    """Keyword arguments where there is no checkpoint."""
    backend: ActorBackend = "eager"
    """What samples, of an actor that can choose (`dualsys.protocols.Accelerated`)."""
    precision: Precision = "auto"
    """Of an actor's backend; of a planner that can choose, `auto` is float32."""


def build_planner(part: PartConfig, subgoal: SubgoalSpec) -> Planner:
    """A planner. Raises `SpecMismatch` when it emits other subgoals than the system's."""
    planner = make_planner(part)
    planner.subgoal_spec.require_same(subgoal, ours=f"planner {part.name!r}", theirs="the actor")
    return planner


def make_planner(part: PartConfig) -> Planner:
    """A planner, whatever subgoals it emits: whoever uses it checks that.

    Raises:
        ConfigError: for a backend, and for a precision that it doesn't have.
    """
    if part.backend != "eager":
        raise ConfigError(f"planner {part.name!r}: backend {part.backend!r} is given, but only actors have backends")
    planner: Planner = _build(part, "planners")
    if part.precision == "original":
        choose = getattr(planner, "use_original_precision", None)
        if choose is None:
            raise ConfigError(
                f"planner {part.name or type(planner).__name__!r} plans in its own precision: it has no method "
                "use_original_precision(). Leave --planner-precision out"
            )
        choose()
    return planner


def planner_digest(part: PartConfig) -> str:
    """Which planner a checkpoint holds, as a short hash; empty without a checkpoint."""
    if part.checkpoint is None:
        return ""
    checkpoint = Checkpoint.open(part.checkpoint)
    return checkpoint.module_digest(checkpoint.manifest.planner)


def build_actor(part: PartConfig, embodiment: EmbodimentSpec, subgoal: SubgoalSpec) -> Actor:
    """An actor on its backend.

    Raises:
        SpecMismatch: it is for another robot or takes other subgoals than the system's.
        ConfigError: it has no such backend or precision, or the backend gives other rows than eager.
        ExtraMissing: what the backend needs is not installed.
    """
    actor: Actor = _on_its_backend(_build(part, "actors", robot=embodiment.name), part)
    actor.embodiment.require_same(embodiment, ours=f"actor {part.name!r}", theirs="the robot")
    subgoal.require_same(actor.subgoal_spec, ours="the planner", theirs=f"actor {part.name!r}")
    return actor


def build_environment(part: PartConfig) -> Any:
    """An environment. Its options go to the function or class that is named."""
    return _import(part.name)(**part.options)


def _build(part: PartConfig, kind: Literal["planners", "actors"], *, robot: str = "") -> Any:
    """`robot`: which, where the checkpoint is of several; empty: its first."""
    if part.checkpoint is None:
        if not part.name:
            raise ConfigError(f"{kind}: neither a name nor a checkpoint is given; give --checkpoint or a name")
        return _call(_resolve(part.name, kind), part, kind)
    checkpoint = Checkpoint.open(part.checkpoint)
    checkpoint = checkpoint.of_robot(robot) if robot else checkpoint
    is_planner = kind == "planners"
    require_kinds(checkpoint, planner=part.name if is_planner else "", actor="" if is_planner else part.name)
    entry = checkpoint.manifest.planner if is_planner else checkpoint.manifest.actor
    target = _resolve(part.name or entry.name, kind)
    from_checkpoint = getattr(target, "from_checkpoint", None)
    return _call(target, part, kind) if from_checkpoint is None else from_checkpoint(checkpoint)


def _on_its_backend(actor: Actor, part: PartConfig) -> Actor:
    if part.backend == "eager" and part.precision != "original":
        return actor
    if not isinstance(actor, Accelerated):
        option, value = ("precision", part.precision) if part.backend == "eager" else ("backend", part.backend)
        raise ConfigError(
            f"actor {part.name or type(actor).__name__!r} has no {option} {value!r}: it has no method "
            f"with_backend(name). Leave --actor-{option} out"
        )
    if part.precision == "auto":
        return actor.with_backend(part.backend)
    if "precision" not in inspect.signature(actor.with_backend).parameters:
        raise ConfigError(
            f"actor {part.name or type(actor).__name__!r} has no precision {part.precision!r}: its with_backend(name) "
            "takes no precision. Leave --actor-precision out"
        )
    narrowed: Actor = cast(Any, actor).with_backend(part.backend, precision=part.precision)
    return narrowed


def _call(target: Any, part: PartConfig, kind: Literal["planners", "actors"]) -> Any:
    """Call a class or function with its options, after a look at whether it takes them."""
    try:
        inspect.signature(target).bind(**part.options)
    except TypeError as error:
        raise ConfigError(
            f"{kind.removesuffix('s')} {part.name!r} cannot be built from its name alone: {target.__name__}() is "
            f"{error}, and it has no from_checkpoint(checkpoint). Give it one, or build it in your program and pass it "
            "to dualsys.Controller(planner, actor)"
        ) from error
    return target(**part.options)


def _resolve(name: str, kind: Literal["planners", "actors"]) -> Any:
    return _import(name) if ":" in name else registry.load(kind, name)


def _import(path: str) -> Any:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{path!r} does not name a part: expected package.module:attribute")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BridgeError(f"part {path!r} cannot be imported: {error}") from error
