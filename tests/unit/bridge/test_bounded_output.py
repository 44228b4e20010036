"""What processes print into shared memory has bounds: each reason once in full, files cut, their ends read alone."""

import logging
import os
import time
from pathlib import Path

import pytest

from dualsys.bridge.child import Child
from dualsys.bridge.output_file import MOST_BYTES, OutputFile, ends_of_output
from dualsys.bridge.own_process import OwnProcess
from dualsys.bridge.repeated import RepeatedWarnings


def test_a_reason_is_told_in_full_once_and_then_at_powers_of_ten(caplog: pytest.LogCaptureFixture) -> None:
    warnings = RepeatedWarnings(logging.getLogger("test"))
    for request in range(12_345):
        try:
            raise ValueError(f"tensor of {request % 7} rows")
        except ValueError as error:
            warnings.tell(f"no chunk for request {request}: {error}", error)
    warnings.tell("no chunk for request 5: something else")
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False, False, False, False]
    assert [message.rpartition(" (")[2] for message in caplog.messages[1:5]] == [
        f"{count} times by now)" for count in (10, 100, 1000, 10_000)
    ]
    assert caplog.messages[5] == "no chunk for request 5: something else"


def test_reasons_without_end_are_told_apart_up_to_a_bound(caplog: pytest.LogCaptureFixture) -> None:
    warnings = RepeatedWarnings(logging.getLogger("test"))
    for index in range(5000):
        warnings.tell("x" * index)
    assert len(caplog.messages) < 110
    assert len(warnings._counts) < 110


def test_a_file_that_grows_is_cut_and_goes_on_growing_at_its_end(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "out.log")
    with output.appended() as (file, before):
        assert before == 0
        for index in range(200_000):
            file.write(b"line %6d\n" % index)
            if index % 10_000 == 0:
                file.flush()
                output.trim()
                assert output.path.stat().st_size <= MOST_BYTES
        file.write(b"the end")
        file.flush()
        output.trim()
    assert output.end(19) == "line 199999\nthe end"
    assert "bytes before this were let go" in output.path.read_text()
    assert ends_of_output(tmp_path).startswith("out.log: ")
    assert len(ends_of_output(tmp_path)) < 1100


def test_what_is_said_while_a_file_is_cut_is_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, read = OutputFile(tmp_path / "out.log"), os.pread
    with output.appended() as (file, _):
        file.write(b"line\n" * (MOST_BYTES // 4))
        file.flush()

        def read_while_it_speaks(descriptor: int, nbytes: int, at: int) -> bytes:
            piece = read(descriptor, nbytes, at)
            if said:
                os.write(file.fileno(), said.pop(0))
            return piece

        said = [b"the last words, ", b"and the very last"]
        monkeypatch.setattr(os, "pread", read_while_it_speaks)
        assert output.trim()
        assert not said
        os.write(file.fileno(), b".")
    assert output.end(39) == "line\nthe last words, and the very last."
    assert output.path.stat().st_size < MOST_BYTES / 4


def test_the_end_is_read_from_where_it_begins(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "out.log")
    assert output.end(100) == ""
    output.path.write_text("before\nafter")
    assert output.end(100) == "before\nafter"
    assert output.end(3) == "ter"
    assert output.end(100, since=7) == "after"
    assert output.end(100, since=50) == ""


def test_a_child_that_prints_without_end_keeps_its_file_short_and_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "talking.py").write_text(
        "import time\nfor index in range(40):\n"
        "    print('x' * 99_999, flush=True)\n    time.sleep(0.02)\nprint('done', flush=True)\ntime.sleep(60)\n"
    )
    monkeypatch.chdir(tmp_path)
    child = Child("talking", [], log=tmp_path / "log", restart=None)
    child.start()
    sizes, until_s = [], time.monotonic() + 60
    while not child.tail().endswith("done") and time.monotonic() < until_s:
        child.watch()
        sizes.append((tmp_path / "log").stat().st_size)
        time.sleep(0.005)
    child.stop(within_s=5)
    assert child.tail().endswith("done")
    assert max(sizes) < 2 * MOST_BYTES


def test_last_words_are_of_the_newest_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first.py").write_text("print('y' * 9000)\nprint('old words')\n")
    (tmp_path / "silent.py").write_text("")
    monkeypatch.chdir(tmp_path)
    for module, words in (("first", "old words"), ("silent", "")):
        process = OwnProcess(module, [], log=tmp_path / "log")
        process.start()
        while process.exit_status is None:
            time.sleep(0.01)
        assert process.last_words() == words
