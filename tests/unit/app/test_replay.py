"""What `dualsys replay` says, by its exit status, in words and in JSON."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dualsys.app.cli import main
from dualsys.bridge.tape_file import TapeWriter
from dualsys.events import Started
from dualsys.messages import Command
from dualsys.settings import CoreConfig, TimingConfig
from dualsys.tape import Record
from tests.properties.test_replay import Listed, head_of, played

CORE, TIMING = CoreConfig(), TimingConfig(actor_latency_s=0.03)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    tape = Listed()
    played(CORE, TIMING, ["none"], [0], tape)
    return tape.records


def said_of(records: Sequence[Record], folder: Path, shown: pytest.CaptureFixture[str]) -> tuple[int, str, str, bool]:
    """Status, title, verdict and whether it was the same."""
    with TapeWriter(folder / "run.mcap", head_of(CORE, TIMING)) as tape:
        for record in records:
            tape.add(record)
    status = main(["replay", str(folder / "run.mcap"), "--json", str(folder / "found.json")])
    found = json.loads((folder / "found.json").read_text())
    return status, " ".join(shown.readouterr().out.split()), found["verdict"], found["identical"]


def test_the_same(records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, title, *rest = said_of(records, tmp_path, capsys)
    assert (status, *rest) == (0, "identical", True)
    assert "the same commands to the bit" in title


def test_another_command(records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = [replace(each, row=-7.0) if isinstance(each, Command) else each for each in records]
    status, title, *rest = said_of(changed, tmp_path, capsys)
    assert (status, *rest) == (1, "different", False)
    assert "not the same" in title


def test_a_tape_from_the_midst_of_an_episode(
    records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, title, *rest = said_of(records[20:], tmp_path, capsys)
    assert (status, *rest) == (2, "nothing to compare", False)
    assert "no start" in title


def test_a_tape_that_ends_with_its_start(
    records: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    starts = [each for each in records if isinstance(each, Started)]
    status, title, *rest = said_of(starts, tmp_path, capsys)
    assert (status, *rest) == (2, "nothing to compare", False)
    assert "no command" in title


def test_a_tape_that_was_cut_off_is_said_to_be(
    records: list[Record], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.mcap"
    with TapeWriter(path, head_of(CORE, TIMING)) as tape:
        for record in records:
            tape.add(record)
    assert main(["replay", str(path)]) == 0
    assert caplog.text == ""
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])
    main(["replay", str(path)])
    assert "was cut off" in caplog.text


def test_an_empty_tape_is_refused_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.mcap").touch()
    assert main(["replay", str(tmp_path / "run.mcap")]) == 2
    assert "run.mcap is not a tape: it ends before it has begun" in capsys.readouterr().err
