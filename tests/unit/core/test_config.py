from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from dualsys.config import parse_values, partial_instance, read_tables
from dualsys.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    max_velocity_rad_s: float = 1.0
    joints: tuple[str, ...] = ()


class Inner(BaseModel, extra="forbid"):
    channels: tuple[int, ...] = (8, 16)


class Network(BaseModel, extra="forbid"):
    width: int = Field(default=64, gt=0)
    inner: Inner = Inner()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    task: str
    mode: Literal["inline", "threads"] = "inline"
    seconds: float = 10.0
    out: Path | None = None
    episodes: int = 1
    limits: Limits = field(default_factory=Limits)
    arm: Limits = field(default_factory=lambda: Limits(max_velocity_rad_s=3.0))
    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        if not isinstance(self.task, str):
            raise TypeError("task was never given")


def parse(**table: object) -> dict[str, object]:
    return parse_values(Options, table, where="run.toml: [run]")


def test_values_take_their_fields_types() -> None:
    values = parse(task="humanoid/touch", seconds=60, out="a/b.json", limits={"joints": ["elbow"]})
    assert values == {
        "task": "humanoid/touch",
        "seconds": 60.0,
        "out": Path("a/b.json"),
        "limits": {"joints": ("elbow",)},
    }
    assert isinstance(values["seconds"], float)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"secnds": 3}, r"run.toml: \[run\]: unknown key 'secnds'. Did you mean 'seconds'"),
        (
            {"limits": {"max_velocity": 3}},
            r"\[run\].limits: unknown key 'max_velocity'. Did you mean 'max_velocity_rad_s'",
        ),
        ({"network": {"width": "16"}}, r"\[run\]: network = .* is wrong: expected Network. width = '16'"),
        ({"network": {"width": True}}, r"\[run\]: network = .* is wrong: expected Network. width = True"),
        ({"network": {"inner": {"channels": ["8"]}}}, r"network = .* is wrong: .*channels.0 = '8'"),
        ({"seconds": "ten"}, r"\[run\]: seconds = 'ten' is wrong: expected float"),
        ({"episodes": 2.5}, r"\[run\]: episodes = 2.5 is wrong: expected int"),
        ({"episodes": True}, r"\[run\]: episodes = True is wrong: expected int"),
        ({"mode": "inlne"}, r"\[run\]: mode = 'inlne' is wrong: expected Literal\['inline', 'threads'\]"),
        ({"limits": 3}, r"\[run\]: limits = 3 is wrong"),
        ({"network": {"widht": 3}}, r"\[run\].network: unknown key 'widht'. Did you mean 'width'"),
        (
            {"network": {"inner": {"channel": []}}},
            r"\[run\].network.inner: unknown key 'channel'. Did you mean 'channels'",
        ),
        (
            {"network": {"width": 0}},
            r"\[run\]: network = .*expected Network. width = 0: must be above 0",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_file_key_and_type(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_values(Options, table, where="run.toml: [run]")


def test_a_models_table_keeps_the_defaults_of_other_keys() -> None:
    assert parse(network={"inner": {"channels": [4]}}) == {"network": Network(inner=Inner(channels=(4,)))}


def test_partial_instance_keeps_defaults_and_marks_what_is_missing() -> None:
    missing = object()
    options = partial_instance(Options, parse(limits={"max_velocity_rad_s": 0.5}), missing)
    assert options.task is missing
    assert options.mode == "inline"
    assert options.limits == Limits(max_velocity_rad_s=0.5)


def test_a_nested_table_keeps_what_its_field_starts_with() -> None:
    options = partial_instance(Options, parse(arm={"joints": ["elbow"]}), object())
    assert options.arm == Limits(max_velocity_rad_s=3.0, joints=("elbow",))


def test_tables_of_other_commands_are_left_alone_and_unknown_ones_refused(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text('[run]\ntask = "a"\n[eval]\nepisodes = 3\n')
    assert set(read_tables(file, ("run", "eval"))) == {"run", "eval"}
    with pytest.raises(ConfigError, match=r"all.toml: unknown table 'eval'. Available: run"):
        read_tables(file, ("run",))


@pytest.mark.parametrize(("content", "message"), [("task = 1", "must be a table"), ("[run", "not a TOML file")])
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_tables(file, ("run", "task"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.toml: No such file"):
        read_tables(tmp_path / "nowhere.toml", ("run",))
