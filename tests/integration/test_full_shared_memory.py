"""Shared memory that is full: what was asked, what there is and the fix are said, before anything is touched."""

import os
from pathlib import Path

import pytest

from dualsys.bridge.boxes import SharedBoxes
from dualsys.bridge.run_folder import RunFolder
from dualsys.bridge.shared_slots import SharedSlots
from dualsys.bridge.tape_ring import TapeRing
from dualsys.errors import BridgeError
from dualsys.testing.faults.disks import small_disk
from tests.integration import bridge_system

FIX = r"mount -o remount,size=1g .*/shm \(in Docker: --shm-size=1g\)"


def test_a_box_larger_than_the_memory_is_refused_with_the_figures_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "shm", 1024) as disk:
        SharedSlots.create(disk.folder / "small.box", capacity=2**16)
        with pytest.raises(BridgeError) as refused:
            SharedSlots.create(disk.folder / "large.box", capacity=2**20)
        assert "large.box: cannot allocate 4.0 MiB (No space left on device)" in str(refused.value)
        assert f"{disk.folder} has 0.7 MiB free of 1.0 MiB" in str(refused.value)
        assert refused.match(FIX)
        assert [path.name for path in disk.folder.iterdir()] == ["small.box"]
        # What is there goes on: it was allocated when it was made.
        with SharedSlots.attach(disk.folder / "small.box", write=True) as box:
            for sequence in range(8):
                box.write(bytes(2**16), sequence=sequence, observation_stamp_s=0.0, time_to_live_s=1.0)
        disk.resize(8192)
        SharedSlots.create(disk.folder / "large.box", capacity=2**20)


def test_a_run_that_doesnt_fit_is_refused_as_a_whole(tmp_path: Path) -> None:
    system = bridge_system.reach_system()
    with small_disk(tmp_path / "shm", 8192) as disk:
        with RunFolder("full", root=disk.folder) as folder:
            with pytest.raises(BridgeError, match=rf"mailboxes of this run and its logs: .*8\.0 MiB\. .*{FIX}"):
                SharedBoxes(folder.path).create(system)
            assert [path.name for path in folder.path.iterdir()] == ["owner"]
        disk.resize(65536)
        with RunFolder("full", root=disk.folder) as folder:
            SharedBoxes(folder.path).create(system)


def test_a_tape_is_counted_before_anything_is_touched_and_leaves_nothing_where_it_finds_no_room(tmp_path: Path) -> None:
    system = bridge_system.reach_system(tape_bytes=40 * 2**20)
    with small_disk(tmp_path / "shm", 65536) as disk:
        with RunFolder("full", root=disk.folder) as folder:
            what = r"mailboxes of this run, its tape \(40\.0 MiB\) and its logs"
            with pytest.raises(BridgeError, match=rf"{what}: .*{FIX}"):
                SharedBoxes(folder.path).create(system)
            assert [path.name for path in folder.path.iterdir()] == ["owner"]
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(BridgeError, match=rf"tape .*/ring: cannot allocate 96\.0 MiB .*{FIX}"):
            TapeRing.create(disk.folder / "ring", capacity=96 * 2**20)
        assert list(disk.folder.iterdir()) == []
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_memory_without_room_for_a_folder_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "shm", 64) as disk:
        (disk.folder / "filler").write_bytes(bytes(64 * 1024))
        with pytest.raises(BridgeError, match=FIX):
            RunFolder("full", root=disk.folder).__enter__()
        assert [path.name for path in disk.folder.iterdir()] == ["filler"]
