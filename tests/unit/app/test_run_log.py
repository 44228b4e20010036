"""Parts of a run's log: put together by time, removed, or kept where the run failed."""

import json
from pathlib import Path

import pytest

from dualsys.app.run_log import log_folder, merge_logs


def test_the_parts_go_with_the_run(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    with log_folder(log) as folder:
        assert folder is not None
        (folder / "a.jsonl").write_text('{"kind": "command", "stamp_s": 1.0}\n{"kind": "end", "stamp_s": 3.0}\n')
        (folder / "b.jsonl").write_text('{"kind": "fault", "stamp_s": 2.0, "part": "actor"}\n{"kind": "cut')
        merge_logs(folder, log, {"config": {}})
    kinds = [json.loads(line)["kind"] for line in log.read_text().splitlines()]
    assert kinds == ["header", "command", "fault", "end"]
    assert list(tmp_path.iterdir()) == [log]


def fail_after_writing(log: Path, name: str, text: str) -> None:
    with log_folder(log) as folder:
        assert folder is not None
        (folder / name).write_text(text)
        raise KeyboardInterrupt


def test_a_run_that_fails_leaves_its_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, kept = tmp_path / "run.jsonl", tmp_path / "run.jsonl.parts"
    for word in ("first", "second"):
        with pytest.raises(KeyboardInterrupt):
            fail_after_writing(log, word, word)
        assert [path.name for path in kept.iterdir()] == [word]
    assert str(kept) in caplog.text
    with pytest.raises(KeyboardInterrupt):
        fail_after_writing(log, "empty", "")
    assert list(tmp_path.iterdir()) == [kept]
