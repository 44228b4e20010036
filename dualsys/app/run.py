"""`dualsys run`: drive one task live with both systems, with a table, a video and a log."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualsys import sim_envs
from dualsys.app.eyes import eyes_for
from dualsys.app.run_config import VIDEO_HZ
from dualsys.app.run_config import RunConfig as RunConfig
from dualsys.app.run_inline import run_inline
from dualsys.app.run_live import LiveTable, print_report
from dualsys.app.run_log import log_folder, merge_logs
from dualsys.app.run_video import film_poses
from dualsys.app.versions import result_versions
from dualsys.bridge.parts import PartConfig, build_actor, build_planner
from dualsys.bridge.processes import RunResult, run_processes
from dualsys.bridge.ray_cluster import require_listening
from dualsys.bridge.simulated_robot import require_control_rate
from dualsys.bridge.system import RealtimeConfig, SystemConfig
from dualsys.bridge.threads import run_threads
from dualsys.checkpoint import Checkpoint

_ENVIRONMENT = "dualsys.sim_envs:make"


def main(config: RunConfig) -> int:
    """Run, print, write. Returns the exit status."""
    report = run(config)
    print_report(report)
    if config.json is not None:
        config.json.parent.mkdir(parents=True, exist_ok=True)
        config.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def run(config: RunConfig) -> dict[str, Any]:
    """Run a task; returns the figures as they go into the JSON file.

    Raises:
        ConfigError: an unknown task, planner, actor or policy, or a rate that the task can't be run at.
        CheckpointError: the checkpoint is missing, damaged, or for another robot.
        BridgeError: shared memory, a process or Ray can't be set up.
    """
    if config.ray_address is not None and (config.mode, config.launcher) == ("processes", "ray"):
        require_listening(config.ray_address, without="--launcher subprocess")
    environment = make_environment(config)
    try:
        require_control_rate(environment, config.control_hz)
        checkpoint = Checkpoint.open(config.checkpoint, embodiment=environment.embodiment)
        header = {"config": config.plain(), "versions": result_versions()}
        if config.mode == "inline":
            with LiveTable(config.seconds) as table:
                report = run_inline(config, environment, checkpoint, header, table.show)
        else:
            report = _run_on_the_wall_clock(config, environment, checkpoint, header)
        return {**report, **header}
    finally:
        environment.close()


def make_environment(config: RunConfig) -> Any:
    """The task's environment. Raises `ConfigError` for an unknown task or a rate it can't be run at."""
    return sim_envs.make(**_environment_options(config))


def _environment_options(config: RunConfig) -> dict[str, Any]:
    return {
        "task": config.task,
        "seed": config.seed,
        "control_hz": config.control_hz,
        "images": "on-demand",
        "instruction": config.instruction,
        **eyes_for(config.task, Checkpoint.open(config.checkpoint).manifest.embodiment),
    }


def system_config(config: RunConfig, checkpoint: Checkpoint, *, log: Path | None) -> SystemConfig:
    """The configuration of all threads or processes of a run."""
    return SystemConfig(
        folder=Path("/"),
        environment=PartConfig(name=_ENVIRONMENT, options=_environment_options(config)),
        planner=PartConfig(name=config.planner, checkpoint=checkpoint.folder),
        actor=PartConfig(name=config.actor, checkpoint=checkpoint.folder),
        embodiment=checkpoint.manifest.embodiment,
        subgoal=checkpoint.manifest.subgoal,
        core=config.core,
        safety=config.safety,
        realtime=RealtimeConfig(priority=config.realtime_priority, cpu=config.realtime_cpu),
        seed=config.seed,
        seconds=config.seconds,
        control_hz=config.control_hz,
        planner_hz=config.planner_hz,
        camera_hz=config.camera_hz,
        state_hz=min(100.0, config.control_hz),
        video_hz=VIDEO_HZ if config.video is not None else 0.0,
        planner_standbys=config.planner_standbys,
        planner_hangs_after_s=config.planner_hang_s,
        log_folder=log,
    )


def _run_on_the_wall_clock(
    config: RunConfig, environment: Any, checkpoint: Checkpoint, header: Mapping[str, Any]
) -> dict[str, Any]:
    with log_folder(config.log) as folder:
        system = system_config(config, checkpoint, log=folder)
        with LiveTable(config.seconds) as table:
            result = _drive(config, system, table)
        if config.log is not None and folder is not None:
            merge_logs(folder, config.log, header)
    if config.video is not None:
        film_poses(environment, result, config.video, fps=VIDEO_HZ)
    return result.report


def _drive(config: RunConfig, system: SystemConfig, table: LiveTable) -> RunResult:
    if config.mode == "processes":
        return run_processes(
            system,
            run_id=f"run-{os.getpid()}",
            launcher=config.launcher,
            ray_address=config.ray_address,
            on_progress=table.show,
        )
    actor = build_actor(system.actor, system.embodiment, system.subgoal)
    planner = build_planner(system.planner, system.subgoal)
    return run_threads(system, planner, actor, on_progress=table.show)
