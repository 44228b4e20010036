"""Rows of chunks that a frozen world is to execute and nobody has: told before other points of a sweep are played."""

from collections.abc import Sequence

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import make_episode_parts


def require_rows(configs: Sequence[EvalConfig], tasks: Sequence[Sequence[str]]) -> None:
    """Raise `ConfigError` where a frozen world asks for more rows than chunks have, or than may get so old.

    How long chunks are says only the controller, which is therefore made once. The first evaluation's is made at once
    anyway; of several frozen worlds the one that executes most is asked for.

    Args:
        configs: The evaluations.
        tasks: Of each.
    """
    later = [index for index, config in enumerate(configs) if index > 0 and config.world == "frozen"]
    if not later:
        return
    most = max(later, key=lambda index: configs[index].execution_horizon or 0)
    environment, controller = make_episode_parts(configs[most], tasks[most][0])
    controller.close()
    environment.close()
