"""Systems of processes for the integration tests, and what they must not leave."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dualsys.bridge.parts import PartConfig
from dualsys.bridge.system import SystemConfig
from dualsys.testing import fake_embodiment
from tests.integration import bridge_parts

PARTS = "tests.integration.bridge_parts:"


def part(function: str, **options: Any) -> PartConfig:
    """A part built by a function of `bridge_parts`."""
    return PartConfig(name=PARTS + function, options=options)


def reach_system(**changes: Any) -> SystemConfig:
    """The fake arm: no physics, no cameras, starts in a second."""
    values: dict[str, Any] = {
        "environment": part("reach"),
        "planner": part("planner"),
        "actor": part("reaching_actor"),
        "embodiment": fake_embodiment(),
        "subgoal": bridge_parts.SPEC,
        "seconds": 2.0,
    }
    return SystemConfig(**(values | changes))


def processes_of(word: str) -> set[int]:
    """Processes with a word in their command line, ours aside."""
    return {pid for pid, line in _command_lines() if word in line and pid != os.getpid()}


def ray_daemons() -> set[int]:
    """Ray's own processes, of this run of the tests: others on the machine are none of our business."""
    ours = f"DUALSYS_TEST_RUN={os.environ['DUALSYS_TEST_RUN']}".encode()
    daemons = processes_of("raylet") | processes_of("gcs_server") | processes_of("ray::")
    return {pid for pid in daemons if ours in _environment(pid)}


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return []


def _command_lines() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
