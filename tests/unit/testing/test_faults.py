"""The kit of faults: each does what its name says, to real files, processes and boxes where it is about those."""

import errno
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.bridge.latest_value import Mailbox
from dualsys.clock import SimulatedClock
from dualsys.errors import ConfigError, NotConforming
from dualsys.messages import Command, Observation
from dualsys.protocols import Clock, Robot
from dualsys.testing import ROBOT_FAULTS, IdealRobot, check_robot, check_robot_under_faults, fake_embodiment
from dualsys.testing.faults import (
    ClockJump,
    Delayed,
    Dropped,
    Duplicated,
    FaultyRobot,
    FrozenCamera,
    FullFile,
    InjectedError,
    JumpingClock,
    LostLink,
    Reordered,
    SpoiledState,
    StreamFault,
    file_size_limit,
    kill,
    slowed,
    stopped,
)

ARM = fake_embodiment(2, cameras=True)


def observation(number: int) -> Observation:
    """One whose stamp, state and picture all say which it is."""
    return Observation(
        stamp_s=float(number),
        state=np.full(2, float(number)),
        images={"head": np.full((4, 6, 3), number % 256, dtype=np.uint8)},
        image_stamps_s={"head": float(number)},
    )


def passed(fault: StreamFault, *, healthy: int = 2, faulty: int = 6) -> list[int]:
    """Numbers that come of 1, 2, 3 ... while the fault is active, after a few before."""
    for number in range(1 - healthy, 1):
        fault(observation(number), active=False)
    return [int(fault(observation(number), active=True).stamp_s) for number in range(1, faulty + 1)]


@pytest.mark.parametrize(
    ("fault", "numbers"),
    [
        (Dropped(), [0, 0, 0, 0, 0, 0]),
        (Delayed(2), [-1, 0, 1, 2, 3, 4]),
        (Reordered(), [-1, 2, 1, 4, 3, 6]),
        (Duplicated(), [0, 2, 2, 4, 4, 6]),
        (ClockJump(5.0), [6, 7, 8, 9, 10, 11]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_comes_of_a_stream(fault: StreamFault, numbers: list[int]) -> None:
    assert passed(fault) == numbers
    assert fault(observation(50), active=False).stamp_s == 50.0


def test_a_frozen_camera_shows_the_old_picture_under_its_old_stamp() -> None:
    fault = FrozenCamera()
    fault(observation(1), active=False)
    after = fault(observation(9), active=True)
    assert (after.stamp_s, after.state[0]) == (9.0, 9.0)
    assert (after.images["head"][0, 0, 0], after.image_stamps_s["head"], after.oldest_stamp_s) == (1, 1.0, 1.0)
    assert FrozenCamera("wrist")(observation(9), active=True).images["head"][0, 0, 0] == 9


@pytest.mark.parametrize(
    ("how", "is_so"),
    [
        ("nan", lambda state: np.isnan(state).any()),
        ("infinite", lambda state: np.isinf(state).any()),
        ("shape", lambda state: state.shape == (3,)),
        ("dtype", lambda state: state.dtype.kind == "U"),
    ],
)
def test_a_spoiled_state_is_a_copy(how: Any, is_so: Any) -> None:
    before = observation(1)
    assert is_so(SpoiledState(how)(before, active=True).state)
    assert np.array_equal(before.state, [1.0, 1.0])


def test_faults_compose_and_end() -> None:
    clock = SimulatedClock()
    robot = FaultyRobot(IdealRobot(ARM, clock), [Dropped(), ClockJump(1.0)])
    check_robot(FaultyRobot(IdealRobot(ARM, clock), [Dropped()]))
    robot.observe()
    clock.sleep_until_s(3.0)
    robot.active = True
    assert robot.observe().stamp_s == 1.0
    robot.active = False
    assert robot.observe().stamp_s == 3.0


def test_a_cut_robot_raises_until_it_is_mended() -> None:
    robot = FaultyRobot(IdealRobot(ARM, SimulatedClock()), link=False)
    robot.active = True
    with pytest.raises(InjectedError, match="link"):
        robot.observe()
    robot.active = False
    robot.command(Command(target=np.zeros(2), stamp_s=0.0, source="hold"))


def test_a_clock_jumps_and_sleeps_by_what_it_shows() -> None:
    inner = SimulatedClock(10.0)
    clock = JumpingClock(inner)
    clock.jump(2.0)
    assert clock.now_s() == 12.0
    clock.sleep_until_s(13.0)
    assert inner.now_s() == 11.0
    clock.jump(-5.0)
    assert clock.now_s() == 8.0


def test_through_a_cut_link_nothing_new_comes() -> None:
    box: Mailbox[str] = Mailbox.local()
    link = LostLink(box)
    box.write("before", sequence=1, observation_stamp_s=0.0)
    link.cut()
    box.write("meanwhile", sequence=2, observation_stamp_s=0.0)
    assert (link.read(), link.peek().sequence) == ("before", 1)
    link.mend()
    assert (link.read(), link.peek().sequence) == ("meanwhile", 2)


def test_a_full_file_takes_what_fits_and_no_part_of_the_rest(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        full: Any = FullFile(file, room=10)
        full.write(b"12345678")
        with pytest.raises(OSError, match="No space left") as raised:
            full.write(b"9012")
        assert raised.value.errno == errno.ENOSPC
        full.room = 4
        full.write(b"9012")
        full.flush()
    assert (tmp_path / "log").read_bytes() == b"123456789012"


def test_a_bound_on_files_ends_with_its_block(tmp_path: Path) -> None:
    with file_size_limit(100), (tmp_path / "bounded").open("wb", buffering=0) as file:
        file.write(bytes(100))
        with pytest.raises(OSError, match="File too large"):
            file.write(bytes(1))
    (tmp_path / "free").write_bytes(bytes(200))


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def used_s(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until_state(pid: int, *wanted: str) -> None:
    for _ in range(1000):
        if state(pid) in wanted:
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} is {state(pid)}, none of {wanted}")


def test_a_stopped_process_stands_and_then_goes_on(worker: "subprocess.Popen[bytes]") -> None:
    with stopped(worker.pid):
        until_state(worker.pid, "T")
        before_s = used_s(worker.pid)
        time.sleep(0.2)
        assert used_s(worker.pid) == before_s
    until_state(worker.pid, "R")


def test_a_slowed_process_stands_most_of_the_time_and_is_left_running(worker: "subprocess.Popen[bytes]") -> None:
    looks = []
    with slowed(worker.pid, 0.2):
        for _ in range(200):
            looks.append(state(worker.pid))
            time.sleep(0.003)
    assert looks.count("T") > len(looks) / 2
    assert "R" in looks
    until_state(worker.pid, "R")
    with pytest.raises(ValueError, match="between 0"), slowed(worker.pid, 1.0):
        pass


def test_a_killed_process_is_gone_and_slowing_it_hurts_nobody(worker: "subprocess.Popen[bytes]") -> None:
    with slowed(worker.pid, 0.5):
        kill(worker.pid)
        assert worker.wait(10) == -9


def ideal(clock: Clock) -> Robot:
    return IdealRobot(ARM, clock)


def test_the_tick_bears_all_faults_of_a_robot() -> None:
    counted = check_robot_under_faults(ideal)
    assert tuple(counted) == ROBOT_FAULTS
    assert counted["nan"]["observations_refused"] == 75
    assert counted["lost-link"]["faults"] == 2 * 75
    assert counted["duplicated"]["held_ticks"] == 0
    assert counted["dropped"]["held_ticks"] > 0


def test_a_robot_without_cameras_has_none_that_freezes() -> None:
    def blind(clock: Clock) -> Robot:
        return IdealRobot(fake_embodiment(2), clock)

    assert check_robot_under_faults(blind, faults=["frozen-camera"]) == {}


def test_an_unknown_fault_is_named_with_the_closest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dropped'"):
        check_robot_under_faults(ideal, faults=["droped"])  # type: ignore[list-item]


def test_one_name_is_no_list_of_names() -> None:
    with pytest.raises(ConfigError, match="list of names"):
        check_robot_under_faults(ideal, faults="dropped")  # type: ignore[arg-type]


class Blank(IdealRobot):
    """An adapter that forgets its images."""

    def observe(self) -> Observation:
        """Without them."""
        return replace(super().observe(), images={})


def test_a_robot_that_does_not_conform_is_refused_in_words() -> None:
    with pytest.raises(NotConforming, match="observe"):
        check_robot_under_faults(lambda clock: Blank(ARM, clock), faults=["dropped"])


class Stuck(IdealRobot):
    """An adapter that stamps everything with the time at which it was made."""

    def observe(self) -> Observation:
        """Always as old as the robot."""
        seen = super().observe()
        return Observation(stamp_s=0.0, state=seen.state, images=seen.images)


class Ahead(IdealRobot):
    """An adapter whose cameras' clock is ahead, and which loses a state now and then."""

    looks = 0

    def observe(self) -> Observation:
        """With images from the future."""
        seen, self.looks = super().observe(), self.looks + 1
        state = seen.state if self.looks % 20 else np.full_like(seen.state, np.nan)
        return Observation(
            stamp_s=seen.stamp_s, state=state, images=seen.images, image_stamps_s={"head": seen.stamp_s + 5.0}
        )


def test_of_a_frozen_camera_the_images_own_age_has_to_tell() -> None:
    counted = check_robot_under_faults(ideal, faults=["frozen-camera"])["frozen-camera"]
    assert counted["old_images"] > 0
    with pytest.raises(NotConforming, match="'frozen-camera': nothing of it is to be seen"):
        check_robot_under_faults(lambda clock: Ahead(ARM, clock), faults=["frozen-camera"])


class Deaf(IdealRobot):
    """An adapter that never gets over a command that failed."""

    def command(self, command: Command) -> None:
        """Takes a second, and is gone."""
        if command.stamp_s > 1.0:
            raise ConnectionError("gone")


def test_adapters_that_do_not_bear_it_are_named() -> None:
    with pytest.raises(NotConforming, match=r"fake under 'dropped': .* it was expired, held"):
        check_robot_under_faults(lambda clock: Stuck(ARM, clock), faults=["dropped"])


def test_faults_of_the_adapter_itself_are_counted() -> None:
    counted = check_robot_under_faults(lambda clock: Deaf(ARM, clock), faults=["duplicated"])
    assert counted["duplicated"]["faults"] > 0
