"""`dualsys` for tests that press Ctrl-C, `python -m tests.unit.app.interrupted COMMAND ...`.

It has one more command, whose workers sleep: `sleep FOLDER [WHEN]`. Every item leaves a file in the folder when it
begins. WHEN `ending`: the block ends, without an error, beside an item under way, and leaves a file of that name.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from dualsys.app import cli
from dualsys.app.commands import COMMANDS, CommandEntry
from dualsys.app.worker_pool import worker_pool

FOR_EVER_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepConfig:
    """Options of the command."""

    folder: Annotated[Path, tyro.conf.Positional]
    when: Annotated[str, tyro.conf.Positional] = "never"


def sleeping(folder: Path) -> Callable[[int], None]:
    """Marks each item as begun; all but the first sleep."""

    def sleep(item: int) -> None:
        (folder / str(item)).touch()
        if item:
            time.sleep(FOR_EVER_S)

    return sleep


def main(config: SleepConfig) -> int:
    """Items for two workers, beside a thread such as that which draws progress."""
    threading.Thread(target=time.sleep, args=(FOR_EVER_S,), daemon=True).start()
    with worker_pool(2, partial(sleeping, config.folder), doing="sleeping", advice="") as submit:
        futures = [submit(item) for item in range(8)]
        if config.when != "ending":
            futures[1].result()
        while not (config.folder / "1").exists():
            time.sleep(0.01)
        (config.folder / "ending").touch()
    return 0


if __name__ == "__main__":
    # A shell that runs the tests in the background has its children ignore Ctrl-C; a person's terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    here = "tests.unit.app.interrupted"
    COMMANDS["sleep"] = CommandEntry(config=f"{here}:SleepConfig", function=f"{here}:main", summary="")
    sys.exit(cli.main())
