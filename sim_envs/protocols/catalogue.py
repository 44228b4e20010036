"""The protocols that are shipped, and those of a user's own files."""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dualsys.config import describe_invalid, require_model_keys
from dualsys.errors import ConfigError, unknown_name
from dualsys.sim_envs.protocols.evaluation_protocol import EvaluationProtocol

SUFFIX = ".toml"


def protocol_names() -> tuple[str, ...]:
    """Names of the shipped protocols, sorted."""
    return tuple(sorted(_shipped()))


def protocol_called(name_or_file: str) -> EvaluationProtocol:
    """A shipped protocol by its name, or one of your own by its file, which ends in `.toml` and is read each time.

    Raises `ConfigError` for a name that is unknown, and for a file that can't be read or says what means nothing.
    """
    if name_or_file.endswith(SUFFIX):
        return _read(Path(name_or_file))
    if name_or_file not in _shipped():
        raise ConfigError(f"{unknown_name('protocol', name_or_file, _shipped())} Or a file of your own: FILE{SUFFIX}")
    return _shipped_one(name_or_file)


@cache
def _shipped_one(name: str) -> EvaluationProtocol:
    return _read(_shipped()[name])


@cache
def _shipped() -> dict[str, Path]:
    folder = Path(str(resources.files(__package__)))
    return {path.stem: path for path in folder.glob(f"*{SUFFIX}")}


def _read(path: Path) -> EvaluationProtocol:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        require_model_keys(EvaluationProtocol, values, where=f"{path}")
        return EvaluationProtocol(name=path.stem, **values)
    except OSError as error:
        raise ConfigError(f"cannot read the protocol {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_invalid(error, names={})}") from error
    except TypeError as error:  # it gives itself a name
        raise ConfigError(f"{path}: the protocol's name is its file's; leave name out") from error
