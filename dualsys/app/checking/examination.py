"""One task, tried: built, reset, stepped, drawn, held to its protocol, and solved by its expert where it has one."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dualsys import registry, sim_envs
from dualsys.errors import ConfigError, DualsysError, ExtraMissing
from dualsys.protocols import Environment, Privileged, Rendered
from dualsys.testing import check_environment
from dualsys.testing.conditions import require

IMAGE_SIZE = 64
STEPS = 20
"""Control steps that are timed."""

Status = Literal["ok", "failed", "not installed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFinding:
    """What came of trying a task."""

    task: str
    status: Status
    why: str = ""
    """What was wrong, or is missing."""
    build_s: float = 0.0
    step_ms: float = 0.0
    frame_ms: float = 0.0
    """Of one policy's picture, small."""
    expert: str = ""
    """How often the expert solved it, or that there is none."""


def examine(task: str, *, expert_episodes: int) -> TaskFinding:
    """Try a task. Raises nothing but what ends a process: what goes wrong is the finding.

    Args:
        task: Its full name.
        expert_episodes: Episodes that the expert tries; one that it solves is enough.
    """
    try:
        return _examine(task, expert_episodes)
    except ExtraMissing as error:
        return TaskFinding(task=task, status="not installed", why=str(error))
    except Exception as error:  # whatever it is, it is this task's, and the others are still to be tried
        said = str(error) if isinstance(error, DualsysError) else f"{type(error).__name__}: {error}"
        return TaskFinding(task=task, status="failed", why=" ".join(said.split()))


def _examine(task: str, expert_episodes: int) -> TaskFinding:
    started_s = time.perf_counter()
    environment = _make(task)
    build_s = time.perf_counter() - started_s
    try:
        step_ms = _step_ms(environment)
        frame_ms = _frame_ms(environment)
        _require_facts(environment)
        expert, solved = _expert_success(environment, task, expert_episodes)
    finally:
        environment.close()
    check_environment(_make(task))
    return TaskFinding(
        task=task,
        status="ok" if solved else "failed",
        why="" if solved else f"its expert solved none of the seeds 0 to {expert_episodes - 1}",
        build_s=build_s,
        step_ms=step_ms,
        frame_ms=frame_ms,
        expert=expert,
    )


def _make(task: str) -> Environment:
    return sim_envs.make(task, images="on-demand", image_size=IMAGE_SIZE)


def _step_ms(environment: Environment) -> float:
    environment.reset(seed=0)
    embodiment = environment.embodiment
    action = np.clip(embodiment.position_in(environment.observe().state), embodiment.lower, embodiment.upper)
    started_s = time.perf_counter()
    for _ in range(STEPS):
        environment.step(action)
    return 1e3 * (time.perf_counter() - started_s) / STEPS


def _frame_ms(environment: Environment) -> float:
    """Time of a policy's picture, the second: the first takes the renderer's set-up. None may be blank."""
    cameras = [camera.name for camera in environment.embodiment.cameras]
    if isinstance(environment, Rendered):
        picture = environment.render()
        require(picture.ndim == 3 and picture.std() > 0, "render() gave a blank picture")
    if not cameras:
        return 0.0
    for camera in cameras:
        require(float(environment.observe().images[camera].std()) > 0, f"camera {camera} gave a blank picture")
    started_s = time.perf_counter()
    _ = environment.observe().images[cameras[0]]
    return 1e3 * (time.perf_counter() - started_s)


def _require_facts(environment: Any) -> None:
    """Refuse facts for recordings that aren't told, or have other components than they say."""
    if not isinstance(environment, Privileged):
        return
    facts = environment.privileged()
    for name, components in environment.privileged_columns.items():
        require(name in facts, f"privileged() lacks {name}, which its columns name")
        size = np.size(facts[name])
        require(size == len(components), f"privileged()[{name!r}] has {size} components, its columns {len(components)}")


def _expert_success(environment: Environment, task: str, episodes: int) -> tuple[str, bool]:
    """What the suite's expert makes of it, and whether that will do: none at all does, and one that isn't tried."""
    suite = task.partition("/")[0]
    if episodes == 0:
        return "not tried", True
    if suite not in registry.names("experts"):
        return "none", True
    build = registry.load("experts", suite)
    try:
        expert = build(environment)
    except ConfigError:  # of the suite, but not for this task
        return "none", True
    solved = 0
    for seed in range(episodes):
        environment.reset(seed=seed)
        expert.reset()
        over = False
        while not over and not environment.success:
            _, _, terminated, truncated, _ = environment.step(expert.act())
            over = bool(terminated or truncated)
        solved += bool(environment.success)
    return f"{solved}/{episodes}", solved > 0
