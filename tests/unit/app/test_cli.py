import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import pytest
import tyro
from pydantic import BaseModel

from dualsys.app import cli
from dualsys.app.commands import COMMANDS, CommandEntry
from dualsys.errors import ConfigError
from dualsys.settings import SafetyConfig, StalenessConfig, TimingConfig

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "ray", "transformers", "mujoco", "pyarrow", "av", "dm_control", "tyro", "matplotlib")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """Options of the probe."""

    task: Annotated[str, tyro.conf.Positional]
    """What to do."""
    seconds: float = 1.0
    """How long."""

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ConfigError(f"--seconds must be positive, got {self.seconds}")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[ProbeConfig]:
    """A command `probe` that records its options and returns 3."""
    seen: list[ProbeConfig] = []

    def run(config: ProbeConfig) -> int:
        TimingConfig(planner_latency_s=10.0 - config.seconds)
        seen.append(config)
        return 3

    module = ModuleType("probe_command")
    module.ProbeConfig, module.main = ProbeConfig, run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_command", module)
    entry = CommandEntry(config="probe_command:ProbeConfig", function="probe_command:main", summary="Probe.")
    monkeypatch.setitem(COMMANDS, "probe", entry)
    return seen


def test_flags_reach_the_command_and_its_status_comes_back(calls: list[ProbeConfig]) -> None:
    assert cli.main(["probe", "humanoid/touch", "--seconds", "5"]) == 3
    assert calls == [ProbeConfig(task="humanoid/touch", seconds=5.0)]


def test_flags_win_over_the_file(calls: list[ProbeConfig], tmp_path: Path) -> None:
    file = tmp_path / "probe.toml"
    file.write_text('[probe]\ntask = "from/file"\nseconds = 7\n')
    cli.main(["probe", "--config", str(file)])
    cli.main(["probe", f"--config={file}", "--seconds", "2"])
    cli.main(["probe", "from/flag", "--config", str(file)])
    assert [(c.task, c.seconds) for c in calls] == [("from/file", 7.0), ("from/file", 2.0), ("from/flag", 7.0)]


def test_the_file_may_leave_required_options_to_the_flags(calls: list[ProbeConfig], tmp_path: Path) -> None:
    file = tmp_path / "probe.toml"
    file.write_text("[probe]\nseconds = 7\n")
    cli.main(["probe", "a/b", "--config", str(file)])
    assert calls == [ProbeConfig(task="a/b", seconds=7.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prob", "x"], "dualsys: unknown command 'prob'. Did you mean 'probe'"),
        (["data", "chek", "x"], "dualsys: unknown command 'data chek'. Did you mean 'data check'"),
        (["probe", "x", "--seconds", "-1"], "dualsys: --seconds must be positive, got -1.0"),
        (["probe", "x", "--seconds", "11"], "dualsys: TimingConfig: planner_latency_s = -1.0: must be at least 0"),
        (["probe", "x", "--config"], "dualsys: --config needs the name of a TOML file"),
        (["probe", "x", "--config", "nowhere.toml"], "dualsys: cannot read the configuration file nowhere.toml"),
    ],
)
def test_errors_are_one_line_without_traceback(
    calls: list[ProbeConfig], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(arguments) == 2
    written = capsys.readouterr().err
    assert message in written
    assert written.count("\n") == 1
    assert not calls


def test_a_wrong_key_in_the_file_is_refused(
    calls: list[ProbeConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "probe.toml"
    file.write_text("[probe]\nsecond = 7\n")
    assert cli.main(["probe", "x", "--config", str(file)]) == 2
    assert "[probe]: unknown key 'second'. Did you mean 'seconds'" in capsys.readouterr().err


def test_an_unknown_flag_is_refused(calls: list[ProbeConfig], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["probe", "x", "--secnds", "3"])
    assert stopped.value.code == 2
    assert "--seconds" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_every_command_names_each_option(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command.split(), "--help"])
    assert stopped.value.code == 0
    written = capsys.readouterr().out
    assert f"usage: dualsys {command}" in written
    assert "--config FILE" in written
    options = dict(leaves(cli._resolve(COMMANDS[command].config)))
    assert options
    words = set(written.replace(",", " ").split())
    missing = {flag for flag, no_flag in options.items() if not {flag, no_flag} & words}
    assert not missing


def leaves(config_type: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flags of a configuration's plain values, and how a switch that is on is turned off; positionals left out."""
    annotations = get_type_hints(config_type, include_extras=True)
    for name, annotation in annotations.items():
        flag = prefix + name.replace("_", "-")
        if is_nested(annotation):
            yield from leaves(annotation, f"{flag}.")
        elif any(is_nested(kind) for kind in get_args(annotation)):
            continue  # a choice between tables, which tyro makes a subcommand
        elif tyro.conf.Positional not in getattr(annotation, "__metadata__", ()) and get_origin(annotation) != ClassVar:
            *scope, last = flag.split(".")
            yield f"--{flag}", "--" + ".".join([*scope, f"no-{last}"])


def is_nested(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, BaseModel))


SAFER = "[safety]\nvelocity_scale = 0.2\n[core.subgoal]\non_expired = 'hold'\n"


@pytest.mark.parametrize("command", ["run", "eval"])
def test_safety_and_staleness_are_chosen_in_a_file_or_by_flags(command: str, tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(SAFER.replace("[", f"[{command}."))
    read = cli.parse_options(command, ["humanoid/touch", "--config", str(file), "--core.subgoal.expire-s", "3"])
    flags = ["--safety.velocity-scale", "0.2", "--core.subgoal.on-expired", "hold", "--core.subgoal.expire-s", "3"]
    assert read == cli.parse_options(command, ["humanoid/touch", *flags])
    assert read.safety == SafetyConfig(velocity_scale=0.2)
    subgoal = StalenessConfig(fresh_s=0.4, usable_s=1.0, expire_s=3.0, on_expired="hold")
    untouched = cli.parse_options(command, ["humanoid/touch"]).core
    assert read.core == replace(untouched, subgoal=subgoal)


@pytest.mark.parametrize("scale", ["0", "1.5"])
def test_a_share_of_the_limits_beyond_them_is_refused(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "humanoid/touch", "--safety.velocity-scale", scale]) == 2
    assert f"dualsys: --safety.velocity-scale {float(scale)} must be a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--core.actor-hz", "nan"], "--core.actor-hz nan must be a finite number"),
        (["--core.subgoal.usable-s", "-1"], "--core.subgoal.usable-s -1.0 must be at least 0"),
        (["--core.subgoal.expire-s", "0.1"], "--core.subgoal: ages must rise: fresh_s 0.4 <= usable_s 1.0"),
        (["--core.chunk-policy", "niave"], "--core.chunk-policy: unknown chunk policy 'niave'. Did you mean 'naive'?"),
        (["--core.chunk-policy", "mine:Mine"], "--core.chunk-policy: unknown chunk policy 'mine:Mine'"),
        (["--planner", "nul"], "--planner: unknown planner 'nul'. Did you mean 'null'?"),
        (["--actor", "flwo"], "--actor: unknown actor 'flwo'. Did you mean 'flow'?"),
        (["--planner-latency-s", "-1"], "--planner-latency-s -1.0 must be at least 0"),
        (["--planner-hz", "0"], "--planner-hz 0.0 must be above 0"),
        (["--control-hz", "0"], "--control-hz 0.0 must be above 0"),
    ],
)
@pytest.mark.parametrize("command", ["run", "eval"])
def test_values_that_mean_nothing_are_refused_with_the_options_and_by_their_flags(
    command: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In our words, not in those of the library that checks them."""
    with pytest.raises(ConfigError) as refused:
        cli.parse_options(command, ["humanoid/touch", *options])
    assert capsys.readouterr().err == ""
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_a_nested_value_of_a_file_is_named_as_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "robot.toml"
    file.write_text("[run.safety]\nvelocity_scale = 0\n")
    assert cli.main(["run", "humanoid/touch", "--config", str(file)]) == 2
    assert capsys.readouterr().err == "dualsys: --safety.velocity-scale 0.0 must be above 0.0\n"


@pytest.mark.parametrize(
    ("command", "metavar"),
    [
        ("run", "TASK"), ("demos", "TASK"), ("correct", "TASK"), ("eval", "SUITE_OR_TASK"),
        ("data check", "DATASET ..."), ("data import", "SOURCE"), ("report", "OUT_OR_JSON ..."),
    ],
)  # fmt: skip
def test_help_says_what_a_command_is_about_and_not_its_type(
    command: str, metavar: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether what it means stands beside it or below is tyro's choice, by the lengths of all flags."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    _, *lines = capsys.readouterr().out.split("positional arguments")[1].splitlines()
    first = next(line for line in (line.strip(" │-") for line in lines) if line)
    assert f"{first} ".startswith(f"{metavar} ")


MINE = "class Mine:\n    pass\nraise ImportError('mine was found')\n"


def test_the_installed_script_finds_modules_of_the_working_directory(tmp_path: Path) -> None:
    """As `python -m dualsys` does; a script's own folder is another."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/dualsys"
    script.write_text("import sys\nfrom dualsys.app.cli import main\nsys.exit(main())\n")
    words = ["eval", "humanoid/touch", "--episodes", "1", "--planner", "mine:Mine"]
    done = subprocess.run(
        [sys.executable, str(script), *words],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "part 'mine:Mine' cannot be imported: mine was found" in done.stderr


def modules_after(*arguments: str) -> tuple[str, list[str]]:
    """What a command line prints, and which heavy modules it has imported in a fresh process."""
    program = (
        "import atexit, sys; from dualsys.app.cli import main;"
        f"atexit.register(lambda: print(*[m for m in {HEAVY} if m in sys.modules], file=sys.stderr));"
        f"main({list(arguments)})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr.split()


def test_help_is_light() -> None:
    printed, heavy = modules_after("--help")
    assert all(command in printed for command in COMMANDS)
    assert heavy == []


def test_commands_of_two_words_have_a_help_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "--help"]) == 0
    written = capsys.readouterr().out
    assert "usage: dualsys data COMMAND" in written
    assert "data check" in written
    assert "doctor" not in written
    assert cli.main(["data"]) == 2


def test_a_command_of_two_words_reads_its_table(tmp_path: Path) -> None:
    file = tmp_path / "check.toml"
    file.write_text('[data-check]\nfolders = ["data/touch"]\n')
    options = cli.parse_options("data check", ["--config", str(file)])
    assert options.folders == (Path("data/touch"),)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_a_command_imports_no_framework(command: str) -> None:
    _, heavy = modules_after(*command.split(), "--help")
    assert not {"torch", "ray", "transformers", "dm_control"} & set(heavy)


def test_a_reader_that_goes_ends_a_command_quietly() -> None:
    """`dualsys eval --help | head`."""
    with subprocess.Popen(
        [sys.executable, "-m", "dualsys", "eval", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
