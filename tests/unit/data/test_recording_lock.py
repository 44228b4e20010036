"""One recording a folder at a time, told apart by real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dualsys.data import DatasetWriter, Episode
from dualsys.data.info import DatasetInfo, Provenance
from dualsys.data.recording_lock import recording_alone
from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import DatasetError

ROOT = Path(__file__).parents[3]
RECORDER = """
import sys, time
from pathlib import Path
from dualsys.data import DatasetWriter
from dualsys.data.recording_lock import recording_alone
from tests.unit.data.conftest import build_embodiment
with recording_alone(DatasetWriter(Path(sys.argv[1]), build_embodiment(), fps=50)):
    print("recording", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path: Path, embodiment: EmbodimentSpec) -> DatasetWriter:
    return DatasetWriter(tmp_path / "out", embodiment, fps=50)


def test_a_second_process_is_refused_and_a_dead_one_blocks_nobody(writer: DatasetWriter) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(writer.root)],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as other:  # fmt: skip
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "recording\n"
            said = rf"out is being recorded into by another process \({other.pid}\); wait for its end"
            with pytest.raises(DatasetError, match=said), recording_alone(writer):
                pytest.fail("two at once")
        finally:
            other.send_signal(signal.SIGKILL)
    assert (writer.staging / "lock").exists()
    with recording_alone(writer):
        pass
    assert not writer.staging.exists()


def test_nothing_is_left_of_a_lock_but_what_was_staged(
    writer: DatasetWriter, make_episode: Callable[..., Episode]
) -> None:
    with recording_alone(writer), pytest.raises(DatasetError), recording_alone(writer):
        pass
    assert not writer.root.exists()
    with recording_alone(writer):
        writer.stage(make_episode(3))
    assert sorted(path.name for path in writer.staging.iterdir()) == ["00000003.head.mp4", "00000003.npz"]


def test_what_was_finished_since_the_folder_was_looked_at_is_not_written_over(
    writer: DatasetWriter, write: Callable[..., DatasetInfo], make_provenance: Callable[..., Provenance]
) -> None:
    write(writer.root, (0, 1))
    with pytest.raises(DatasetError, match="finished by another process meanwhile"), recording_alone(writer):
        pytest.fail("it would begin anew")
    assert not writer.staging.exists()
