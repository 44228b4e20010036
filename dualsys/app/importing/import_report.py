"""What an import found, as tables on the terminal and as JSON."""

from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dualsys.app.importing.conversion import Plan
from dualsys.app.importing.normalization import STANDSTILL
from dualsys.app.importing.rules import Recipes
from dualsys.app.importing.tensor_files import INDEX, SINGLE

_SHOWN = 6
_DIRECTIONS = {
    "to-noise": "data at 0 to noise at 1, turned where the expert runs",
    "to-data": "noise at 0, data at 1: as ours",
}


def summary(plan: Plan, tokenizer: str = "") -> dict[str, Any]:
    """Every figure, as JSON takes it; `tokenizer` is told in words."""
    modules, robot, spec = plan.modules, plan.robot, plan.robot.embodiment
    recipes = [recipe for half in plan.halves for recipe in half.values()]
    actor: Any = modules.actor
    return {
        "layout": plan.family.layout,
        "files": [path.name for path in plan.published.files.files],
        "gigabytes": round(plan.published.files.nbytes / 1e9, 3),
        "tensors": {
            "in the files": len(plan.published.files.tensors),
            "read": len(plan.halves.read),
            "joined": sum(len(recipe) for recipe in recipes if len(recipe) > 1),
            "values changed": sum(any(piece.change for piece in recipe) for recipe in recipes),
            "tied": list(modules.tied),
            "unread": list(plan.unread),
        },
        "planner": {"name": modules.planner_name, **_size(plan, plan.halves.planner)},
        "actor": {"name": modules.actor_name, **_size(plan, plan.halves.actor)},
        "statistics": {
            "from": plan.told_statistics.where,
            "state": plan.family.normalization().told("state"),
            "action": plan.family.normalization().told("action"),
            "never moved": {name: _standstill(plan, name) for name in ("state", "action")},
        },
        "tokenizer": tokenizer,
        "flow": _DIRECTIONS[getattr(actor, "time_direction", "to-data")],
        "padded": {"state": [robot.states, actor.max_states], "action": [robot.actions, actor.max_actions]},
        "robot": {
            "name": spec.name,
            "from": robot.source,
            "cameras": [name for name in robot.cameras if name not in robot.missing],
            "black": list(robot.missing),
        },
        "rate_hz": plan.rate_hz,
        "notes": [*_warnings(plan), *modules.notes],
    }


def print_report(console: Console, plan: Plan, tokenizer: str) -> None:
    """A table with a line for each of them."""
    told = summary(plan, tokenizer)
    table = Table(title=f"{plan.published.folder} -> {told['layout']}", title_justify="left", show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    tensors = told["tensors"]
    rows = {
        "files": f"{_some(told['files'])}: {told['gigabytes']} GB",
        "tensors": f"{tensors['in the files']}, of them {tensors['read']} read and renamed "
        f"({tensors['joined']} joined, {tensors['values changed']} changed)",
        "tied": _some(tensors["tied"]) or "none",
        "unread": _some(tensors["unread"]) or "none",
        **{
            half: f"{told[half]['name']}: {told[half]['tensors']} tensors, {told[half]['millions']} million numbers"
            for half in ("planner", "actor")
        },
        "statistics": f"{told['statistics']['from']}; state {told['statistics']['state']}, "
        f"action {told['statistics']['action']}",
        "tokenizer": told["tokenizer"],
        "flow time": told["flow"],
        "padded": "; ".join(f"{name} {used} to {room}" for name, (used, room) in told["padded"].items()),
        "robot": f"{told['robot']['name']} ({told['robot']['from']})",
        "cameras": _some(told["robot"]["cameras"])
        + (f"; black and masked: {_some(told['robot']['black'])}" if told["robot"]["black"] else ""),
        "rows a second": f"{plan.rate_hz:g}",
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    console.print(table)
    for note in told["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _size(plan: Plan, recipes: Recipes) -> dict[str, Any]:
    tensors = plan.published.files.tensors
    shapes = [tensors[piece.source].shape for recipe in recipes.values() for piece in recipe]
    return {"tensors": len(recipes), "millions": round(sum(int(np.prod(shape)) for shape in shapes) / 1e6, 3)}


def _standstill(plan: Plan, quantity: str) -> int:
    scale = np.array(getattr(plan.statistics, quantity).std)
    return int(((scale <= STANDSTILL) | (scale >= 1 / STANDSTILL)).sum())


def _warnings(plan: Plan) -> list[str]:
    found = []
    folder, files = plan.published.folder, [path.name for path in plan.published.files.files]
    if (folder / INDEX).is_file() and (folder / SINGLE).is_file() and SINGLE not in files:
        found.append(f"the files of {INDEX} are read; {SINGLE} beside them isn't")
    if not plan.rate_is_told:
        found.append(f"no layout tells the rate of its actions; {plan.rate_hz:g} a second is assumed: --rate-hz")
    if plan.robot.source.startswith("derived"):
        found.append("joints' names, units and limits aren't in the checkpoint: they are made up; give --embodiment")
    found += [
        f"{count} of the {quantity}'s numbers never moved in the data it was trained on"
        for quantity in ("state", "action")
        if (count := _standstill(plan, quantity))
    ]
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names)})" if len(names) > _SHOWN else "")
