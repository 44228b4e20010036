"""Where a command writes, tried before its work begins: a place that can't be written costs no run."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dualsys.errors import ConfigError


def require_outputs(files: Mapping[str, Path | None], folders: Mapping[str, Path | None] | None = None) -> None:
    """Make the folders that outputs go to, and try to write there; what a file holds is left alone.

    Args:
        files: Files by option; None: not asked for.
        folders: Folders by option.

    Raises:
        ConfigError: naming the option that cannot be written, or two that name one place.
    """
    named = {option: path for option, path in {**files, **(folders or {})}.items() if path is not None}
    _require_different(named)
    for option, path in named.items():
        try:
            (_try_folder if folders and option in folders else _try_file)(path)
        except OSError as error:
            raise ConfigError(f"{option} {path} cannot be written: {error.strerror}. Choose another place") from error


def _require_different(named: Mapping[str, Path]) -> None:
    taken: dict[Path, str] = {}
    for option, path in named.items():
        other = taken.setdefault(path.resolve(), option)
        if other != option and not path.is_char_device():  # many may write to /dev/null
            raise ConfigError(f"{other} and {option} name the same place, {path}: give each its own")


def _try_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        os.close(os.open(path, os.O_WRONLY))
    else:
        path.touch()
        path.unlink()


def _try_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass
