"""A video of a run, drawn afterwards from the poses that the tick remembered: it costs the run nothing."""

from pathlib import Path
from typing import Any

from rich.progress import track

from dualsys.app.film import VideoWriter
from dualsys.bridge.processes import RunResult


def film_poses(environment: Any, result: RunResult, path: Path, *, fps: int) -> None:
    """Draw every pose with the scene camera; the caption says what was asked and how the episode ended.

    Args:
        environment: A mirror of the robot's: the same task and instruction.
        result: The run.
        path: Video file.
        fps: Rate at which the poses were taken.
    """
    outcomes, episode = result.report["outcomes"], None
    with VideoWriter(path, fps=fps) as video:
        for index, pose in enumerate(track(result.poses, description=f"drawing {path.name}")):
            if pose.episode != episode:
                environment.reset(seed=pose.seed)
                episode = pose.episode
            environment.set_state(pose.physics)
            ending = "unfinished"
            if pose.episode < len(outcomes):
                ending = "success" if outcomes[pose.episode] else "failure"
            caption = f"{environment.instruction}   [episode {pose.episode + 1}: {ending}]"
            frame = environment.render()
            is_last = index + 1 == len(result.poses) or result.poses[index + 1].episode != pose.episode
            for _ in range(fps // 2 if is_last else 1):
                video.add(frame, caption)
