"""`dualsys run`: drive one task live with both systems, with a table, a video and a log."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dualsys import sim_envs
from dualsys.app.ctrl_c import first_press_noted
from dualsys.app.eyes import eyes_for
from dualsys.app.outputs import require_outputs
from dualsys.app.run_config import VIDEO_HZ
from dualsys.app.run_config import RunConfig as RunConfig
from dualsys.app.run_inline import run_inline
from dualsys.app.run_live import LiveTable, print_report
from dualsys.app.run_log import log_folder, merge_logs
from dualsys.app.run_parts import RunParts, parts_for
from dualsys.app.run_video import film_poses
from dualsys.app.this_machine import this_machine
from dualsys.app.trained_robots import trained_robots
from dualsys.app.versions import result_versions
from dualsys.bridge.parts import PartConfig, build_actor, build_planner
from dualsys.bridge.processes import RunResult, run_processes, sigterm_as_exit
from dualsys.bridge.progress import IsOver
from dualsys.bridge.ray_cluster import require_listening
from dualsys.bridge.run_folder import RunFolder
from dualsys.bridge.simulated_robot import require_control_rate
from dualsys.bridge.system import PlannerPlace, SystemConfig
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_reel import TapeReel
from dualsys.bridge.threads import run_threads
from dualsys.clearance import clearance_of
from dualsys.closing import Closing
from dualsys.errors import CannotWrite
from dualsys.files import write_json
from dualsys.tape import TapeHead

_LOGGER = logging.getLogger(__name__)

_ENVIRONMENT = "dualsys.sim_envs:make"
_TAPE_BYTES = 32 * 2**20
"""A minute and a half at 500 Hz: far more than the supervisor ever leaves in the ring."""


def main(config: RunConfig) -> int:
    """Run, print, write. Returns the exit status: 130 where Ctrl-C ended the run, 1 where not all could be written."""
    report = run(config)
    print_report(report)
    if config.json is not None:
        write_json(config.json, report)
    return 130 if report["interrupted"] else 1 if report["not_written"] else 0


def run(config: RunConfig) -> dict[str, Any]:
    """Run a task; returns the figures as they go into the JSON file. Ctrl-C ends it early, with the figures until then.

    Raises:
        ConfigError: an unknown task, planner, actor or policy, a rate that the task can't be run at, or an output that
            can't be written.
        CheckpointError: the checkpoint is missing, damaged, or for another robot.
        PolicyError: nobody answers at the policy's address.
        BridgeError: shared memory, a process or Ray can't be set up.
    """
    if config.ray_address is not None and (config.mode, config.launcher) == ("processes", "ray"):
        require_listening(config.ray_address, without="--launcher subprocess")
    environment = make_environment(config)
    try:
        require_control_rate(environment, config.control_hz)
        clearance_of(environment, config.safety)  # refused here, before anything is started
        parts = parts_for(config, environment)
        require_outputs(
            {"--video": config.video, "--log": config.log, "--record": config.record, "--json": config.json},
            folders={"--flight-recorder": config.flight_recorder},
        )
        header = {"config": config.plain(), "versions": result_versions()}
        if config.mode == "inline":
            head = system_config(config, parts, log=None).tape_head()
            with (
                LiveTable(config.seconds) as table,
                tape_deck(config, head, header) as deck,
                first_press_noted() as is_over,
            ):
                report = run_inline(config, environment, parts, header, table.show, deck, is_over)
                report |= {"interrupted": is_over(), "not_written": []}
        else:
            report = _run_on_the_wall_clock(config, environment, parts, header)
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
        **eyes_for(config.task, *trained_robots(config.policy, config.checkpoint)),
    }


def system_config(config: RunConfig, parts: RunParts, *, log: Path | None) -> SystemConfig:
    """The configuration of all threads or processes of a run."""
    return SystemConfig(
        tape_bytes=_TAPE_BYTES if config.record is not None or config.flight_recorder is not None else 0,
        environment=PartConfig(name=_ENVIRONMENT, options=_environment_options(config)),
        planner=parts.planner,
        planner_place=_planner_place(config),
        actor=parts.actor,
        embodiment=parts.embodiment,
        subgoal=parts.subgoal,
        core=config.decided_core(),
        safety=config.safety,
        realtime=config.realtime,
        seed=config.seed,
        seconds=config.seconds,
        control_hz=config.control_hz,
        planner_hz=config.planner_hz,
        camera_hz=config.camera_hz,
        state_hz=min(100.0, config.control_hz),
        video_hz=VIDEO_HZ if config.video is not None else 0.0,
        planner_standbys=config.planner_standbys,
        planner_life=config.planner_life,
        image=config.image,
        ready_within_s=config.supervision.ready_within_s,
        hangs_after_s=config.supervision.hangs_after_s,
        max_failed_starts=config.supervision.max_failed_starts,
        ray_head_gone_after_s=config.supervision.ray_head_gone_after_s,
        log_folder=log,
    )


def _planner_place(config: RunConfig) -> PlannerPlace | None:
    if not config.planner_node and not config.planner_server:
        return None
    assert config.ray_address is not None
    return PlannerPlace(
        ray_address=config.ray_address, server=config.planner_server, node=config.planner_node, robot=config.robot
    )


def _run_on_the_wall_clock(
    config: RunConfig, environment: Any, parts: RunParts, header: Mapping[str, Any]
) -> dict[str, Any]:
    with log_folder(config.log) as folder:
        system = system_config(config, parts, log=folder)
        with (
            LiveTable(config.seconds) as table,
            tape_deck(config, system.tape_head(), header) as deck,
            first_press_noted() as is_over,
        ):
            result = _drive(config, system, table, deck, is_over)
            result.report["interrupted"] = is_over()
        not_written = []
        if config.log is not None and folder is not None:
            measured_on = {**header, "machine": this_machine()}
            not_written += _said(config.log, partial(merge_logs, folder, header=measured_on))
    if config.video is not None:
        not_written += _said(config.video, partial(film_poses, environment, result, fps=VIDEO_HZ))
    return {**result.report, "not_written": not_written}


def _said(path: Path, write: Callable[[Path], None]) -> list[str]:
    """Write a file of a run that is over: what keeps it from being written must not cost the run's figures."""
    try:
        write(path)
    except (CannotWrite, OSError) as error:
        said = f"{path} could not be written: {error}"
        _LOGGER.warning(said)
        return [said]
    return []


@contextmanager
def tape_deck(config: RunConfig, head: TapeHead, header: Mapping[str, Any]) -> Iterator[TapeDeck | None]:
    """What records a run, None where nothing does. Raises `TapeError` where the tape can't be written."""
    if config.record is None and config.flight_recorder is None:
        yield None
        return
    told = head.model_copy(update={"config": dict(header["config"]), "versions": dict(header["versions"])})
    with TapeDeck(told, record=_reel(config, told), flights=config.flight_recorder) as deck:
        yield deck


def _reel(config: RunConfig, head: TapeHead) -> TapeReel | None:
    if config.record is None:
        return None
    config.record.parent.mkdir(parents=True, exist_ok=True)
    return TapeReel(config.record, head, part_bytes=round(config.record_part_mb * 2**20), keep=config.record_keep)


def _drive(
    config: RunConfig, system: SystemConfig, table: LiveTable, deck: TapeDeck | None, is_over: IsOver
) -> RunResult:
    run_id = f"run-{os.getpid()}"
    if config.mode == "processes":
        table.say(f"{run_id} in {RunFolder(run_id).path}; from another terminal: dualsys stop {run_id}")
        return run_processes(
            system,
            run_id=run_id,
            launcher=config.launcher,
            ray_address=config.ray_address,
            on_progress=table.show,
            deck=deck,
            is_over=is_over,
        )
    with sigterm_as_exit(), ExitStack() as stack:
        actor = build_actor(system.actor, system.embodiment, system.subgoal)
        if isinstance(actor, Closing):
            stack.callback(actor.close)
        planner = build_planner(system.planner, system.subgoal)
        if deck is not None:
            system = system.model_copy(update={"folder": stack.enter_context(RunFolder(run_id)).path})
        return run_threads(system, planner, actor, on_progress=table.show, deck=deck, is_over=is_over)
