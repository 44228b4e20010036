"""Videos of an evaluation's episodes."""

from pathlib import Path
from typing import Any

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import make_episode_parts


def film(config: EvalConfig, report: dict[str, Any]) -> list[Path]:
    """Videos of some successes and the first failures: the episodes are run again, which gives the same bits."""
    from dualsys.app.film import film_episode

    assert config.video_dir is not None
    written = []
    for task in report["tasks"]:
        environment, controller = make_episode_parts(config, task["task"])
        for success in (True, False):
            chosen = [episode for episode in task["per_episode"] if episode["success"] is success][: config.videos]
            for episode in chosen:
                name = f"{task['task'].replace('/', '-')}-{episode['seed']}-{'success' if success else 'failure'}.mp4"
                path = config.video_dir / name
                film_episode(environment, controller, episode["seed"], path, rules=config.rules())
                written.append(path)
        controller.close()
        environment.close()
    return written
