"""How long do an observation with pictures up and a chunk of actions down take on one machine, without a model?

    python -m benchmarks.wire

Three pictures of 224 x 224, 64 numbers and a sentence up, 50 rows of 32 numbers down: 452 KB and 6.4 KB. Ours are two
mailboxes in shared memory, polled every 100 us by both ends; beside them openpi's websocket, with openpi's own client
and a server that does what its server does, and a call to a Ray actor. Each end is a process; blocks alternate.

openpi-client wants an older numpy than dualsys: it is installed without its dependencies into a folder of this run's
own, where nothing but its two processes sees it (what it uses of numpy is the same in both).
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import wire_mailbox
from benchmarks.other_side import OtherSide, other_side
from benchmarks.report import write_report
from benchmarks.wire_payload import PROMPT, ask_on, rows_for
from dualsys.bridge.ray_cluster import start_ray
from dualsys.bridge.run_folder import SHARED_MEMORY

OURS, OPENPI, RAY = "mailboxes, shared memory", "openpi-client, websocket", "Ray call"
OPENPI_REQUIREMENTS = ("openpi-client==0.1.2", "websockets>=13,<18")

Block = Callable[[], list[float]]
"""Asks for some seconds; microseconds of each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireConfig:
    """Round trips of an observation and a chunk."""

    seconds: float = 4.0
    """Of each block."""
    blocks: int = 4
    """Of each way; they alternate."""
    openpi_path: Path | None = None
    """Folder with openpi-client and websockets; None: they are installed into a folder of this run's own."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/wire.json`; a plot is written beside it."""


class RayServer:
    """The other end of a Ray call."""

    def infer(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """Rows for an observation."""
        return rows_for(observation["state"])


def main(config: WireConfig) -> None:
    """Measure, print, write."""
    took_us, versions = measure(config)
    rows = {way: summary(values) for way, values in took_us.items()}
    ratios = {way: rows[way]["p50_us"] / rows[OURS]["p50_us"] for way in rows}
    Console().print(_table(rows, ratios))
    settings = asdict(config) | {"json": None, "openpi_path": None}
    figures = {"config": settings, "rows": rows, "p50_over_ours": ratios, "openpi": versions}
    target = write_report("wire", figures, config.json)
    draw(took_us, target.with_suffix(".png"))
    print(f"{target}, {target.with_suffix('.png').name}")


def measure(config: WireConfig) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Microseconds of each way's calls; versions of openpi's side."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wire.", dir=SHARED_MEMORY)))
        packages = stack.enter_context(_openpi(config.openpi_path))
        wire_mailbox.create(folder)
        sides = {
            OURS: _both_ends(stack, "benchmarks.wire_mailbox", folder, ()),
            OPENPI: _both_ends(stack, "benchmarks.wire_openpi", folder, (packages,)),
        }
        ways: dict[str, Block] = {name: _block(side, config.seconds) for name, side in sides.items()}
        ways[RAY] = stack.enter_context(_ray_call(config.seconds))
        for block in ways.values():
            block()  # a warm-up that doesn't count
        took_us: dict[str, list[float]] = {way: [] for way in ways}
        for _ in track(range(config.blocks), description="blocks"):
            for way, block in ways.items():
                took_us[way] += block()
        return took_us, {item.name: item.version for item in distributions(path=[str(packages)])}


def _both_ends(stack: ExitStack, module: str, folder: Path, path: tuple[Path, ...]) -> OtherSide:
    stack.enter_context(other_side(module, "server", str(folder), path=path))
    return stack.enter_context(other_side(module, "client", str(folder), path=path))


def _block(side: OtherSide, seconds: float) -> Block:
    return lambda: list(side.ask({"seconds": seconds})["took_us"])


@contextmanager
def _ray_call(seconds: float) -> Iterator[Block]:
    ray = start_ray(None, num_cpus=1, without="nothing: this benchmark is about it, and")
    try:
        server = ray.remote(RayServer).options(num_cpus=0).remote()

        def ask(state: NDArray[np.float32], images: dict[str, NDArray[np.uint8]]) -> NDArray[Any]:
            rows: NDArray[Any] = ray.get(server.infer.remote({"state": state, "prompt": PROMPT, **images}))
            return rows

        yield lambda: ask_on(ask, seconds)
    finally:
        ray.shutdown()


@contextmanager
def _openpi(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="openpi-client.") as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        done = subprocess.run([*command, *OPENPI_REQUIREMENTS], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[-1:]
            raise SystemExit(f"cannot install {', '.join(OPENPI_REQUIREMENTS)}: {said}; give --openpi-path FOLDER")
        yield Path(folder)


def summary(values_us: list[float]) -> dict[str, float]:
    """Count, percentiles and the largest, in microseconds."""
    p50, p99 = np.percentile(values_us, [50, 99])
    return {"calls": len(values_us), "p50_us": float(p50), "p99_us": float(p99), "max_us": max(values_us)}


def _table(rows: dict[str, dict[str, float]], ratios: dict[str, float]) -> Table:
    table = Table(title="452 KB up, 6.4 KB down, no inference: microseconds")
    for name in ("way", "calls", "p50", "p99", "largest", "p50 / ours"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for way, row in rows.items():
        cells = [f"{row[key]:,.0f}" for key in ("calls", "p50_us", "p99_us", "max_us")]
        table.add_row(way, *cells, f"{ratios[way]:.1f}")
    return table


def draw(took_us: dict[str, list[float]], path: Path) -> None:
    """Share of calls that took at most so long."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for (way, values), colour in zip(took_us.items(), ("#4477aa", "#ddaa33", "#cc6677"), strict=True):
        axes.ecdf(values, color=colour, label=way)
    axes.set_xscale("log")
    axes.set_xlabel("observation up and chunk down (us)")
    axes.set_ylabel("share of calls")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(WireConfig, description=__doc__))
