"""Loops from a configuration and its boxes: the same for threads and for processes."""

import threading
from typing import Any

from dualsys.action_groups import ActionGroups
from dualsys.bridge.actor_loop import ActorLoop
from dualsys.bridge.box_file import Pause
from dualsys.bridge.boxes import (
    CHUNK,
    EPISODE,
    OFFERS,
    POSE,
    REQUEST,
    STATE,
    STOP,
    Boxes,
    LocalBoxes,
    camera_boxes,
    status_box,
    subgoal_box,
)
from dualsys.bridge.camera_loop import CameraLoop
from dualsys.bridge.planner_loop import PlannerLoop
from dualsys.bridge.reporter import Reporter
from dualsys.bridge.robot_publisher import TickBoxes
from dualsys.bridge.senses import Senses
from dualsys.bridge.simulated_robot import SimulatedRobot
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.tick_loop import TickLoop
from dualsys.chunk_policies import build_policy
from dualsys.clearance import clearance_of
from dualsys.clock import MonotonicClock
from dualsys.decision import DecisionCore
from dualsys.guidance import require_guidance
from dualsys.protocols import Actor, Planner
from dualsys.safety import SafetyGate
from dualsys.settings import StalenessConfig
from dualsys.tape import Tape
from dualsys.telemetry import RunLog

REHEARSAL_S = 0.2


def make_planner_loop(
    config: SystemConfig,
    boxes: Boxes,
    planner: Planner,
    *,
    log: RunLog | None = None,
    wait: Pause | None = None,
    max_failures: int | None = None,
) -> PlannerLoop:
    """The planner's loop; adopts the subgoal box, once it is free where there is an event to `wait` until."""
    clock = MonotonicClock()
    return PlannerLoop(
        planner,
        senses=make_senses(config, boxes),
        outbox=boxes.writer(subgoal_box(config), wait=wait),
        reporter=Reporter(boxes.writer(status_box("planner"), wait=wait), clock),
        clock=clock,
        hz=config.planner_hz,
        max_failures=max_failures,
        log=log,
    )


def make_actor_loop(config: SystemConfig, boxes: Boxes, actor: Actor, log: RunLog | None) -> ActorLoop:
    """The actor's loop; adopts the chunk box. Raises `SpecMismatch` where its rows or the chunk policy don't fit."""
    require_guidance(actor, build_policy(config.core.chunk_policy).guidance)
    ActionGroups(config.embodiment, config.core.velocity_decay_s).require_rows(actor.dt_s, whose="the actor")
    clock = MonotonicClock()
    return ActorLoop(
        actor,
        # The planner needs no such policy: its subgoals bear their images' age, and the tick judges that.
        senses=make_senses(config, boxes, image=config.image),
        requests=boxes.reader(REQUEST),
        subgoals=boxes.reader(subgoal_box(config)),
        outbox=boxes.writer(CHUNK),
        reporter=Reporter(boxes.writer(status_box("actor")), clock),
        clock=clock,
        log=log,
    )


def make_camera_loop(config: SystemConfig, boxes: Boxes, environment: Any) -> CameraLoop:
    """The cameras' loop; adopts the cameras' boxes."""
    clock, log = MonotonicClock(), None
    if config.log_folder is not None:
        start = boxes.reader(status_box("camera")).epoch + 1
        log = RunLog(config.log_folder / f"camera.{start}.jsonl", buffered_lines=1)
    return CameraLoop(
        environment,
        poses=boxes.reader(POSE),
        outboxes={name: boxes.writer(spec) for name, spec in camera_boxes(config).items()},
        reporter=Reporter(boxes.writer(status_box("camera")), clock),
        clock=clock,
        hz=config.camera_hz,
        log=log,
    )


def tick_boxes(config: SystemConfig, boxes: Boxes) -> TickBoxes:
    """The tick's ends of the boxes; adopts those it writes."""
    return TickBoxes(
        episode=boxes.writer(EPISODE),
        state=boxes.writer(STATE),
        pose=boxes.writer(POSE),
        request=boxes.writer(REQUEST),
        subgoal=boxes.reader(subgoal_box(config)),
        chunk=boxes.reader(CHUNK),
        offers={name: boxes.reader(spec) for name, spec in OFFERS.items()},
        stop=boxes.reader(STOP),
    )


def make_tick_loop(config: SystemConfig, boxes: Boxes, environment: Any, *, tape: Tape | None = None) -> TickLoop:
    """The tick's loop; adopts the boxes it writes.

    Raises `SpecMismatch` where the environment is another robot, `ConfigError` where it is asked for clearance that it
    doesn't know.
    """
    clock = MonotonicClock()
    robot = SimulatedRobot(environment, control_hz=config.control_hz)
    config.embodiment.require_same(robot.embodiment, ours="the run", theirs="the environment")
    near, period_s = clearance_of(environment, config.safety), 1.0 / config.control_hz
    return TickLoop(
        robot,
        DecisionCore(config.embodiment, config.core, build_policy(config.core.chunk_policy), tape),
        SafetyGate(config.embodiment, period_s, config.safety, near, tape),
        tick_boxes(config, boxes),
        clock,
        config,
        Reporter(boxes.writer(status_box("tick")), clock),
        tape,
    )


def rehearse(config: SystemConfig, environment: Any) -> None:
    """Tick for a moment with boxes nobody reads, so that the first real ticks find warm code and mapped pages."""
    short = config.model_copy(update={"seconds": REHEARSAL_S, "log_folder": None})
    loop = make_tick_loop(short, LocalBoxes(), environment)
    loop.prepare()
    loop.run(threading.Event())


def make_senses(config: SystemConfig, boxes: Boxes, *, image: StalenessConfig | None = None) -> Senses:
    """What puts the newest observation together; adopts nothing."""
    return Senses(
        episode=boxes.reader(EPISODE),
        state=boxes.reader(STATE),
        cameras={name: boxes.reader(spec) for name, spec in camera_boxes(config).items()},
        image=image,
    )
