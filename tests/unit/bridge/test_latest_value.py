"""`Mailbox`, both backends: what is written is what is read, newest wins, stamps and epochs are right."""

from pathlib import Path

import numpy as np
import pytest

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.scene import CameraFrame
from dualsys.bridge.wire import CameraCodec, StatusCodec
from dualsys.errors import BridgeError

Status = dict[str, object]


@pytest.fixture(params=["local", "shared"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Mailbox[Status], Mailbox[Status]]:
    """A writer's and a reader's end of one box."""
    if request.param == "local":
        box: Mailbox[Status] = Mailbox.local()
        return box, box
    path = tmp_path / "status.box"
    Mailbox.create(path, StatusCodec(), capacity=4096)
    return Mailbox.writer(path, StatusCodec()), Mailbox.reader(path, StatusCodec())


def test_an_empty_box_has_nothing(pair: tuple[Mailbox[Status], Mailbox[Status]]) -> None:
    _, reader = pair
    assert reader.read() is None
    assert reader.read_stamped() is None
    assert reader.peek() is None
    assert reader.last_sequence == -1


def test_the_newest_value_wins_with_its_stamps(pair: tuple[Mailbox[Status], Mailbox[Status]]) -> None:
    writer, reader = pair
    for sequence in range(10):
        writer.write(
            {"n": sequence}, sequence=sequence, observation_stamp_s=sequence / 10, time_to_live_s=sequence + 0.5
        )
    stamped = reader.read_stamped()
    assert stamped is not None
    stamps, value = stamped
    assert value == {"n": 9}
    assert (stamps.sequence, stamps.epoch, stamps.observation_stamp_s, stamps.time_to_live_s) == (9, 1, 0.9, 9.5)
    assert reader.peek() == stamps
    assert reader.read_stamped() is stamped or reader.read_stamped() == stamped


def test_a_sequence_only_goes_up(pair: tuple[Mailbox[Status], Mailbox[Status]]) -> None:
    writer, reader = pair
    writer.write({}, sequence=3, observation_stamp_s=0.0)
    for sequence in (3, 2):
        with pytest.raises(BridgeError, match="doesn't follow 3"):
            writer.write({}, sequence=sequence, observation_stamp_s=0.0)
    assert reader.last_sequence == 3


def test_the_heartbeat_is_infinite_before_the_first_sign_and_small_after(
    pair: tuple[Mailbox[Status], Mailbox[Status]],
) -> None:
    writer, reader = pair
    writer.beat()
    assert 0 <= reader.heartbeat_age_s() < 60


def test_a_box_without_a_writer_has_no_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / "status.box"
    Mailbox.create(path, StatusCodec(), capacity=64)
    reader = Mailbox.reader(path, StatusCodec())
    assert reader.heartbeat_age_s() == float("inf")
    assert reader.epoch == 0


def test_a_shared_image_survives_and_stays_when_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "camera.box"
    Mailbox.create(path, CameraCodec(), capacity=2**16)
    writer, reader = Mailbox.writer(path, CameraCodec()), Mailbox.reader(path, CameraCodec())
    first = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    writer.write(CameraFrame(stamp_s=1.0, episode=2, image=first), sequence=0, observation_stamp_s=1.0)
    read = reader.read()
    assert read is not None
    for sequence in range(1, 9):
        frame = CameraFrame(stamp_s=2.0, episode=2, image=np.zeros((32, 48, 3), dtype=np.uint8))
        writer.write(frame, sequence=sequence, observation_stamp_s=2.0)
    np.testing.assert_array_equal(read.image, first)
    assert (read.stamp_s, read.episode) == (1.0, 2)
    newest = reader.read()
    assert newest is not None
    assert not newest.image.any()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "status.box"
    Mailbox.create(path, StatusCodec(), capacity=64)
    with pytest.raises(BridgeError, match="opened for reading"):
        Mailbox.reader(path, StatusCodec()).write({}, sequence=0, observation_stamp_s=0.0)
