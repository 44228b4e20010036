"""Folders of runs: a living one is never touched, at any moment of its making; a dead one goes, whatever its age."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dualsys.bridge.box_file import process_start_ticks
from dualsys.bridge.processes import sigterm_as_exit
from dualsys.bridge.run_folder import RunFolder, remove_stale_folders, run_folders
from dualsys.bridge.shared_memory import mount_of
from dualsys.errors import BridgeError

LIVING = """
import sys, time
from pathlib import Path
from dualsys.bridge.run_folder import RunFolder
with RunFolder(sys.argv[2], root=Path(sys.argv[1])) as folder:
    (folder.path / "state.box").write_bytes(bytes(1000))
    print("ready", flush=True)
    time.sleep(600)
"""


def start(root: Path, name: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", LIVING, str(root), name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_a_killed_run_is_found_at_once_and_a_living_one_is_left_however_old(shared_memory: Path) -> None:
    dead, living = start(shared_memory, "dead"), start(shared_memory, "living")
    try:
        os.utime(shared_memory / "dualsys.living", (0, 0))
        kill(dead)
        (shared_memory / "another").mkdir()
        (shared_memory / "dualsys.file").touch()
        found = {folder.path.name: (folder.alive, folder.nbytes) for folder in run_folders(shared_memory)}
        assert set(found) == {"dualsys.dead", "dualsys.living"}
        assert [found[name][0] for name in sorted(found)] == [False, True]
        assert all(1000 < nbytes < 1020 for _, nbytes in found.values())
        assert remove_stale_folders(shared_memory) == [shared_memory / "dualsys.dead"]
        assert names(shared_memory) == ["another", "dualsys.file", "dualsys.living"]
    finally:
        kill(living)


def test_a_start_removes_what_killed_runs_left_and_takes_their_names(shared_memory: Path) -> None:
    kill(start(shared_memory, "mine"))
    assert names(shared_memory) == ["dualsys.mine"]
    with RunFolder("mine", root=shared_memory) as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert names(folder.path) == ["owner"]
        assert remove_stale_folders(shared_memory) == []
        with pytest.raises(BridgeError, match="is alive"), RunFolder("mine", root=shared_memory):
            pass
        assert names(shared_memory) == ["dualsys.mine"]
    assert names(shared_memory) == []


def test_what_a_run_killed_while_it_made_its_folder_left_goes(tmp_path: Path) -> None:
    start_ticks = process_start_ticks(os.getpid())
    for maker in (f"{os.getpid()}.{start_ticks}", f"{os.getpid()}.{start_ticks + 1}", "4194304.7"):
        (tmp_path / f".dualsys.making.{maker}.dualsys.mine").mkdir()
    (tmp_path / "dualsys.emptied").mkdir()
    remove_stale_folders(tmp_path)
    assert names(tmp_path) == [f".dualsys.making.{os.getpid()}.{start_ticks}.dualsys.mine"]


def test_a_folder_is_not_stale_at_any_moment_of_its_making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run cleans up at each step of this one's making."""
    lock, rename, removed = fcntl.flock, Path.rename, []

    def clean_up_around_lock(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        removed.extend(remove_stale_folders(tmp_path))
        lock(descriptor, operation)
        removed.extend(remove_stale_folders(tmp_path))

    def clean_up_around_rename(path: Path, target: Path) -> Path:
        removed.extend(remove_stale_folders(tmp_path))
        moved = rename(path, target)
        removed.extend(remove_stale_folders(tmp_path))
        return moved

    monkeypatch.setattr(fcntl, "flock", clean_up_around_lock)
    monkeypatch.setattr(Path, "rename", clean_up_around_rename)
    with RunFolder("mine", root=tmp_path) as folder:
        assert fcntl.flock is lock
        assert removed == remove_stale_folders(tmp_path) == []
        assert folder.path.exists()
        assert time.time() - folder.path.stat().st_mtime < 60


def test_missing_shared_memory_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match=r"nowhere is missing: .*shared memory"):
        RunFolder("mine", root=tmp_path / "nowhere").__enter__()
    assert mount_of(Path("/dev/shm/a/b")) == Path("/dev/shm")


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_at_its_removal_does_not_leave_half_of_it(
    number: signal.Signals, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def interrupted(*arguments: Any, **options: Any) -> None:
        signal.raise_signal(number)
        remove(*arguments, **options)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(raised), sigterm_as_exit(), RunFolder("mine", root=tmp_path):
            monkeypatch.setattr(shutil, "rmtree", interrupted)
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []
