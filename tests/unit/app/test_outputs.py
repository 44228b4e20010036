"""Places to write to are tried before the work, by the names of their options, and what lies there is left alone."""

from pathlib import Path

import pytest

from dualsys.app.outputs import require_outputs
from dualsys.errors import ConfigError


def test_folders_are_made_and_files_are_not(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("{}")
    require_outputs(
        {"--json": kept, "--log": tmp_path / "new" / "run.jsonl", "--video": None}, {"--flights": tmp_path / "flights"}
    )
    assert kept.read_text() == "{}"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "flights", "kept.json", "new",
    ]  # fmt: skip


def test_what_cannot_be_written_is_named_by_its_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--video .* cannot be written: Is a directory"):
        require_outputs({"--video": tmp_path})
    with pytest.raises(ConfigError, match=r"--json .*/file/run\.json cannot be written"):
        require_outputs({"--json": tmp_path / "file" / "run.json"})
    with pytest.raises(ConfigError, match=r"--flights .*/file cannot be written"):
        require_outputs({}, {"--flights": tmp_path / "file"})


def test_one_place_is_for_one_output(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run.json")
    with pytest.raises(ConfigError, match="--json and --log name the same place"):
        require_outputs({"--json": tmp_path / "run.json", "--log": tmp_path / "link"})
    require_outputs({"--json": Path("/dev/null"), "--log": Path("/dev/null")})
