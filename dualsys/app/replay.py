"""`dualsys replay`: decide a recorded run again, and say whether every command is the same to the bit."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from dualsys.app.outputs import require_outputs
from dualsys.bridge.tape_file import read_parts
from dualsys.errors import ConfigError
from dualsys.files import write_json
from dualsys.replay import Replay, Verdict, replay

_STATUS: dict[Verdict, int] = {"identical": 0, "different": 1, "nothing to compare": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig:
    """Play a tape through the decision core and the safety gate, and compare every command."""

    tape: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """What `dualsys run --record` or its flight recorder wrote; of a tape in parts, several in order."""
    json: Path | None = None
    """File for the figures."""


def main(config: ReplayConfig) -> int:
    """Read, play, compare. Returns 0 where all commands are the same, 1 where one isn't, 2 where there are none."""
    if not config.tape:
        raise ConfigError("dualsys replay FILE...: no tape was given; `dualsys run --record FILE` makes one")
    require_outputs({"--json": config.json})
    head, records = read_parts(config.tape)
    result = replay(head, records)
    Console().print(_table(config.tape[0], result))
    if config.json is not None:
        found = asdict(result) | {"verdict": result.verdict, "identical": result.identical}
        write_json(config.json, found)
    return _STATUS[result.verdict]


def _in_words(result: Replay) -> str:
    match result.verdict:
        case "identical":
            return "the same commands to the bit"
        case "different":
            return "not the same"
        case _:
            missing = "no command behind the start" if result.events else "no start"
            return f"nothing to compare: {missing} on this tape"


def _table(tape: Path, result: Replay) -> Table:
    table = Table(title=f"{tape.name}: {_in_words(result)}", show_header=False)
    table.add_row("events", str(result.events))
    table.add_row("commands compared", str(result.commands))
    table.add_row("differing", str(result.differing))
    if result.passed_over:
        table.add_row("records before the first start, passed over", str(result.passed_over))
    if result.first_difference:
        table.add_row("first difference", result.first_difference)
    return table
