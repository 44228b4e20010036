"""Mailboxes in a Ray actor, on a real cluster with real deaths: newest wins, epochs and sequences only go up."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from dualsys.bridge import Mailbox
from dualsys.bridge.box_line import NAMESPACE, actor_name
from dualsys.bridge.box_server import LEASE_S
from dualsys.bridge.ray_cluster import start_ray
from dualsys.bridge.ray_mailbox import RayBox, ray_reader, ray_writer
from dualsys.errors import BridgeError
from dualsys.messages import TokenArray
from dualsys.testing.faults import kill, stopped
from tests.integration.ray_box_parts import CODEC, Reading, Writing, tokens

ROOT = Path(__file__).parents[2]
BOX = "subgoal"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One cluster for this module; no test before or after may find another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        module = start_ray(None, num_cpus=2, without="a mailbox in shared memory")
        yield module
        module.shutdown()


@pytest.fixture
def box(ray: Any) -> Iterator[RayBox]:
    with RayBox(BOX, capacity=2**22) as made:
        yield made


@pytest.fixture
def reader(box: RayBox) -> Iterator[Mailbox[TokenArray]]:
    end = ray_reader(BOX, CODEC)
    yield end
    end.close()


def remote(ray: Any, part: type) -> Any:
    return ray.remote(part).options(num_cpus=0, max_concurrency=2).remote(BOX)


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "it never came"
        time.sleep(0.005)


def test_the_newest_comes_to_every_process_with_its_stamps(ray: Any, reader: Mailbox[TokenArray]) -> None:
    assert (reader.read(), reader.peek(), reader.epoch, reader.living_writer()) == (None, None, 0, None)
    assert reader.heartbeat_age_s() == float("inf")
    writer, elsewhere = remote(ray, Writing), remote(ray, Reading)
    ray.get(elsewhere.ready.remote())
    following = elsewhere.follow.remote(199)
    assert ray.get(writer.write.remote(200, period_s=0.002)) == 199
    until(lambda: reader.last_sequence == 199)
    stamped = reader.read_stamped()
    assert stamped is not None
    assert (stamped[0].sequence, stamped[0].epoch) == (199, 1)
    assert (stamped[0].observation_stamp_s, stamped[0].time_to_live_s) == (199 / 8, 9.0)
    assert reader.read_stamped() is stamped
    np.testing.assert_array_equal(stamped[1], tokens(199))
    assert reader.living_writer() == ray.get(writer.state.remote())[0]
    sequences = [stamps.sequence for stamps in ray.get(following)]
    assert sequences == sorted(set(sequences))
    assert len(sequences) > 5


def test_a_read_never_waits_though_values_are_large(ray: Any, reader: Mailbox[TokenArray]) -> None:
    writer = remote(ray, Writing)
    ray.get(writer.state.remote())
    writing = writer.write.remote(20, size=2**13, period_s=0.02)
    reads_s, calls_s = [], []
    while reader.last_sequence < 19:
        begin_s = time.perf_counter()
        reader.read()
        reads_s.append(time.perf_counter() - begin_s)
        time.sleep(0.001)
    ray.get(writing)
    for _ in range(20):
        begin_s = time.perf_counter()
        ray.get(writer.state.remote())
        calls_s.append(time.perf_counter() - begin_s)
    assert median(reads_s) < median(calls_s) / 10


def test_a_killed_writer_is_followed_when_its_lease_is_over_and_its_value_stands(
    ray: Any, reader: Mailbox[TokenArray]
) -> None:
    first = remote(ray, Writing)
    pid, epoch, _ = ray.get(first.state.remote())
    last = ray.get(first.write.remote(30))
    until(lambda: reader.last_sequence == last)
    kill(pid)
    killed_s = time.monotonic()
    with pytest.raises(BridgeError, match=rf"writer \(process {pid}\) is alive"):
        ray_writer(BOX, CODEC)
    second = remote(ray, Writing)  # waits
    value = reader.read()
    assert value is not None
    np.testing.assert_array_equal(value, tokens(last))
    assert ray.get(second.state.remote())[1:] == (epoch + 1, last)
    assert time.monotonic() - killed_s > LEASE_S / 2
    until(lambda: reader.epoch == epoch + 1)
    assert reader.last_sequence == last
    ray.get(second.write.remote(1))
    until(lambda: reader.last_sequence == last + 1)
    stamps = reader.peek()
    assert stamps is not None
    assert stamps.epoch == epoch + 1


def test_a_stopped_writer_ages_is_followed_and_refused_when_it_comes_back(
    ray: Any, reader: Mailbox[TokenArray]
) -> None:
    first = remote(ray, Writing)
    pid, _, _ = ray.get(first.state.remote())
    last = ray.get(first.write.remote(3))
    until(lambda: reader.last_sequence == last)
    with stopped(pid):
        before_s = reader.heartbeat_age_s()
        until(lambda: reader.heartbeat_age_s() > before_s + 0.5)
        until(lambda: reader.living_writer() is None)
        second = ray_writer(BOX, CODEC, wait=threading.Event())
    assert (second.epoch, second.last_sequence, second.living_writer()) == (2, last, os.getpid())
    second.write(tokens(last + 7), sequence=last + 7, observation_stamp_s=0.0)
    until(lambda: reader.last_sequence == last + 7)
    with pytest.raises(ray.exceptions.RayTaskError, match=r"another writer has followed \(epoch 2, this one's was 1\)"):
        ray.get(first.write.remote(300, period_s=0.01))
    assert reader.last_sequence == last + 7
    second.close()


def test_an_actor_that_died_learns_anew_what_the_others_know(ray: Any, reader: Mailbox[TokenArray]) -> None:
    writer = remote(ray, Writing)
    for _ in range(2):
        ray.get(writer.close.remote())
        writer = remote(ray, Writing)
        last = ray.get(writer.write.remote(5))
    until(lambda: reader.last_sequence == last)
    assert (reader.epoch, last) == (3, 9)
    epoch = reader.epoch
    ray.kill(ray.get_actor(actor_name(BOX), namespace=NAMESPACE), no_restart=False)
    value = reader.read()
    assert value is not None
    np.testing.assert_array_equal(value, tokens(last))
    late: list[Mailbox[TokenArray]] = []

    def join() -> bool:
        try:
            late.append(ray_reader(BOX, CODEC))
        except BridgeError:  # it is being started
            return False
        return True

    until(join)
    until(lambda: late[0].last_sequence == last)
    assert late[0].epoch == epoch
    ray.get(writer.write.remote(1))
    for end in (reader, late[0]):
        until(lambda end=end: end.last_sequence == last + 1)  # type: ignore[misc]
        assert end.epoch == epoch
    ray.get(writer.close.remote())
    third = ray_writer(BOX, CODEC, wait=threading.Event())
    assert (third.epoch, third.last_sequence) == (epoch + 1, last + 1)
    third.close()
    late[0].close()


def test_what_is_refused_is_refused_with_its_reason(ray: Any, box: RayBox, reader: Mailbox[TokenArray]) -> None:
    with pytest.raises(BridgeError, match="'subgoal' exists"):
        RayBox(BOX, capacity=64)
    for end in (ray_reader, ray_writer):
        with pytest.raises(BridgeError, match="no Ray box 'nowhere': make one with RayBox"):
            end("nowhere", CODEC)
    with pytest.raises(BridgeError, match="opened for reading"):
        reader.write(tokens(0), sequence=0, observation_stamp_s=0.0)
    with pytest.raises(BridgeError, match="opened for reading"):
        reader.beat()
    writer = ray_writer(BOX, CODEC)
    with pytest.raises(BridgeError, match=rf"process {os.getpid()}\) is alive"):
        ray_writer(BOX, CODEC)
    with pytest.raises(BridgeError, match=f"exceeds its {2**22}"):
        writer.write(tokens(0, 2**15), sequence=0, observation_stamp_s=0.0)
    writer.write(tokens(5), sequence=5, observation_stamp_s=0.0)
    with pytest.raises(BridgeError, match="sequence 5 doesn't follow 5"):
        writer.write(tokens(5), sequence=5, observation_stamp_s=0.0)
    writer.close()
    writer.close()
    until(lambda: reader.last_sequence == 5)  # closing sends what was yet to be sent
    until(lambda: reader.living_writer() is None)
    ray_writer(BOX, CODEC).close()  # at once: the lease was given back
    box.close()
    time.sleep(0.1)
    assert reader.last_sequence == 5


def test_without_a_connection_there_is_an_error_and_no_cluster() -> None:
    program = (
        "import sys\n"
        "from dualsys.bridge.ray_mailbox import RayBox, ray_reader\n"
        "from dualsys.bridge import ArrayCodec\n"
        "assert 'ray' not in sys.modules\n"
        "try: ray_reader('a', ArrayCodec('<f4', ndim=1))\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("a Ray box needs Ray: connect this process first")


def test_leaving_ray_first_ends_no_thread_and_takes_no_value(ray: Any, box: RayBox) -> None:
    """The last of this module: the cluster is gone afterwards."""
    reader, writer = ray_reader(BOX, CODEC), ray_writer(BOX, CODEC)
    writer.write(tokens(0), sequence=0, observation_stamp_s=0.0)
    until(lambda: reader.last_sequence == 0)
    ray.shutdown()
    until(lambda: reader.living_writer() is None)
    assert sum(thread.name == f"ray-box-{BOX}" for thread in threading.enumerate()) == 2
    assert not ray.is_initialized()
    value = reader.read()
    assert value is not None
    np.testing.assert_array_equal(value, tokens(0))
    for end in (reader, writer):
        end.close()
