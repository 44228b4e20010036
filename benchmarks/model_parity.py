"""Do our modules give what their authors' code gives on the same weights?

    python -m benchmarks.model_parity --fixtures tests/parity/fixtures

Takes any folder of fixtures: NAME.json (sizes), NAME.weights.safetensors (in the peer's layout), NAME.io.safetensors
(inputs and the peer's outputs). Every output that is kept there is made by ours in float32 with eager attention and
compared: within 1e-5, and a tenth of that for each unit of a larger number, float32's own error there; which of them
are beyond 1e-5 as it stands is told, too. SDPA is held to eager in the same way, within 1e-4. An output that ours
doesn't make, a fixture of unknown kind and one that can't be read or run fail too; the others are compared all the
same.

It starts itself again with the processor's kernels that the peers' outputs were made with, AVX2: wider ones sum in
another order. Set one of ATEN_CPU_CAPABILITY, MKL_CBWR and DNNL_MAX_CPU_ISA to compare on others.
"""

import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.model_parity_kinds import KINDS, kind_of
from benchmarks.report import exit_unless, write_report
from dualsys.app.wide_console import wide_console
from tests.parity.pi_fixtures import others_name

BOUND, BETWEEN_ENGINES = 1e-5, 1e-4
ENGINES = ("eager", "sdpa")
PEERS_KERNELS = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}
"""Of torch, MKL and oneDNN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParityConfig:
    """Compares with peers' outputs."""

    fixtures: Path
    """Folder of fixtures."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/model_parity.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One output, ours beside what it is held to."""

    fixture: str
    output: str
    held_to: str
    difference: float | None
    """Largest absolute one; None: there is none of ours, or of another shape."""
    largest: float
    """Of what it is held to."""
    bound: float
    """Of numbers near 0."""
    allowed: float
    """Of the largest number: the bound, and a tenth of it for each unit."""
    share: float | None
    """Of what is allowed that the worst number uses; above 1 it is over."""
    within_bound: bool
    """Whether the bound holds as it stands, however large the numbers are."""

    @property
    def holds(self) -> bool:
        """Whether it is within what is allowed."""
        return self.share is not None and self.share <= 1


def main(config: ModelParityConfig) -> None:
    """Compare, print, write, and end with status 1 where one is over."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # more of them sum in another order
    console = wide_console()
    names = fixture_names(config.fixtures)
    unknown, broken, rows = compare_all(names, config.fixtures)
    print_table(console, rows)
    for name, kind in unknown.items():
        console.print(f"{name}: kind {kind!r} is none of {', '.join(KINDS)}", markup=False)
    for name, why in broken.items():
        console.print(f"{name}: not compared, {why}", markup=False)
    verdict: dict[str, bool | None] = {
        "there are fixtures": bool(rows),
        "every fixture is of a known kind": not unknown,
        "every fixture is read and run": not broken,
        "every output within 1e-5 and 1e-6 a unit of its peer's": all(row.holds for row in rows if row.bound == BOUND),
        "SDPA within 1e-4 and 1e-5 a unit of eager": all(row.holds for row in rows if row.bound == BETWEEN_ENGINES),
    }
    unread = unread_files(names, config.fixtures)
    if unread:
        console.print(f"Not read, since they go with none of the fixtures: {', '.join(unread)}", markup=False)
    beyond = [f"{row.fixture} {row.output} ({row.held_to})" for row in rows if not row.within_bound]
    console.print(
        f"Beyond {BOUND:.0e} as it stands (SDPA: {BETWEEN_ENGINES:.0e}): {', '.join(beyond) or 'none'}", markup=False
    )
    figures = {
        "fixtures": len(names),
        "not_compared": broken,
        "not_read": unread,
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "beyond_the_bound_as_it_stands": beyond,
        "results": [asdict(row) for row in rows],
        "verdict": verdict,
    }
    console.print(str(write_report("model_parity", figures, config.json)))
    exit_unless(verdict)


def fixture_names(folder: Path) -> list[str]:
    """Fixtures of a folder, by name."""
    return sorted(path.stem for path in folder.glob("*.json") if (folder / f"{path.stem}.io.safetensors").is_file())


def unread_files(names: Iterable[str], folder: Path) -> list[str]:
    """Tensors beside the fixtures that go with none of them, such as another peer's outputs under another name."""
    read = {part for name in names for part in (f"{name}.weights", f"{name}.io", others_name(name))}
    return sorted(path.name for path in folder.glob("*.safetensors") if path.stem not in read)


def compare_all(names: Iterable[str], folder: Path) -> tuple[dict[str, str], dict[str, str], list[Comparison]]:
    """By name the kinds that are unknown and what kept others from being compared; and every comparison of the rest."""
    unknown: dict[str, str] = {}
    broken: dict[str, str] = {}
    rows: list[Comparison] = []
    for name in names:
        try:
            if (kind := kind_of(name, folder)) in KINDS:
                rows += list(compare(name, folder))
            else:
                unknown[name] = kind
        except Exception as error:  # whatever it is: one fixture mustn't take the others' figures with it
            broken[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return unknown, broken, rows


def compare(name: str, folder: Path) -> Iterable[Comparison]:
    """Every output of a fixture: with each peer's, and between our engines."""
    fixture = KINDS[kind_of(name, folder)](name, folder)
    eager, sdpa = (fixture.ours(engine) for engine in ENGINES)
    for peer, expected in fixture.peers.items():
        yield from _compared(name, peer, eager, expected, BOUND)
    yield from _compared(name, "eager", sdpa, eager, BETWEEN_ENGINES)


def _compared(
    name: str, held_to: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], bound: float
) -> Iterable[Comparison]:
    for output, told in sorted(expected.items()):
        ours, theirs = found.get(output), told.double()
        difference = None if ours is None or ours.shape != theirs.shape else (ours.double() - theirs).abs()
        share = None if difference is None else float((difference / (bound + bound / 10 * theirs.abs())).max())
        largest = float(theirs.abs().max())
        yield Comparison(
            fixture=name,
            output=output,
            held_to=held_to,
            difference=None if difference is None else float(difference.max()),
            largest=largest,
            bound=bound,
            allowed=bound + bound / 10 * largest,
            # Where ours is no number there is nothing to compare.
            share=share if share is not None and math.isfinite(share) else None,
            within_bound=difference is not None and float(difference.max()) <= bound,
        )


def on_peers_kernels() -> None:
    """Start this program again on them, unless others are asked for: libraries choose theirs once, when loaded."""
    if not PEERS_KERNELS.keys() & os.environ.keys():
        command = [sys.executable, "-m", "benchmarks.model_parity", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **PEERS_KERNELS})


def print_table(console: Console, rows: Iterable[Comparison]) -> None:
    """A table for each fixture, a line for each output."""
    for name, some in groupby(rows, key=lambda row: row.fixture):
        table = Table(
            "output",
            "held to",
            "difference",
            "numbers up to",
            "bound",
            "allowed there",
            "used of it",
            title=name,
            title_justify="left",
        )
        for row in some:
            table.add_row(
                row.output,
                row.held_to,
                "none to compare" if row.difference is None else f"{row.difference:.1e}",
                f"{row.largest:.2g}",
                f"{row.bound:.0e}{'' if row.within_bound else ' beyond'}",
                f"{row.allowed:.1e}",
                f"{'-' if row.share is None else f'{row.share:.0%}'}{'' if row.holds else ' [bold red]OVER[/]'}",
            )
        console.print(table)


if __name__ == "__main__":
    on_peers_kernels()
    main(tyro.cli(ModelParityConfig, description=__doc__))
