"""Options of `run` reach the processes that they are about, and what means nothing is refused by its flag."""

from dataclasses import fields
from typing import Any

import pytest

from dualsys.app import cli
from dualsys.app.run import system_config
from dualsys.app.run_config import RunConfig
from dualsys.app.run_modes import READ_IN
from dualsys.app.run_parts import checkpoint_parts
from dualsys.checkpoint import Checkpoint

BASE = ["humanoid/touch", "--mode", "processes"]


def test_what_is_done_when_something_hangs_or_is_old_can_be_chosen() -> None:
    flags = ["--supervision.ready-within-s", "31", "--supervision.hangs-after-s", "4"]
    flags += ["--supervision.max-failed-starts", "7", "--supervision.ray-head-gone-after-s", "6"]
    flags += ["--image.expire-s", "0.8", "--image.on-stale", "hold"]
    options = cli.parse_options("run", BASE + flags)
    system = system_config(options, checkpoint_parts(options, Checkpoint.open(options.checkpoint)), log=None)
    assert (system.ready_within_s, system.hangs_after_s) == (31, 4)
    assert (system.max_failed_starts, system.ray_head_gone_after_s) == (7, 6)
    assert (system.image.expire_s, system.image.on_stale, system.image.on_expired) == (0.8, "hold", "hold")


def test_left_alone_they_are_those_of_a_system() -> None:
    options = cli.parse_options("run", BASE)
    system = system_config(options, checkpoint_parts(options, Checkpoint.open(options.checkpoint)), log=None)
    fields = type(system).model_fields
    for name in ("image", "ready_within_s", "hangs_after_s", "max_failed_starts", "ray_head_gone_after_s"):
        assert getattr(system, name) == fields[name].default, name


def test_what_cannot_be_done_with_an_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", *BASE, "--image.on-expired", "null"]) == 2
    assert "--image.on-expired null: with an old image an actor can keep or hold" in capsys.readouterr().err


READ_NOWHERE_ELSE = [
    ("inline", "--planner-standbys 1", "processes"),
    ("inline", "--launcher subprocess", "processes"),
    ("inline", "--ray-address 10.0.0.2:6379", "processes"),
    ("inline", "--realtime.scheduler none", "threads and processes"),
    ("inline", "--supervision.hangs-after-s 4.0", "processes"),
    ("inline", "--planner-life.restart.max-restarts 1", "processes"),
    ("inline", "--planner-life.max-failures 3", "threads and processes"),
    ("inline", "--camera-hz 5.0", "threads and processes"),
    ("threads", "--planner-standbys 1", "processes"),
    ("threads", "--supervision.ready-within-s 4.0", "processes"),
    ("threads", "--planner-life.hangs-after-s 5.0", "processes"),
    ("threads", "--realtime.cpu 1", "processes"),
    ("threads", "--planner-latency-s 0.5", "inline"),
    ("processes", "--planner-latency-s 0.5", "inline"),
    ("processes", "--actor-latency-s 0.5", "inline"),
]


@pytest.mark.parametrize(("mode", "flag", "where"), READ_NOWHERE_ELSE)
def test_an_option_that_the_mode_does_not_read_is_refused(
    mode: str, flag: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "humanoid/touch", "--mode", mode, *flag.split()]) == 2
    assert f"{flag} means nothing in --mode {mode}: it is read in {where}. Leave it out" in capsys.readouterr().err


def test_a_configuration_file_for_another_mode_is_refused_by_the_flag(tmp_path: Any) -> None:
    file = tmp_path / "robot.toml"
    file.write_text('[run]\ntask = "humanoid/touch"\nmode = "processes"\n[run.supervision]\nhangs_after_s = 4.0\n')
    assert cli.parse_options("run", ["--config", str(file)]).supervision.hangs_after_s == 4.0
    assert cli.main(["run", "--config", str(file), "--mode", "threads"]) == 2


def test_what_is_read_everywhere_or_left_alone_is_taken_in_every_mode() -> None:
    for mode in ("inline", "threads", "processes"):
        flags = ["--mode", mode, "--image.expire-s", "1", "--core.actor-hz", "10", "--planner-hz", "4"]
        options = cli.parse_options("run", ["humanoid/touch", *flags, "--camera-hz", "10.0"])
        assert (options.mode, options.image.expire_s) == (mode, 1)
    cli.parse_options("run", ["humanoid/touch", "--mode", "threads", "--realtime.scheduler", "none"])
    cli.parse_options("run", ["humanoid/touch", "--mode", "threads", "--planner-life.max-failures", "3"])


def test_the_table_of_modes_names_options_that_exist() -> None:
    standard = RunConfig(task="humanoid/touch")
    for name in READ_IN:
        nested: Any = standard
        for part in name.split("."):
            assert part in {field.name for field in fields(nested)}, name
            nested = getattr(nested, part)
