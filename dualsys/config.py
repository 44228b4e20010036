"""Configuration files: TOML, one table per command, keys as the command's flags.

    [run]
    task = "humanoid/touch"
    mode = "processes"
    seconds = 60.0

    [eval]
    planner_hz = 5.0

A key is a flag's name with underscores; a nested configuration is a nested table (`[run.safety]`). One file may hold
the tables of several commands; each reads its own. Flags given on the command line win over the file. Unknown keys are
refused with the closest name, wrong types with the file, the key and the type that was expected.

A configuration is a frozen dataclass whose fields are documented where they stand; `--help` prints the same words.
"""

import dataclasses
import json
import tomllib
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dualsys.errors import ConfigError, unknown_name


def read_tables(path: Path, known: tuple[str, ...]) -> dict[str, Any]:
    """Tables of a configuration file by command. Raises `ConfigError` when it is not one."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error
    for key, value in document.items():
        if key not in known:
            raise ConfigError(f"{path}: {unknown_name('table', key, known)}")
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {key!r} must be a table, [{key}], not a {type(value).__name__}")
    return document


def parse_values(config_type: type, table: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Values of a table as the configuration's field types; nested tables stay dicts of the same kind.

    Args:
        config_type: A dataclass.
        table: What the file says.
        where: The file and table, for messages, such as `run.toml: [run]`.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type.
    """
    hints = get_type_hints(config_type)
    fields = {field.name for field in dataclasses.fields(config_type)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"{where}: {unknown_name('key', key, fields)}")
        nested = _member(hints[key], dataclasses.is_dataclass)
        model = _member(hints[key], _is_model)
        if nested is not None and isinstance(value, dict):
            values[key] = parse_values(nested, value, where=f"{where}.{key}")
        else:
            _check_elements(hints[key], value, where=f"{where}.{key}")
            if model is not None and isinstance(value, dict):
                require_model_keys(model, value, where=f"{where}.{key}")
            values[key] = _parse_leaf(hints[key], value, where=f"{where}: {key}")
    return values


def partial_instance(config_type: type, values: Mapping[str, Any], missing: object, *, base: Any = None) -> Any:
    """An instance without running its own checks. The command line fills it up and builds the real one, which does.

    Args:
        config_type: A dataclass.
        values: What the file says, as `parse_values` gives it.
        missing: What fields hold that are neither in the file nor have a default.
        base: An instance whose values stand in for defaults, such as those of a nested table's field.
    """
    hints = get_type_hints(config_type)
    instance: Any = object.__new__(config_type)
    for field in dataclasses.fields(config_type):
        nested = _member(hints[field.name], dataclasses.is_dataclass)
        default = _default_of(field, missing) if base is None else getattr(base, field.name)
        value = values.get(field.name, default)
        if field.name in values and nested is not None and isinstance(value, dict):
            value = partial_instance(nested, value, missing, base=default if isinstance(default, nested) else None)
        object.__setattr__(instance, field.name, value)
    return instance


def _default_of(field: dataclasses.Field[Any], missing: object) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return missing if field.default_factory is dataclasses.MISSING else field.default_factory()


def describe_invalid(error: ValidationError, *, flags: str = "", names: Mapping[str, str] | None = None) -> str:
    """What was refused, in one line: the fields, what they were and what they must be.

    Args:
        error: What a configuration raised when it was built.
        flags: What the flags of its fields begin with, `--` or, nested, `--safety.`: they are then named as flags.
        names: What a file that they were read from calls fields; the configuration itself isn't named then.
    """
    if names is not None:
        return _reason(error, names)
    if not flags:
        return f"{error.title}: {_reason(error)}"
    return "; ".join(dict.fromkeys(_flagged(detail, flags) for detail in error.errors()))


def _member(annotation: Any, is_kind: Callable[[type], bool]) -> Any:
    """The type of a kind behind `X` or `X | None`, or None where the field is a plain value."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return next((member for member in members if isinstance(member, type) and is_kind(member)), None)


def _is_model(kind: type) -> bool:
    return issubclass(kind, BaseModel)


def require_model_keys(model: type[BaseModel], table: Mapping[str, Any], *, where: str) -> None:
    """Raise `ConfigError` for unknown keys of a pydantic model, with the closest name, which pydantic doesn't give."""
    for key, value in table.items():
        if key not in model.model_fields:
            raise ConfigError(f"{where}: {unknown_name('key', key, model.model_fields)}")
        nested = _member(model.model_fields[key].annotation, _is_model)
        if nested is not None and isinstance(value, dict):
            require_model_keys(nested, value, where=f"{where}.{key}")


def _check_elements(annotation: Any, value: Any, *, where: str) -> None:
    """Refuse unknown keys and wrong types in an array of tables (`[[run.safety.workspace]]`), naming the table."""
    element = (*get_args(annotation), None)[0] if get_origin(annotation) is tuple else None
    if not (isinstance(element, type) and dataclasses.is_dataclass(element) and isinstance(value, list)):
        return
    for number, table in enumerate(value, start=1):
        if isinstance(table, dict):
            parse_values(element, table, where=f"{where} number {number}")


def _parse_leaf(annotation: Any, value: Any, *, where: str) -> Any:
    try:
        # Through JSON, strictness still reads a string as a path and a list as a tuple, and nothing else.
        return TypeAdapter(annotation).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{where} = {value!r} is wrong: expected {_name(annotation)}. {_reason(error)}") from error


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _reason(error: ValidationError, names: Mapping[str, str] = MappingProxyType({})) -> str:
    return "; ".join(dict.fromkeys(_detail(detail, names) for detail in error.errors()))


def _detail(detail: ErrorDetails, names: Mapping[str, str]) -> str:
    where = ".".join(map(str, detail["loc"]))
    where = names.get(where, where)
    return f"{where} = {detail['input']!r}: {_said(detail)}" if where else _said(detail)


def _flagged(detail: ErrorDetails, flags: str) -> str:
    if not detail["loc"]:
        return f"{flags.rstrip('.')}: {_said(detail)}"
    field = ".".join(str(part).replace("_", "-") for part in detail["loc"])
    return f"{flags}{field} {detail['input']} {_said(detail)}"


_WORDS = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}
"""Of pydantic's kinds of errors, those that our configurations can raise, in the words of ours."""


def _said(detail: ErrorDetails) -> str:
    words = _WORDS.get(detail["type"])
    return detail["msg"] if words is None else words.format(**detail.get("ctx", {}))
