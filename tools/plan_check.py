"""A job's plan, looked at where it is packed: what `dualsys` would not take there is refused here.

Needs dualsys itself, which is there where one packs; `train_elsewhere` imports it then, and not before.
"""

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dualsys.app.cli import parse_options
from dualsys.config import describe_invalid
from dualsys.errors import DualsysError
from tools.carried_parts import Refusal


def check_plan(plan: Mapping[str, Any], datasets: Sequence[str], repository: Path) -> None:
    """Parse every command of a plan, as it will be given there, and run none.

    Args:
        plan: `demos` and `eval` are lists of options, `train` is options, each in one text.
        datasets: Names of what is trained on, in the order in which the training gets them.
        repository: The checkout, which is `repository` beside the commands there.

    Raises:
        Refusal: options that the command does not take, or nothing to train on.
    """
    if not datasets:
        raise Refusal("nothing to train on: pack with --demos or --data")
    with tempfile.TemporaryDirectory() as job:
        (Path(job) / "repository").symlink_to(repository)
        with chdir(job):
            for option, command, text, added in _commands(plan, datasets):
                _check(option, command, text, added)


def _commands(plan: Mapping[str, Any], datasets: Sequence[str]) -> Iterator[tuple[str, str, str, Sequence[str]]]:
    """The option of `pack`, the command, its options, and what is added to them there."""
    for text in plan["demos"]:
        yield "--demos", "demos", text, ["--out", "data/recorded"]
    yield "--train", "train", plan["train"], ["--data", *(f"data/{name}" for name in datasets), "--out", "out"]
    for text in plan["eval"]:
        yield "--eval", "eval", text, ["--json", "figures.json", "--video-dir", "videos"]


def _check(option: str, command: str, text: str, added: Sequence[str]) -> None:
    asked = f"{option} {text!r}: dualsys {command} does not take that"
    try:
        parse_options(command, [*shlex.split(text), *added])
    except SystemExit as end:
        raise Refusal(f"{asked}: {'this shows help and does nothing' if not end.code else 'see above'}") from end
    except ValidationError as error:
        raise Refusal(f"{asked}: {describe_invalid(error)}") from error
    except (DualsysError, ValueError) as error:
        raise Refusal(f"{asked}: {error}") from error
