"""A benchmark whose claim fails ends with a status that says so."""

import pytest

from benchmarks.report import exit_unless


def test_what_does_not_hold_is_named_and_is_the_exit_status() -> None:
    exit_unless({})
    exit_unless({"one": True, "not judged": None})
    with pytest.raises(SystemExit, match="failed: other, third") as ended:
        exit_unless({"one": True, "other": False, "third": False, "not judged": None})
    assert ended.value.code != 0
