"""Videos of an evaluation's episodes."""

from pathlib import Path
from typing import Any

from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.episodes import make_episode_parts


def film(config: EvalConfig, report: dict[str, Any], *, label: str = "") -> dict[Path, str]:
    """Videos of some successes and the first failures, with what each shows.

    The episodes are run again, which gives the same bits; a policy of another program may do otherwise, which is then
    told.

    Args:
        config: The evaluation, with a folder for videos.
        report: What came of it.
        label: Of a point of a sweep, before what each shows.
    """
    from dualsys.app.film import film_episode

    assert config.video_dir is not None
    written = {}
    for task in report["tasks"]:
        environment, controller = make_episode_parts(config, task["task"])
        for success in (True, False):
            chosen = [episode for episode in task["per_episode"] if episode["success"] is success][: config.videos]
            for episode in chosen:
                path = config.video_dir / f"{film_name(task['task'], episode)}.mp4"
                shown = film_episode(environment, controller, episode["seed"], path, rules=config.rules())
                told = caption_of(episode)
                if shown.success is not success:
                    told += f". Filmed, it ended otherwise: {'success' if shown.success else 'failure'}"
                written[path] = f"{label}: {told}" if label else told
        controller.close()
        environment.close()
    return written


def caption_of(episode: dict[str, Any]) -> str:
    """What was to be done, and how long it took."""
    return f"{episode['instruction']} ({episode['duration_s']:.2f} s)"


def film_name(task: str, episode: dict[str, Any]) -> str:
    """Of an episode's video, without the ending."""
    return f"{task.replace('/', '-')}-{episode['seed']}-{'success' if episode['success'] else 'failure'}"
