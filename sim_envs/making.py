"""From a task's name to an environment. A suite is imported when one of its tasks is asked for, and no sooner."""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from dualsys.errors import ConfigError, ExtraMissing, unknown_name
from dualsys.protocols import Environment
from dualsys.sim_envs.options import EnvironmentOptions, ImageMode, Phrasing

GROUP = "dualsys.environments"
OWN_SUITES = {
    "humanoid": "dualsys.sim_envs.humanoid.suite:SUITE",
    "dm_control": "dualsys.sim_envs.dm_control_suite:SUITE",
}
"""Our own suites; they are registered as entry points too, but a checkout that isn't installed has none."""


class Suite(Protocol):
    """What an entry point of the group `dualsys.environments` names: the tasks called `<entry point>/<...>`."""

    def tasks(self) -> tuple[str, ...]:
        """Full names of its tasks, such as `humanoid/touch`."""
        ...

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one. Raises `ConfigError` for options that don't fit, `ExtraMissing` where a dependency is missing."""
        ...


def make(
    task: str,
    *,
    seed: int = 0,
    control_hz: float = 50.0,
    images: ImageMode = "observation",
    instruction: str | None = None,
    phrasing: Phrasing = "train",
    image_size: int = 96,
) -> Environment:
    """Build an environment by name, such as `humanoid/touch`.

    Args:
        task: `<suite>/<task>`; `task_names()` lists them.
        seed: of the first episode that is reset without one.
        control_hz: rate of `step`.
        images: `observation`: every `step` renders; `on-demand`: only `observe().images` does, when read.
        instruction: overrides the episodes' own, and with it what counts as success.
        phrasing: split of the grammar that instructions are drawn from: `train` or `held-out`.
        image_size: height and width of the policy's cameras in pixels.

    Raises:
        ConfigError: the task is unknown (the closest name is given), or an argument means nothing to it.
        ExtraMissing: the suite needs an optional dependency that is not installed.
    """
    options = EnvironmentOptions(
        seed=seed,
        control_hz=control_hz,
        images=images,
        instruction=instruction,
        phrasing=phrasing,
        image_size=image_size,
    )
    suite_name, _, rest = task.partition("/")
    targets = suites()
    if not rest or suite_name not in targets:
        raise ConfigError(unknown_name("task", task, _known_names(targets)))
    suite = load_suite(suite_name)
    if task not in suite.tasks():
        raise ConfigError(unknown_name("task", task, suite.tasks()))
    return suite.make(task, options)


def _known_names(targets: dict[str, str]) -> tuple[str, ...]:
    """Tasks of the suites that load; a suite whose extra is missing is named as a whole."""
    names: list[str] = []
    for suite in targets:
        try:
            names.extend(load_suite(suite).tasks())
        except ExtraMissing:
            names.append(f"{suite}/...")
    return tuple(names)


def suites() -> dict[str, str]:
    """Suite name to where it is found (`module:object`). Imports nothing."""
    return {**OWN_SUITES, **{point.name: point.value for point in entry_points(group=GROUP)}}


def load_suite(name: str) -> Suite:
    """Import a suite. Raises `ConfigError` for an unknown one, `ExtraMissing` where a dependency is missing."""
    targets = suites()
    if name not in targets:
        raise ConfigError(unknown_name("suite", name, targets))
    module, _, attribute = targets[name].partition(":")
    suite: Suite = getattr(import_module(module), attribute)
    return suite


def task_names() -> tuple[str, ...]:
    """Every task of every suite whose dependencies are installed. Imports the suites."""
    return tuple(sorted(task for name in suites() for task in load_suite(name).tasks()))
