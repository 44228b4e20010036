"""From a task's name to an environment. A suite is imported when one of its tasks is asked for, and no sooner."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from dualsys import registry
from dualsys.errors import ConfigError, ExtraMissing, unknown_name
from dualsys.protocols import Environment
from dualsys.sim_envs.options import (
    EnvironmentOptions,
    ImageMode,
    ImageSize,
    ImageTurn,
    Phrasing,
    Randomization,
    ResetKind,
)
from dualsys.sim_envs.perturbations import perturbations_of
from dualsys.sim_envs.perturbations.paraphrase import Paraphrase


class Suite(Protocol):
    """What an entry point of the group `dualsys.environments` names: the tasks called `<entry point>/<...>`.

    One whose tasks are done with different robots may say with which: `robots`, names of embodiments by task. An
    evaluation of the whole suite then leaves out what a checkpoint doesn't drive.
    """

    def tasks(self) -> tuple[str, ...]:
        """Full names of its tasks, such as `humanoid/touch`."""
        ...

    def make(self, task: str, options: EnvironmentOptions) -> Environment:
        """Build one. Raises `ConfigError` for options that don't fit, `ExtraMissing` where a dependency is missing."""
        ...


def make(  # noqa: PLR0913  # one for each of EnvironmentOptions
    task: str,
    *,
    seed: int = 0,
    control_hz: float | None = None,
    images: ImageMode = "observation",
    instruction: str | None = None,
    phrasing: Phrasing = "train",
    image_size: int | Sequence[int] = 96,
    cameras: Sequence[str] | None = None,
    randomization: Randomization = "usual",
    episode_steps: int | None = None,
    settle_steps: int = 0,
    image_turn: ImageTurn = "none",
    reset_kind: ResetKind | None = None,
    perturbations: Sequence[str] = (),
) -> Environment:
    """Build an environment by name, such as `humanoid/touch`.

    Args:
        task: `<suite>/<task>`; `task_names()` lists them.
        seed: of the first episode that is reset without one.
        control_hz: rate of `step`; None: the task's own.
        images: `observation`: every `step` renders; `on-demand`: only `observe().images` does, when read.
        instruction: overrides the episodes' own, and with it what counts as success.
        phrasing: split of the grammar that instructions are drawn from: `train` or `held-out`.
        image_size: pixels of the policy's cameras: of both sides, or height and width.
        cameras: the policy's cameras, by name; None: the task's own choice.
        randomization: how far light, shades and cameras stray: `usual` or `wide`.
        episode_steps: control steps after which an episode is over; None: the task's own limit.
        settle_steps: control steps of the task's own no-op after a reset, before the episode and its clock begin.
        image_turn: how the policy's images are turned: `none`, `half` (by 180 degrees) or `upside-down`.
        reset_kind: `hard` or `soft`, where a task knows both; None: its own way.
        perturbations: what is to go otherwise, by name and level, such as `lighting:severe` (`sim_envs.perturbations`).

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
        image_size=_size(image_size),
        cameras=None if cameras is None else tuple(cameras),
        randomization=randomization,
        episode_steps=episode_steps,
        settle_steps=settle_steps,
        image_turn=image_turn,
        reset_kind=reset_kind,
    )
    suite = suite_of(task)
    return _perturbed(suite, task, options, perturbations) if perturbations else suite.make(task, options)


def _size(asked: int | Sequence[int]) -> ImageSize:
    if isinstance(asked, int):
        return asked
    if len(asked) != 2:
        raise ConfigError(f"image_size={list(asked)} must be one number, or height and width")
    return asked[0], asked[1]


def _perturbed(suite: Suite, task: str, options: EnvironmentOptions, asked: Sequence[str]) -> Environment:
    """With words of its own held-out split, where those are asked for and it has one."""
    from dualsys.sim_envs.perturbations.perturbed import Perturbed

    chosen = perturbations_of(asked)
    held_out = any(isinstance(each, Paraphrase) and each.held_out for each in chosen)
    if held_out and "held-out" in getattr(suite, "phrasings", ()):
        options = replace(options, phrasing="held-out")
    environment = suite.make(task, options)
    has_held_out = options.phrasing == "held-out"
    return Perturbed(environment, chosen, seed=options.seed, has_held_out=has_held_out) if chosen else environment


def suite_of(task: str) -> Suite:
    """The suite that has a task; nothing is built yet. Raises `ConfigError` and `ExtraMissing` as `make` does."""
    suite_name, _, rest = task.partition("/")
    if not rest or suite_name not in suites():
        raise ConfigError(unknown_name("task", task, _known_names()))
    suite = load_suite(suite_name)
    if task not in suite.tasks():
        raise ConfigError(unknown_name("task", task, suite.tasks()))
    return suite


def robot_of(task: str) -> str | None:
    """Name of a task's embodiment where its suite says so (`robots`, by task); nothing is built."""
    robots: Mapping[str, str] = getattr(suite_of(task), "robots", {})
    return robots.get(task)


def _known_names() -> tuple[str, ...]:
    """Tasks of the suites that load; a suite whose extra is missing is named as a whole."""
    names: list[str] = []
    for suite in suites():
        try:
            names.extend(load_suite(suite).tasks())
        except ExtraMissing:
            names.append(f"{suite}/...")
    return tuple(names)


def suites() -> tuple[str, ...]:
    """Names of the registered suites. Imports nothing."""
    return registry.names("environments")


def load_suite(name: str) -> Suite:
    """Import a suite. Raises `ConfigError` for an unknown one, `ExtraMissing` where a dependency is missing."""
    suite: Suite = registry.load("environments", name)
    return suite


def task_names() -> tuple[str, ...]:
    """Every task of every suite whose dependencies are installed. Imports the suites."""
    return tuple(sorted(task for name in suites() for task in load_suite(name).tasks()))
