"""`dualsys list`: what is installed, by name."""

import json
import sys
from dataclasses import dataclass
from typing import Any

from dualsys import registry
from dualsys.checkpoint import Checkpoint, shipped_checkpoints
from dualsys.errors import DualsysError
from dualsys.sim_envs.perturbations import LEVELS, PRESETS
from dualsys.sim_envs.protocols import protocol_called, protocol_names


@dataclass(frozen=True, slots=True, kw_only=True)
class ListConfig:
    """Everything that has a name.

    Those are tasks, planners, actors, chunk policies, experts, robots, protocols, perturbations and shipped
    checkpoints.

    The names are what other commands and configuration files take. Third parties' plug-ins are listed beside ours.
    """

    json: bool = False
    """Print JSON instead of tables."""


def collect() -> dict[str, list[dict[str, str]]]:
    """Rows by heading, each with `name`. A suite or checkpoint that doesn't load is listed with its error."""
    listing: dict[str, list[dict[str, str]]] = {"tasks": _tasks()}
    for kind in registry.KINDS:
        if kind != "environments":
            listing[kind] = list(registry.describe(kind))
    listing["protocols"] = [_protocol(name) for name in protocol_names()]
    listing["perturbations"] = [{"name": name, "levels": " ".join(LEVELS)} for name in PRESETS]
    listing["checkpoints"] = [_checkpoint(name) for name in shipped_checkpoints()]
    return listing


def main(config: ListConfig) -> int:
    """Print the listing. Returns 0."""
    listing = collect()
    if config.json:
        sys.stdout.write(json.dumps(listing, indent=2) + "\n")
    else:
        _print(listing)
    return 0


def _tasks() -> list[dict[str, str]]:
    rows = []
    for row in registry.describe("environments"):
        try:
            names = registry.load("environments", row["name"]).tasks()
        except (DualsysError, ImportError) as error:
            rows.append({"name": f"{row['name']}/...", "distribution": row["distribution"], "error": str(error)})
            continue
        rows += [{"name": name, "distribution": row["distribution"]} for name in names]
    return rows


def _protocol(name: str) -> dict[str, str]:
    return {"name": name, "title": protocol_called(name).title}


def _checkpoint(name: str) -> dict[str, str]:
    try:
        manifest = Checkpoint.open(name).manifest
    except DualsysError as error:
        return {"name": name, "error": str(error)}
    return {
        "name": name,
        "embodiment": manifest.embodiment.name,
        "planner": manifest.planner.name,
        "actor": manifest.actor.name,
    }


def _print(listing: dict[str, list[dict[str, str]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for heading, rows in listing.items():
        console.print(f"[bold]{heading.replace('_', ' ')}[/]")
        if heading == "tasks":
            _print_tasks(console, rows)
            continue
        table = Table(box=None, show_header=False, pad_edge=True)
        for row in rows:
            table.add_row(*row.values())
        console.print(table if rows else "  none")


def _print_tasks(console: Any, rows: list[dict[str, str]]) -> None:
    from rich.columns import Columns

    broken = [row for row in rows if "error" in row]
    console.print(Columns([f"  {row['name']}" for row in rows if "error" not in row], padding=(0, 2)))
    for row in broken:
        console.print(f"  {row['name']} [red]does not load[/]: {row['error']}")
