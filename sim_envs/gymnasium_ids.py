"""Our tasks by names that gymnasium knows: importing this registers them.

    import dualsys.sim_envs.gymnasium_ids
    environment = gymnasium.make("dualsys/humanoid-touch-v0", images="on-demand")

gymnasium finds no plug-ins by itself (since 1.0); `gymnasium.make("dualsys.sim_envs.gymnasium_ids:dualsys/...")` has it
import this, which is what a name in another program's configuration needs. A task `suite/name` is
`dualsys/suite-name-v0`; one whose name ends in a version of its own keeps that. Tasks of suites whose extra is missing
are left out. What `gymnasium.make` is given goes to `dualsys.sim_envs.make`.
"""

import re
from contextlib import suppress
from typing import Any

import gymnasium

from dualsys.errors import ConfigError, DualsysError
from dualsys.sim_envs.making import load_suite, make, suites

NAMESPACE = "dualsys"


def gymnasium_id(task: str) -> str:
    """A task's name for gymnasium."""
    name = task.replace("/", "-")
    return f"{NAMESPACE}/{name}" if re.search(r"-v\d+$", name) else f"{NAMESPACE}/{name}-v0"


def make_task(task: str, *, render_mode: str | None = "rgb_array", **options: Any) -> Any:
    """A task with `dualsys.sim_envs.make`'s options; pictures are `rgb_array`, the one mode there is."""
    if render_mode not in (None, "rgb_array"):
        raise ConfigError(f"render_mode={render_mode!r}: {task} is drawn as 'rgb_array' alone")
    return make(task, **options)


def register_all() -> tuple[str, ...]:
    """Register every task that is installed and isn't yet; all their ids."""
    found: list[str] = []
    for suite in suites():
        with suppress(DualsysError):  # its extra is missing: `dualsys list` tells
            found += load_suite(suite).tasks()
    for task in found:
        if gymnasium_id(task) not in gymnasium.registry:
            gymnasium.register(gymnasium_id(task), f"{__name__}:make_task", kwargs={"task": task})
    return tuple(map(gymnasium_id, found))


register_all()
