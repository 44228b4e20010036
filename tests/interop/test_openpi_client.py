"""openpi's own client: our frames and pictures beside its own, and our served controller driven by it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from dualsys.actor.outside import array_packing
from dualsys.actor.outside.pictures import fitted

HERE = Path(__file__).parent


def test_what_it_said_is_kept() -> None:
    """Driven by hand, see README.md."""
    said: dict[str, Any] = json.loads((HERE / "driven_by_openpi_client.json").read_text())
    assert said["openpi-client"] == "0.1.2"
    assert said["episodes"] == 10
    assert said["successes"] >= 9


def _client() -> Any:
    return pytest.importorskip("openpi_client", reason="openpi-client is in a folder of its own: README.md")


def test_our_frames_are_its_frames() -> None:
    _client()
    from openpi_client import msgpack_numpy

    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)
    message = {"a": rng.random((3, 4), np.float32), "b": {"c": image}, "n": np.float32(0.5), "s": "go"}
    assert msgpack_numpy.packb(message) == array_packing.pack(message)
    back = msgpack_numpy.unpackb(array_packing.pack(message))
    np.testing.assert_array_equal(back["b"]["c"], image)


@pytest.mark.parametrize(("height", "width", "size"), [(480, 640, 224), (30, 40, 224), (100, 33, 64), (17, 301, 50)])
def test_our_pictures_are_its_pictures(height: int, width: int, size: int) -> None:
    _client()
    from openpi_client import image_tools

    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fitted(picture, size), image_tools.resize_with_pad(picture, size, size))


@pytest.fixture
def address() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dualsys", "policy", "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            _wait_for(port)
            yield f"ws://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int) -> None:
    until_s = monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert monotonic() < until_s
            sleep(0.2)
        else:
            return


@pytest.mark.slow
def test_it_drives_a_served_controller(address: str) -> None:
    _client()
    from tests.interop.drive_with_openpi_client import drive

    said = drive(address, "humanoid/touch", episodes=2, seed=8000, replan=5)
    assert said["successes"] == 2
