"""A tape in shared memory that is damaged, or never was whole, is given up once, counted, and nothing else suffers."""

import logging
from pathlib import Path

import pytest

from dualsys.bridge.run_folder import RunFolder
from dualsys.bridge.supervisor import Supervisor
from dualsys.bridge.tape_deck import TapeDeck
from dualsys.bridge.tape_ring import TapeRing
from dualsys.errors import BridgeError
from dualsys.events import Tick
from tests.integration import bridge_system

ROOT = Path(__file__).parents[2]


def test_a_tape_that_is_none_neither_hides_why_a_run_failed_nor_leaves_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    config = bridge_system.reach_system(tape_bytes=2**20)
    with RunFolder("half-a-tape") as folder:
        config = config.model_copy(update={"folder": folder.path})
        deck = TapeDeck(config.tape_head(), record=None, flights=tmp_path / "flights")
        module = "tests.integration.tick_with_half_a_tape"
        with deck, pytest.raises(BridgeError, match="the memory was full in the midst of it"):
            Supervisor(config, "subprocess", lambda _: None, deck=deck, tick_module=module).run()
        assert deck.report()["damaged"]
    assert not bridge_system.processes_of("half-a-tape")


def test_a_damaged_ring_is_given_up_once_and_what_it_held_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ring = TapeRing.create(tmp_path / "ring", capacity=2**16)
    reader = TapeRing.open(tmp_path / "ring")
    deck = TapeDeck(bridge_system.reach_system().tape_head(), record=None, flights=None)
    ring.add(Tick(now_s=0.0))
    deck.drain(reader)
    for index in range(1, 5):
        ring.add(Tick(now_s=float(index)))
    size = ring._size_at(0)
    with (tmp_path / "ring").open("r+b") as file:
        file.seek(64 + 2 * size + 20)
        file.write(b"\xff")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            deck.drain(reader)
    assert len([line for line in caplog.messages if "cannot be read on" in line]) == 1
    report = deck.report()
    assert (report["records"], report["damaged"], report["bytes_lost"]) == (2, True, 3 * size)
    for each in (ring, reader):
        each.close()
