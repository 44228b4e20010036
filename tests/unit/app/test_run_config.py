"""Options of `run` reach the processes that they are about, and what means nothing is refused by its flag."""

import pytest

from dualsys.app import cli
from dualsys.app.run import system_config
from dualsys.checkpoint import Checkpoint

BASE = ["humanoid/touch", "--mode", "processes"]


def test_what_is_done_when_something_hangs_or_is_old_can_be_chosen() -> None:
    flags = ["--supervision.ready-within-s", "31", "--supervision.hangs-after-s", "4"]
    flags += ["--supervision.max-failed-starts", "7", "--supervision.ray-head-gone-after-s", "6"]
    flags += ["--image.expire-s", "0.8", "--image.on-stale", "hold"]
    options = cli.parse_options("run", BASE + flags)
    system = system_config(options, Checkpoint.open(options.checkpoint), log=None)
    assert (system.ready_within_s, system.hangs_after_s) == (31, 4)
    assert (system.max_failed_starts, system.ray_head_gone_after_s) == (7, 6)
    assert (system.image.expire_s, system.image.on_stale, system.image.on_expired) == (0.8, "hold", "hold")


def test_left_alone_they_are_those_of_a_system() -> None:
    options = cli.parse_options("run", BASE)
    system = system_config(options, Checkpoint.open(options.checkpoint), log=None)
    fields = type(system).model_fields
    for name in ("image", "ready_within_s", "hangs_after_s", "max_failed_starts", "ray_head_gone_after_s"):
        assert getattr(system, name) == fields[name].default, name


def test_what_cannot_be_done_with_an_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", *BASE, "--image.on-expired", "null"]) == 2
    assert "--image.on-expired null: with an old image an actor can keep or hold" in capsys.readouterr().err
