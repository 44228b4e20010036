import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dualsys.errors import ConfigError, DatasetError
from dualsys.measures import Histogram, Rate
from dualsys.messages import ActionChunk, Command, LatentSubgoal
from dualsys.recorder import CommandRecorder
from dualsys.telemetry import RunLog, digest, read_log


def _command(index: int, **changes: Any) -> Command:
    fields: dict[str, Any] = {
        "target": np.array([0.1 * index, math.pi]),
        "stamp_s": 0.1 * index,
        "source": "actor",
        "chunk_sequence": index,
        "row": index / 3,
        "subgoal_sequence": 2,
        "subgoal_epoch": 1,
        "subgoal_age_s": math.inf,
        "chunk_age_s": 0.7,
        "limited": ("velocity", "stale"),
    } | changes
    return Command(**fields)


def test_a_command_comes_back_to_the_bit(tmp_path: Path) -> None:
    command = _command(7)
    with RunLog(tmp_path / "log") as log:
        log.header(config={"planner_hz": 5.0}, path=tmp_path, weights=np.float32(0.1))
        log.command(command)
    header, line = read_log(tmp_path / "log")
    assert (header["kind"], header["format"], header["config"]) == ("header", 1, {"planner_hz": 5.0})
    assert header["weights"] == float(np.float32(0.1))
    assert line["target"] == command.target.tolist()
    assert (line["stamp_s"], line["row"]) == (command.stamp_s, command.row)
    assert line["limited"] == ["velocity", "stale"]
    assert line["subgoal_age_s"] is None, "infinite is no JSON number"


@settings(max_examples=50)
@given(tokens=hnp.arrays(np.float32, (2, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_model_outputs_are_logged_with_all_their_digits(tmp_path_factory: Any, tokens: Any) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    with RunLog(path) as log:
        log.subgoal(LatentSubgoal(tokens=tokens, observation_stamp_s=0.5, progress=0.25))
        log.chunk(ActionChunk(rows=tokens.astype(np.float64) / 3, dt_s=0.02, start_stamp_s=0.5))
    subgoal, chunk = read_log(path)
    assert np.array(subgoal["tokens"], dtype=np.float32).tobytes() == tokens.tobytes()
    assert np.array(chunk["rows"]).tobytes() == (tokens.astype(np.float64) / 3).tobytes()
    assert (subgoal["progress"], subgoal["mask"]) == (0.25, None)


def test_digests_tell_one_bit_apart(tmp_path: Path) -> None:
    one = np.zeros((2, 3), dtype=np.float32)
    other = one.copy()
    other[1, 2] = np.nextafter(np.float32(0), np.float32(1))
    assert len({digest(one), digest(other), digest(one.reshape(3, 2)), digest(one.astype(np.float64))}) == 4
    with RunLog(tmp_path / "log", arrays="digest") as log:
        log.subgoal(LatentSubgoal(tokens=one, observation_stamp_s=0.0))
        log.command(_command(0))
    subgoal, command = read_log(tmp_path / "log")
    assert subgoal["tokens"] == digest(one)
    assert len(command["target"]) == 2, "what was sent is always written out"


def test_lines_are_written_in_bounded_groups_and_all_of_them_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = RunLog(path, buffered_lines=10)
    for index in range(25):
        log.command(_command(index))
    assert len(read_log(path)) == 20
    log.close()
    log.close()
    assert [line["chunk_sequence"] for line in read_log(path)] == list(range(25))


def test_a_log_goes_into_a_new_folder_or_says_why_not(tmp_path: Path) -> None:
    with RunLog(tmp_path / "new" / "log") as log:
        log.event("end")
    with pytest.raises(ConfigError, match="cannot write the run log"):
        RunLog(tmp_path / "new" / "log" / "below")


def test_a_full_disk_ends_the_log_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with RunLog(Path("/dev/full"), buffered_lines=10) as log:
        for index in range(25):
            log.command(_command(index))
        assert caplog.text.count("cannot be written any more: No space left on device") == 1
    assert log.lost_lines == 25


def test_a_torn_log_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"kind": "end"}\n{"kind": "comm\n{"kind": "end"}\n')
    with pytest.raises(DatasetError, match="log:2 is no line"):
        read_log(tmp_path / "log")


@pytest.mark.parametrize("cut", [1, 8, 13])
def test_the_end_of_a_log_whose_process_was_killed_is_left_out(tmp_path: Path, cut: int) -> None:
    whole = '{"kind": "end"}\n{"kind": "é"}\n'.encode()
    (tmp_path / "log").write_bytes(whole[: len(whole) - cut])
    assert [line["kind"] for line in read_log(tmp_path / "log")] == ["end", "é"][: 2 if cut == 1 else 1]


def test_a_log_is_closed_when_the_run_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with RunLog(tmp_path / "log") as log:
            log.event("fault", part="actor")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert json.loads((tmp_path / "log").read_text())["part"] == "actor"


def test_the_recorder_gives_back_what_it_was_given() -> None:
    recorder = CommandRecorder(10, 2)
    commands = [_command(i, limited=("velocity", "stale") if i % 2 else ()) for i in range(6)]
    commands.append(_command(6, source="hold", limited=("finite", "position", "velocity", "acceleration", "stale")))
    for command in commands:
        recorder.record(command)
    for given_, back in zip(commands, recorder.commands(), strict=True):
        for name in Command.__slots__:
            assert np.array_equal(getattr(given_, name), getattr(back, name)), name


def test_a_full_recorder_keeps_the_newest_and_counts_the_rest() -> None:
    recorder = CommandRecorder(4, 2)
    for index in range(11):
        recorder.record(_command(index))
    assert [c.chunk_sequence for c in recorder.commands()] == [7, 8, 9, 10]
    assert (recorder.count, recorder.overwritten) == (11, 7)


def test_the_recorder_copies_the_target() -> None:
    recorder, target = CommandRecorder(2, 2), np.array([1.0, 2.0])
    recorder.record(_command(0, target=target))
    target[:] = 9.0
    assert next(recorder.commands()).target.tolist() == [1.0, 2.0]


@settings(max_examples=100)
@given(st.lists(st.floats(1e-6, 900), min_size=1, max_size=300))
def test_percentiles_are_exact_to_the_resolution(values: list[float]) -> None:
    histogram = Histogram(resolution=0.01)
    for value in values:
        histogram.add(value)
    summary = histogram.summary()
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999)):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert exact * 0.999999 <= summary[name] <= exact * 1.0101
    assert summary["max"] == max(values)
    assert summary["mean"] == pytest.approx(np.mean(values))
    assert summary["count"] == len(values)


def test_values_outside_the_bins_are_counted_where_they_belong() -> None:
    histogram = Histogram(smallest=1.0, largest=10.0)
    assert histogram.summary() == {"p50": None, "p99": None, "p99_9": None, "max": None, "mean": None, "count": 0}
    for value in (-5.0, 0.0, 0.5, 1e9, math.nan, math.inf):
        histogram.add(value)
    assert (histogram.count, histogram.unusable, histogram.maximum) == (4, 2, 1e9)
    assert histogram.quantile(0.5) <= 1.0
    assert histogram.quantile(1.0) == 1e9


def test_rates_are_between_the_first_and_the_last_event() -> None:
    rate = Rate()
    assert rate.hz == 0.0
    for index in range(11):
        rate.add(100.0 + index * 0.2)
    assert rate.hz == pytest.approx(5.0)
