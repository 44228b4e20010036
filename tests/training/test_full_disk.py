"""A disk that fills up while a dataset is recorded, imported or opened: one line says so, and nothing is lost."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dualsys.data import DemonstrationDataset
from dualsys.data.video import decode_frames, encode_video
from dualsys.errors import CannotWrite
from dualsys.testing.faults.disks import small_disk
from tests.unit.data.foreign_files import INSTRUCTION, write_act
from tests.unit.data.motions import write_motions

ROOM_KB = 64 * 1024


def dualsys(*arguments: str, file_limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, no file of which may grow beyond a limit."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({file_limit},) * 2);" if file_limit else ""
    program = f"import sys; {limit} from dualsys.app.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The error, which is one line."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("dualsys: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file() and ".frames" not in path.parts]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def demos(out: Path, episodes: int, *options: str) -> subprocess.CompletedProcess[str]:
    return dualsys("demos", "humanoid/touch", "--episodes", str(episodes), "--seed", "20", "--out", str(out), *options)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_recording_on_a_full_disk_goes_on_once_there_is_room(tmp_path: Path, workers: str) -> None:
    assert demos(tmp_path / "whole", 6).returncode == 0
    with small_disk(tmp_path / "disk", 300) as disk:
        out = disk.folder / "touch"
        line = said(demos(out, 6, "--workers", workers))
        assert str(out) in line
        assert "No space left on device. Free some room" in line
        kept = digests(out / ".recording")
        assert [name for name in kept if name.endswith(".npz")]
        assert not (out / "meta/info.json").exists()
        disk.resize(ROOM_KB)
        assert {name: digest for name, digest in digests(out / ".recording").items() if name in kept} == kept
        assert demos(out, 6, "--resume", "--workers", workers).returncode == 0
        assert digests(out) == digests(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("left_kb", [60, 250, 420, 560])
def test_a_dataset_that_cannot_grow_reads_as_before(tmp_path: Path, left_kb: int) -> None:
    """The disk fills up while episodes are staged, or while they become part of the dataset."""
    with small_disk(tmp_path / "disk", ROOM_KB) as disk:
        out = disk.folder / "touch"
        assert demos(out, 2).returncode == 0
        before = digests(out)
        disk.leave(1024 * left_kb)
        assert "No space left on device" in said(demos(out, 5, "--resume"))
        after = digests(out)
        untouched = [name for name in before if not name.startswith("meta/stats")]
        assert [name for name in untouched if after.get(name) != before[name]] == []
        disk.resize(ROOM_KB)
        assert DemonstrationDataset.open(out).seeds.tolist() == [20, 21]
        assert demos(out, 5, "--resume").returncode == 0
        assert DemonstrationDataset.open(out).seeds.tolist() == [20, 21, 22, 23, 24]


def test_an_import_goes_on_once_there_is_room(tmp_path: Path) -> None:
    source = write_act(tmp_path / "act")
    options = ["--fps", "20", "--instruction", INSTRUCTION]
    assert dualsys("data", "import", str(source), "--out", str(tmp_path / "whole"), *options).returncode == 0
    with small_disk(tmp_path / "disk", 40) as disk:
        command = ["data", "import", str(source), "--out", str(disk.folder / "out"), *options]
        assert "No space left on device" in said(dualsys(*command))
        disk.resize(ROOM_KB)
        assert dualsys(*command).returncode == 0
        assert digests(disk.folder / "out") == digests(tmp_path / "whole")


def test_an_import_that_may_not_write_as_much_goes_on(tmp_path: Path) -> None:
    """Without root: no file may grow beyond a limit that only the whole dataset's files reach."""
    source = write_act(tmp_path / "act")
    command = ["data", "import", str(source), "--fps", "20", "--instruction", INSTRUCTION, "--out"]
    assert dualsys(*command, str(tmp_path / "whole")).returncode == 0
    biggest = max(path.stat().st_size for path in (tmp_path / "whole").rglob("*") if path.is_file())
    line = said(dualsys(*command, str(tmp_path / "out"), file_limit=biggest - 1))
    assert "File too large. Free some room" in line
    assert len(list((tmp_path / "out/.recording").glob("*.npz"))) == 2
    assert dualsys(*command, str(tmp_path / "out")).returncode == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


def test_opening_without_room_for_the_frames_says_how_much_they_need(tmp_path: Path) -> None:
    """A mapped file on a full disk would kill the process without a word."""
    with small_disk(tmp_path / "disk", ROOM_KB) as disk:
        write_motions(disk.folder / "data")
        disk.leave(100 * 1024)
        line = said(dualsys("data", "check", str(disk.folder / "data")))
        assert "they need 0.4 MB: free some room, or set DUALSYS_CACHE" in line
        assert list((disk.folder / "data/.frames").glob("*")) == []
        disk.resize(ROOM_KB)
        assert dualsys("data", "check", str(disk.folder / "data")).returncode == 0


def test_opening_under_a_limit_on_files_says_so_too(tmp_path: Path) -> None:
    write_motions(tmp_path / "data")
    assert "they need 0.4 MB" in said(dualsys("data", "check", str(tmp_path / "data"), file_limit=100_000))


def test_a_video_on_a_full_disk_is_whole_or_not_there(tmp_path: Path) -> None:
    """However much of it fits: FFmpeg writes its index last, and buffers."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    encode_video(tmp_path / "whole.mp4", frames, np.arange(12), 50)
    size_kb = (tmp_path / "whole.mp4").stat().st_size // 1024
    with small_disk(tmp_path / "disk", ROOM_KB) as disk:
        refused = 0
        for room_kb in range(4, size_kb + 12, 8):
            disk.resize(room_kb)
            path = disk.folder / "a.mp4"
            try:
                encode_video(path, frames, np.arange(12), 50)
            except CannotWrite:
                refused += 1
                assert list(disk.folder.iterdir()) == []
            else:
                assert len(list(decode_frames(path, np.arange(12), 50))) == 12
                assert path.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
                path.unlink()
        assert refused > 3
