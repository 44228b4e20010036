"""The command line: `dualsys COMMAND ...`.

A command is a frozen dataclass of its options and a function that takes it and returns an exit status. The options are
imported when their command is named, the function when they have been understood, so help and wrong use are quick. A
command's name is one word or two (`data check`); in a TOML file they are joined, `[data-check]`.
"""

import importlib
import inspect
import io
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from dualsys.app.commands import COMMANDS
from dualsys.errors import ConfigError, DualsysError, unknown_name

_EPILOG = """\
Every command: dualsys COMMAND --help
Options may come from a file: dualsys COMMAND --config FILE (TOML, one table per command, flags win).

Examples:
  dualsys list
  dualsys run humanoid/touch --mode processes --seconds 20 --video touch.mp4
  dualsys eval humanoid/touch --episodes 20 --planner-latency-s 0.12 --json touch.json
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0 done, 1 the command says no, 2 wrong use or input."""
    if argv is None and not sys.flags.safe_path:
        _find_modules_here()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with _until_nobody_reads():
            return _dispatch(arguments)
    except DualsysError as error:
        sys.stderr.write(f"dualsys: {error}\n")
        return 2
    except ValueError as error:
        from pydantic import ValidationError

        from dualsys.config import describe_invalid

        # A value refused while options were turned into a configuration; anything else is a defect of ours.
        if not isinstance(error, ValidationError):
            raise
        sys.stderr.write(f"dualsys: {describe_invalid(error)}\n")
        return 2
    except OSError as error:
        if error.filename is None:  # not about a file that was named, so a defect of ours
            raise
        sys.stderr.write(f"dualsys: {error.filename}: {error.strerror}\n")
        return 2
    except KeyboardInterrupt as interrupt:
        is_deaf = argv is not None
        while not is_deaf:  # this process is the command and ends now: pressed again, there is nothing left to stop
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                is_deaf = True
            except KeyboardInterrupt:  # pressed again on the way here
                pass
        sys.stderr.write(": ".join(["dualsys: interrupted", *getattr(interrupt, "__notes__", ())]) + "\n")
        return 130


@contextmanager
def _until_nobody_reads() -> Iterator[None]:
    """End quietly where what is written goes nowhere any more, as in `dualsys eval --help | head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _is_unread(sys.stdout):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter's own flush at its end
        raise SystemExit(141) from None  # what a shell says of a program that SIGPIPE ended


def _is_unread(stream: TextIO) -> bool:
    """Whether it is a pipe whose reader has gone."""
    poll = select.poll()
    with suppress(io.UnsupportedOperation):  # no file at all
        poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _find_modules_here() -> None:
    """Have the installed script find modules of the working directory, as `python -m dualsys` does.

    `--planner mine:Mine` names one; the processes that are started look there, too.
    """
    with suppress(FileNotFoundError):  # it has been removed
        if (here := os.getcwd()) not in sys.path:
            sys.path.insert(0, here)


def parse_options(command: str, arguments: Sequence[str]) -> Any:
    """Options of a command from `--config FILE` and flags, flags winning.

    Raises `ConfigError` for the file; prints and raises `SystemExit` for the flags, as tyro does.
    """
    import tyro

    config_type = _resolve(COMMANDS[command].config)
    rest, path = _take_config_file(arguments)
    parser = partial(
        tyro.cli,
        config_type,
        prog=f"dualsys {command}",
        description=_description(command, config_type),
        args=rest,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    if path is not None:
        parser = partial(parser, default=_file_defaults(command, config_type, path, tyro.MISSING))
    with _invalid_in_our_words():
        return parser()


@contextmanager
def _invalid_in_our_words() -> Iterator[None]:
    """Raise `ConfigError` where a nested configuration was refused: tyro would show what pydantic says, with links.

    What tyro says of anything else is shown as it is.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    except SystemExit as end:
        _refuse_invalid(end)
        sys.stderr.write(said.getvalue())
        raise


def _refuse_invalid(end: BaseException) -> None:
    """Raise `ConfigError` where what was raised on the way to this end is a configuration's own refusal."""
    from pydantic import ValidationError

    from dualsys.config import describe_invalid

    cause: BaseException | None = end
    nested: object = ""
    while cause is not None and not isinstance(cause, ValidationError):
        nested = getattr(cause, "arg", nested)  # tyro's name of what it was building, such as core.subgoal
        cause = cause.__context__
    if cause is not None:
        flags = f"--{nested}." if nested and isinstance(nested, str) else "--"
        raise ConfigError(describe_invalid(cause, flags=flags)) from cause


def _description(command: str, config_type: type) -> str:
    paragraphs = [COMMANDS[command].summary, inspect.cleandoc(config_type.__doc__ or "")]
    paragraphs.append(
        f"--config FILE takes options from the table [{_table(command)}] of a TOML file; flags win over it."
    )
    return "\n\n".join(paragraphs)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from dualsys import __version__

        sys.stdout.write(f"dualsys {__version__}\n")
        return 0
    if arguments[0] in _groups() and (len(arguments) == 1 or arguments[1] in ("-h", "--help", "help")):
        sys.stdout.write(_help(arguments[0]))
        return 0 if len(arguments) > 1 else 2
    command, rest = split_command(arguments)
    options = parse_options(command, rest)
    function: Callable[[Any], int | None] = _resolve(COMMANDS[command].function)
    return function(options) or 0


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """A command's name, of one word or two, and what follows it. Raises `ConfigError` for an unknown one."""
    length = 2 if arguments[0] in _groups() else 1
    command = " ".join(arguments[:length])
    if command not in COMMANDS:
        raise ConfigError(unknown_name("command", command, COMMANDS))
    return command, list(arguments[length:])


def _groups() -> set[str]:
    """First words of the commands of two."""
    return {name.split()[0] for name in COMMANDS if " " in name}


def _table(command: str) -> str:
    """A command's table in a TOML file."""
    return command.replace(" ", "-")


def _resolve(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _take_config_file(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    rest: list[str] = []
    path: Path | None = None
    pending = iter(arguments)
    for argument in pending:
        if argument == "--config":
            value = next(pending, None)
            if value is None:
                raise ConfigError("--config needs the name of a TOML file")
            path = Path(value)
        elif argument.startswith("--config="):
            path = Path(argument.removeprefix("--config="))
        else:
            rest.append(argument)
    return rest, path


def _file_defaults(command: str, config_type: type, path: Path, missing: object) -> Any:
    from dualsys.config import parse_values, partial_instance, read_tables

    tables, table = read_tables(path, tuple(map(_table, COMMANDS))), _table(command)
    if table not in tables:
        raise ConfigError(f"{path} has no table [{table}]; it has {', '.join(sorted(tables)) or 'none'}")
    values = parse_values(config_type, tables[table], where=f"{path}: [{table}]")
    return partial_instance(config_type, values, missing)


def _help(group: str = "") -> str:
    """Every command, or those of two words that begin with `group`."""
    shown = {name: entry for name, entry in COMMANDS.items() if not group or name.split()[0] == group}
    width = max(map(len, shown))
    rows = "\n".join(f"  {name:<{width}}  {entry.summary}" for name, entry in shown.items())
    usage = f"usage: dualsys {group or 'COMMAND'} {'COMMAND ' if group else ''}[options]"
    return f"{usage}\n\nTwo brains at two speeds for robots.\n\ncommands:\n{rows}\n\n{_EPILOG}"


if __name__ == "__main__":
    sys.exit(main())
