"""What a training is watched with: a page that needs nothing else, and a log that TensorBoard reads."""

import base64
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dualsys.app.cli import main as dualsys
from dualsys.app.pages import videos
from dualsys.app.training.report import write_report
from dualsys.errors import CheckpointError, ConfigError
from tests.training.training_parts import OPTIONS, curve, record_touch

VIDEO = bytes(range(256)) * 40
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_touch(tmp_path_factory.mktemp("data") / "touch")


@pytest.fixture(scope="module")
def trained(dataset: Path) -> Path:
    """A training whose name would be markup, if a page took it as such."""
    out = dataset.parent / "out"
    arguments = ["train", "--data", str(dataset), "--out", str(out), *OPTIONS, "--name", "<b>bold</b>"]
    assert dualsys(arguments) == 0
    return out


class Page(HTMLParser):
    """Tables by their id, as texts, and whatever a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self._cell: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.fetched += [value for key, value in values.items() if key in ("src", "href", "xlink:href") and value]
        if tag == "table":
            self._table = self.tables.setdefault(values.get("id") or "", [])
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append("")
            self._cell = self._table[-1]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell[-1] += data


def test_the_page_tells_what_was_trained_and_needs_nothing_else(trained: Path) -> None:
    text = (trained / "training/report.html").read_text()
    page = Page(text)
    assert all(target.startswith("#") for target in page.fetched)
    assert not {"script", "link", "iframe", "b"} & set(page.tags)
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert page.tags.count("svg") == 1
    head, *rows = page.tables["validation"]
    logged = [record for record in curve(trained) if "validation_flow" in record]
    assert len(rows) == len(logged) == 2
    for row, record in zip(rows, logged, strict=True):
        shown = dict(zip(head, row, strict=True))
        for key, value in record.items():
            assert float(shown[key.replace("_", " ")]) == pytest.approx(value, rel=1e-3)
    assert dict(page.tables["configuration"])["actor.horizon"] == "32"
    assert dict(page.tables["configuration"])["data"] == "touch"
    assert dict(page.tables[""])["task"] == "humanoid/touch"
    assert {"torch", "mujoco", "python"} <= set(dict(page.tables["versions"]))
    assert page.tables["starts"][1:] == [["0", "1", "cpu", "float32"]]


def test_videos_are_put_into_the_page_up_to_a_size(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first.mp4").write_bytes(VIDEO)
    (tmp_path / "second.mp4").write_bytes(VIDEO[1:])
    (tmp_path / "note.txt").write_text("no video")
    assert dualsys(["report", str(trained), "--videos", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"wrote {trained / 'training/report.html'}\n"
    shown = [each for each in Page((trained / "training/report.html").read_text()).fetched if each.startswith("data:")]
    assert [base64.b64decode(each.partition("base64,")[2]) for each in shown] == [VIDEO, VIDEO[1:]]
    monkeypatch.setattr(videos, "MAX_VIDEO_BYTES", len(VIDEO))
    text = write_report(trained, tmp_path).read_text()
    assert text.count("<video") == 1
    assert "too large: second.mp4 (0.0 MB)" in text


def test_a_report_of_nothing_or_with_no_videos_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        write_report(tmp_path)
    with pytest.raises(ConfigError, match=r"--videos .* is no folder"):
        write_report(trained, tmp_path / "none")


def test_tensorboard_s_file_holds_the_curve(trained: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    [file] = (trained / "training/tensorboard").iterdir()
    events = [Event.FromString(payload) for payload in _records(file.read_bytes())]
    assert events[1].session_log.status == SessionLog.START
    told = {(event.step, value.tag): value.simple_value for event in events for value in event.summary.value}
    for record in curve(trained):
        for key, value in record.items():
            kind = "validation" if key.startswith("validation_") else "training"
            if key != "step":
                tag = f"{key.removeprefix('validation_')}/{kind}"
                assert told[(int(record["step"]), tag)] == pytest.approx(value, rel=1e-6)


def _records(data: bytes) -> list[bytes]:
    """TFRecord's frames: length (8 bytes), its checksum (4), payload, its checksum (4)."""
    payloads, start = [], 0
    while start < len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        payloads.append(data[start + 12 : start + 12 + length])
        start += 16 + length
    return payloads


def test_without_the_extra_training_says_once_how_to_get_it(dataset: Path, tmp_path: Path) -> None:
    program = "import sys; sys.modules['tensorboardX'] = None; from dualsys.app.cli import main; sys.exit(main())"
    arguments = ["train", "--data", str(dataset), "--out", str(tmp_path / "out"), *OPTIONS]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.count("pip install 'dualsys[train]'") == 1
    assert not (tmp_path / "out/training/tensorboard").exists()
    assert (tmp_path / "out/training/report.html").exists()
