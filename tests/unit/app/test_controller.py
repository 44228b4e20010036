import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

import dualsys
from dualsys.bridge.parts import PartConfig, build_planner
from dualsys.embodiment import CameraSpec, SubgoalSpec
from dualsys.errors import CheckpointError, ConfigError, InvalidObservation, SpecMismatch
from dualsys.settings import SafetyConfig, TimingConfig
from dualsys.testing import KnownPlanner, PoseActor, fake_embodiment
from tests.integration import bridge_parts

ARM = fake_embodiment(3, cameras=True)
SPEC = SubgoalSpec(num_tokens=2, dim=4)
POSE = np.array([0.3, -0.2, 0.1])


def make_controller(log: Path | None = None) -> dualsys.Controller:
    return dualsys.Controller(KnownPlanner(SPEC), PoseActor(ARM, SPEC, POSE), log=log)


def drive(controller: dualsys.Controller, seconds: float = 2.0) -> list[dualsys.Command]:
    """Let a robot that is at once where it is commanded run from zero."""
    commands = []
    state = np.zeros(3)
    images = {"head": np.zeros((4, 6, 3), dtype=np.uint8)}
    for tick in range(round(seconds * 50)):
        commands.append(controller.step(dualsys.Observation(stamp_s=tick * 0.02, state=state, images=images)))
        state = commands[-1].target
    return commands


def test_it_goes_where_the_actor_says_within_the_limits() -> None:
    with make_controller() as controller:
        commands = drive(controller)
    assert np.allclose(commands[-1].target, POSE, atol=1e-3)
    assert commands[-1].subgoal_sequence >= 8
    targets = np.array([command.target for command in commands])
    assert np.abs(np.diff(targets, axis=0)).max() <= 2 * 0.02 + 1e-9


def test_reset_begins_the_same_episode_again() -> None:
    controller = make_controller()
    first = drive(controller)
    controller.reset()
    again = drive(controller)
    assert [c.target.tobytes() for c in first] == [c.target.tobytes() for c in again]


def test_the_log_has_a_line_for_every_command(tmp_path: Path) -> None:
    with make_controller(tmp_path / "run.jsonl") as controller:
        commands = drive(controller, 0.5)
        controller.close()
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert sum(line["kind"] == "command" for line in lines) == len(commands)


def test_a_stop_is_latched_over_episodes_and_a_reset_starts_from_where_the_robot_is(tmp_path: Path) -> None:
    controller = make_controller(tmp_path / "run.jsonl")
    with pytest.raises(ConfigError, match="before the first step"):
        controller.reset_stop()
    drive(controller, 0.3)
    controller.stop("somebody walked in")
    stopped = drive(controller, 0.6)
    assert {command.source for command in stopped} == {"stop"}
    assert all(np.array_equal(command.target, stopped[-1].target) for command in stopped[15:])
    controller.reset()
    again = drive(controller, 0.3)
    assert {command.source for command in again} == {"stop"}, "a new episode does not reset it"
    controller.reset_stop()
    moving = drive(controller, 2.0)
    assert np.abs(moving[0].target - again[-1].target).max() <= 20 * 0.02**2 + 1e-9, "without a bump"
    assert np.allclose(moving[-1].target, POSE, atol=1e-3)
    controller.reset_stop()
    assert drive(controller, 0.1)[-1].source != "stop"
    controller.close()
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert (kinds.count("stop"), kinds.count("stop_reset")) == (1, 1)


def test_a_person_may_take_over_and_give_back() -> None:
    with make_controller() as controller:
        drive(controller, 1.0)
        controller.offer(np.full(3, -0.5))
        assert {command.source for command in drive_on(controller, 1.0, 0.4)} == {"teleoperation"}
        controller.release()
        commands = drive_on(controller, 1.4, 2.0)
    assert "teleoperation" not in {command.source for command in commands}
    assert commands[-1].source == "actor"
    assert np.allclose(commands[-1].target, POSE, atol=1e-3)


def drive_on(controller: dualsys.Controller, begin_s: float, seconds: float) -> list[dualsys.Command]:
    """The same from a later time on, from zero."""
    images = {"head": np.zeros((4, 6, 3), dtype=np.uint8)}
    stamps = [begin_s + tick * 0.02 for tick in range(round(seconds * 50))]
    state, commands = np.zeros(3), []
    for stamp_s in stamps:
        commands.append(controller.step(dualsys.Observation(stamp_s=stamp_s, state=state, images=images)))
        state = commands[-1].target
    return commands


def test_to_keep_clear_both_the_distance_and_who_tells_it_are_needed() -> None:
    with pytest.raises(ConfigError, match=r"with both: safety\.clearance_m"):
        dualsys.Controller(None, PoseActor(ARM, SPEC, POSE), safety=SafetyConfig(clearance_m=0.02))


GOOD = ARM.fake_observation(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (replace(GOOD, state=np.array([0.0, np.nan, 0.0])), r"state is not finite at \['joint1'\]"),
        (replace(GOOD, state=np.zeros(4)), r"state has shape \(4,\), expected \(3,\)"),
        (replace(GOOD, images={}), "no image from camera 'head'"),
        (replace(GOOD, stamp_s=np.inf), "the stamp of the state is inf; give the seconds"),
        (replace(GOOD, image_stamps_s={"head": np.nan}), "the stamp of head is nan"),
        (
            replace(GOOD, images={"head": np.zeros((6, 4, 3), np.uint8)}),
            r"camera 'head' gave uint8 \(6, 4, 3\), expected",
        ),
        (replace(GOOD, images={"head": np.zeros((4, 6, 3), np.float32)}), "camera 'head' gave float32"),
        (
            replace(GOOD, images=MappingProxyType({"head": np.zeros((30, 200, 3), np.float32)})),
            r"camera 'head' gave float32 \(30, 200, 3\)",
        ),
    ],
)
def test_a_wrong_observation_is_refused(observation: dualsys.Observation, message: str) -> None:
    with pytest.raises(InvalidObservation, match=message):
        make_controller().step(observation)


def test_a_planner_and_an_actor_of_different_specs_are_refused() -> None:
    other = SubgoalSpec(num_tokens=2, dim=5)
    with pytest.raises(SpecMismatch, match=r"the planner gives subgoals of .*dim=4.*, the actor takes .*dim=5"):
        dualsys.Controller(KnownPlanner(SPEC), PoseActor(ARM, other, POSE))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", ARM)


def test_a_checkpoint_drives(checkpoint: Path) -> None:
    with dualsys.Controller.from_checkpoint(checkpoint, timing=TimingConfig(planner_latency_s=0.1)) as controller:
        commands = drive(controller, 0.6)
    assert commands[-1].source == "actor"
    assert commands[-1].subgoal_sequence >= 0


def test_its_planner_and_actor_can_be_swapped_by_name(checkpoint: Path) -> None:
    controller = dualsys.Controller.from_checkpoint(checkpoint, planner="null", actor="hold")
    assert all(np.array_equal(command.target, np.zeros(3)) for command in drive(controller, 0.6))
    with pytest.raises(ConfigError, match=r"unknown planner 'nul'\. Did you mean 'null'"):
        dualsys.Controller.from_checkpoint(checkpoint, planner="nul")


def test_a_part_of_ones_own_needs_no_checkpoint(checkpoint: Path) -> None:
    part = PartConfig(name="tests.integration.bridge_parts:planner", checkpoint=checkpoint)
    planner = build_planner(part, bridge_parts.SPEC)
    assert planner.subgoal_spec == bridge_parts.SPEC


def test_a_checkpoint_of_another_robot_is_refused(checkpoint: Path) -> None:
    other = ARM.model_copy(update={"cameras": (CameraSpec(name="wrist", height=4, width=6),)})
    with pytest.raises(
        CheckpointError, match=r"checkpoint 'tiny' is for embodiment 'fake' .*head 6x4.*wrist 6x4.*differ in cameras"
    ):
        dualsys.Controller.from_checkpoint(checkpoint, embodiment=other)


def test_an_unknown_checkpoint_is_refused() -> None:
    with pytest.raises(CheckpointError, match="unknown checkpoint 'humanoid-tabel'"):
        dualsys.Controller.from_checkpoint("humanoid-tabel")


@pytest.mark.parametrize(("told", "expected"), [(None, 1), ("2", 2)])
def test_torch_gets_one_thread_unless_told_otherwise(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, expected: int
) -> None:
    import torch

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        dualsys.Controller.from_checkpoint(checkpoint)
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_an_object_is_no_name_of_a_part() -> None:
    with pytest.raises(ConfigError, match=r"KnownPlanner is no name .*PartConfig; .* Controller\(planner, actor"):
        dualsys.Controller.from_checkpoint("humanoid-table", planner=KnownPlanner(SPEC))  # type: ignore[arg-type]
