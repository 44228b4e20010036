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
                path = config.video_dir / f"{film_name(task['task'], episode)}.mp4"
                film_episode(environment, controller, episode["seed"], path, rules=config.rules())
                written.append(path)
        controller.close()
        environment.close()
    return written


def film_name(task: str, episode: dict[str, Any]) -> str:
    """Of an episode's video, without the ending."""
    return f"{task.replace('/', '-')}-{episode['seed']}-{'success' if episode['success'] else 'failure'}"
