"""Names to objects: ours and a third party's alike are found through Python's entry points.

A package offers its own planner with three lines in its `pyproject.toml` and nothing else:

    [project.entry-points."dualsys.planners"]
    my-planner = "my_package.planner:MyPlanner"

What a name resolves to, by kind:

    planners         what builds a `dualsys.protocols.Planner`: its `from_checkpoint`, else a call without arguments
    actors           what builds a `dualsys.protocols.Actor`, in the same way
    chunk_policies   a class without arguments that builds a `dualsys.protocols.ChunkPolicy`
    environments     a suite (`dualsys.sim_envs.making.Suite`), by the first part of its tasks' names
    experts          what builds a `dualsys.protocols.Expert` from an environment of the suite of the same name; it may
                     have `tasks`, the full names of those it solves, where it doesn't solve all
    robots           a class or function that builds a `dualsys.protocols.Robot`; driven by your own loop

Looking a name up imports nothing; `load` imports the one object asked for.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, get_args

from dualsys.errors import ConfigError, ExtraMissing, unknown_name

Kind = Literal["planners", "actors", "chunk_policies", "environments", "experts", "robots"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def names(kind: Kind) -> tuple[str, ...]:
    """Registered names of a kind, sorted. Raises `ConfigError` for an unknown kind."""
    return tuple(sorted({point.name for point in _points(kind)}))


def load(kind: Kind, name: str) -> Any:
    """Import and return what is registered under a name.

    Raises:
        ConfigError: the name is unknown, two distributions claim it, or what it points to does not import.
        ExtraMissing: it needs an optional dependency that is not installed.
    """
    point = _find(kind, name)
    try:
        return point.load()
    except ExtraMissing:
        raise
    except Exception as error:
        # Anything may go wrong while a plugin is imported; the reader needs to know whose plugin it is.
        raise ConfigError(
            f"{_singular(kind)} {name!r} is registered by {_origin(point)} as {point.value!r}, which does not load: "
            f"{type(error).__name__}: {error}. Repair or uninstall that distribution."
        ) from error


def require(kind: Kind, name: str, *, option: str) -> None:
    """Raise `ConfigError` naming the option that a name was given with, where nothing is registered under it.

    Imports nothing.
    """
    if name not in names(kind):
        raise ConfigError(f"{option}: {unknown_name(_singular(kind), name, names(kind))}")


def describe(kind: Kind) -> tuple[dict[str, str], ...]:
    """Rows of `name`, `target` and `distribution` for a listing. Imports nothing."""
    rows = [{"name": p.name, "target": p.value, "distribution": _origin(p)} for p in _points(kind)]
    return tuple(sorted(rows, key=lambda row: (row["name"], row["distribution"])))


def _find(kind: Kind, name: str) -> EntryPoint:
    points = _points(kind)
    found = [point for point in points if point.name == name]
    if not found:
        raise ConfigError(unknown_name(_singular(kind), name, {point.name for point in points}))
    if len({point.value for point in found}) > 1:
        claims = ", ".join(sorted(f"{_origin(point)} ({point.value})" for point in found))
        raise ConfigError(f"{_singular(kind)} {name!r} is registered more than once: {claims}. Uninstall all but one.")
    return found[0]


def _points(kind: Kind) -> tuple[EntryPoint, ...]:
    if kind not in KINDS:
        raise ConfigError(unknown_name("kind", kind, KINDS))
    return tuple(entry_points(group=f"dualsys.{kind}"))


def _singular(kind: Kind) -> str:
    return "chunk policy" if kind == "chunk_policies" else kind.removesuffix("s")


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unnamed distribution"
