"""Two Ray nodes on this machine, in a process of their own: the tests' own must not be of any cluster.

    python -m tests.integration.two_nodes      prints the address; reads `add ROLE`, `kill` and `end`, a line each

The head is the robot's node. Another has the label `role=ROLE`; `add` answers with its id, `kill` is of the last.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

ROOT = Path(__file__).parents[2]
_STORE = 80 * 2**20
_QUICK = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    # A node that is gone refuses the next look at once; one on a busy machine may take its time to answer.
    "RAY_health_check_timeout_ms": "20000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_worker_niceness": "0",
}
"""With Ray's own values a node counts as dead after 15 s, and workers get what others leave of the processors."""


def main() -> None:
    """Keep the nodes as told."""
    from dualsys.bridge.ray_cluster import SETTINGS

    for name, value in {**SETTINGS, **_QUICK}.items():
        os.environ.setdefault(name, value)
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False},
    )
    _say(cluster.address)
    node: Any = None
    for line in sys.stdin:
        word, _, role = line.strip().partition(" ")
        if word == "add":
            node = cluster.add_node(num_cpus=1, object_store_memory=_STORE, labels={"role": role})
            _say(node.node_id)
        elif word == "kill":
            node.kill_raylet()
            _say("killed")
        else:
            break
    cluster.shutdown()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


@final
class TwoNodes:
    """The other end of `main`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.address = self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the cluster has ended"
        return line

    def tell(self, word: str) -> str:
        """Say a word, return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._read()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """A cluster of the robot's node; nothing is left afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.two_nodes"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield TwoNodes(process)
    finally:
        from dualsys.bridge.process_life import end_session

        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
        end_session(process.pid)


if __name__ == "__main__":
    main()
