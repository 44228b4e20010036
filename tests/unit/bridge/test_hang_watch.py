"""Who is silent for too long is killed, but not before there was time to move again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.hang_watch import LOOKS, HangWatch
from dualsys.bridge.latest_value import Mailbox

BEATING = """
import sys
from pathlib import Path
from dualsys.bridge.boxes import SharedBoxes, status_box

box = SharedBoxes(Path(sys.argv[1])).writer(status_box("tick"))
print("here", flush=True)
for _ in sys.stdin:
    box.beat()
    print("beat", flush=True)
"""


def test_who_beats_again_before_the_last_look_lives_and_who_does_not_is_killed(tmp_path: Path) -> None:
    spec = status_box("tick")
    Mailbox.create(tmp_path / f"{spec.name}.box", spec.codec, capacity=spec.capacity)
    watch = HangWatch(SharedBoxes(tmp_path).reader(spec), hangs_after_s=0.5)
    assert [watch.look() for _ in range(2 * LOOKS)] == [""] * 2 * LOOKS, "nobody is there yet"
    command = [sys.executable, "-c", BEATING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.6)
        assert [watch.look() for _ in range(LOOKS - 1)] == [""] * (LOOKS - 1)
        process.stdin.write("beat\n")
        process.stdin.flush()
        process.stdout.readline()
        assert watch.look() == ""
        time.sleep(0.6)
        *before, said = [watch.look() for _ in range(LOOKS)]
        assert before == [""] * (LOOKS - 1)
        assert said.startswith(f"process {process.pid} gave no sign of life for ")
        assert process.wait(10) == -signal.SIGKILL
    assert [watch.look() for _ in range(2 * LOOKS)] == [""] * 2 * LOOKS
