"""MCAP: logs of JSON and of ROS 2, and our own tapes, on an even grid; holes and damage are named."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import Writer as JsonWriter
from mcap_ros2.writer import Writer as RosWriter
from PIL import Image

from dualsys import sim_envs
from dualsys.app.cli import main
from dualsys.data import DemonstrationDataset
from dualsys.data.foreign.formats import find_format, open_source
from dualsys.errors import DatasetError

SECONDS = 2.0
JOINT_STATE = """\
std_msgs/Header header
string[] name
float64[] position
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
IMAGE = """\
std_msgs/Header header
uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""


def position(t: float) -> list[float]:
    return [t, 1 - t]


def picture(t: float) -> Any:
    film = np.full((8, 12, 3), (200, 100, 20), np.uint8)
    film[:, : 1 + int(t * 5)] = (10, 30, 250)
    return film


def moments(hz: float, first_s: float = 0.0) -> list[float]:
    return [first_s + index / hz for index in range(int(SECONDS * hz))]


def write_json(path: Path, *, hole: bool = False) -> Path:
    """States at 100 Hz, commands half-way between at 50 Hz, PNG at 5 Hz, as Foxglove has them."""
    with path.open("wb") as file:
        writer = JsonWriter(file)
        writer.start()
        schema = writer.register_schema(name="foxglove.CompressedImage", encoding="jsonschema", data=b"{}")
        plain = writer.register_schema(name="robot", encoding="jsonschema", data=b"{}")
        topics = {"/robot": plain, "/commands": plain, "/head/compressed": schema}
        channels = {name: writer.register_channel(name, "json", kind) for name, kind in topics.items()}
        messages: list[tuple[float, str, Any]] = []
        messages += [(t, "/robot", {"arm": {"position": position(t)}, "grip": t}) for t in moments(100)]
        messages += [(t, "/commands", {"target": position(t)}) for t in moments(50, 0.005)]
        for t in moments(5):
            blob = io.BytesIO()
            Image.fromarray(picture(t)).save(blob, "PNG")
            messages.append((t, "/head/compressed", {"data": base64.b64encode(blob.getvalue()).decode()}))
        for t, topic, content in sorted(messages, key=lambda message: message[0]):
            if hole and topic == "/robot" and 0.8 < t < 1.6:
                continue
            stamp = round(t * 1e9) + 10**9
            writer.add_message(channels[topic], stamp, json.dumps(content).encode(), stamp)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def write_ros2(path: Path) -> Path:
    """The same as ROS 2 logs it: CDR, raw pictures in BGR with longer rows."""
    with path.open("wb") as file:
        writer = RosWriter(file)
        joints = writer.register_msgdef("sensor_msgs/msg/JointState", JOINT_STATE)
        image = writer.register_msgdef("sensor_msgs/msg/Image", IMAGE)
        messages: list[tuple[float, str, Any, Any]] = []
        header = {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": ""}
        for topic, times in (("/joint_states", moments(100)), ("/joint_commands", moments(50, 0.005))):
            messages += [
                (t, topic, joints, {"header": header, "name": ["a", "b"], "position": position(t)}) for t in times
            ]
        for t in moments(5):
            rows = np.zeros((8, 40), np.uint8)
            rows[:, :36] = picture(t)[..., ::-1].reshape(8, 36)
            content = {"header": header, "height": 8, "width": 12, "encoding": "bgr8", "is_bigendian": 0, "step": 40}
            messages.append((t, "/head/image_raw", image, {**content, "data": rows.tobytes()}))
            depth = {**content, "encoding": "16UC1", "step": 24, "data": bytes(8 * 24)}
            messages.append((t, "/head/depth/image_raw", image, depth))
        for t, topic, schema, content in sorted(messages, key=lambda message: message[0]):
            stamp = round(t * 1e9) + 10**9
            writer.write_message(topic=topic, schema=schema, message=content, log_time=stamp, publish_time=stamp)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


JSON_KEYS = ["--state-keys", "/robot.arm.position", "--action-keys", "/commands.target"]
ROS_KEYS = ["--action-keys", "/joint_commands.position"]


@pytest.mark.parametrize(("write", "keys"), [(write_json, JSON_KEYS), (write_ros2, ROS_KEYS)])
def test_a_log_on_an_even_grid(tmp_path: Path, write: Callable[[Path], Path], keys: list[str]) -> None:
    source = write(tmp_path / "log.mcap")
    assert find_format(source) == "mcap"
    told = ["--instruction", "wave", "--fps", "20"]
    assert main(["data", "import", str(source), "--out", str(tmp_path / "out"), *keys, *told]) == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    # From 0 s, when all have begun, to 1.985 s, when the last command comes.
    times = np.arange(40) / 20
    assert data.episode_lengths.tolist() == [40]
    np.testing.assert_allclose(data.states, np.stack([times, 1 - times], axis=1), atol=1e-6)
    next_sent = np.ceil((times - 0.005) * 50 - 1e-6) / 50 + 0.005
    np.testing.assert_allclose(data.actions[:, 0], next_sent, atol=1e-6)
    shown = np.asarray(data.frames[data.frame_of_row], np.int16)
    expected = np.stack([picture(np.floor(t * 5 + 1e-6) / 5) for t in times])
    assert np.abs(shown - expected).mean() < 4.0


def test_several_files_are_several_episodes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_json(tmp_path / f"{name}.mcap")
    source = open_source(tmp_path, "auto", ("/robot.grip", "/robot.arm.position"), ("/commands.target",), 10)
    assert len(source) == 2
    assert source.state_names == ("robot.grip_0", "robot.arm.position_0", "robot.arm.position_1")


def test_depth_is_left_out_and_said(tmp_path: Path) -> None:
    source = open_source(write_ros2(tmp_path / "log.mcap"), "auto", (), ("/joint_commands.position",), 10)
    assert source.cameras == ("head",)
    assert source.notes["topics_left_out"] == ["/head/depth/image_raw"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((("/robot.grip",), ()), r"does not say what the commands were; .*It has topics /commands, /head"),
        ((("/robto.grip",), ("/commands.target",)), "/robto.grip is no TOPIC.FIELD of it; it has topics"),
        ((("/robot.leg",), ("/commands.target",)), "/robot.leg: no such field; the message has arm, grip"),
        ((("/robot.arm",), ("/commands.target",)), "/robot.arm holds no numbers"),
    ],
)
def test_columns_that_are_not_there(
    tmp_path: Path, keys: tuple[tuple[str, ...], tuple[str, ...]], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        open_source(write_json(tmp_path / "log.mcap"), "auto", *keys)


def test_holes_and_damage_are_named(tmp_path: Path) -> None:
    keys = (("/robot.grip",), ("/commands.target",), 20)
    source = open_source(write_json(tmp_path / "hole.mcap", hole=True), "auto", *keys)
    with pytest.raises(
        DatasetError, match=r"nothing of /robot.grip for 0\.\d\d s at .* leave the episode out: --skip 0"
    ):
        source.episode(0)
    with pytest.raises(DatasetError, match=r"does not say its rate; give it: --fps"):
        open_source(write_json(tmp_path / "log.mcap"), "auto", *keys[:2]).episode(0)
    cut = tmp_path / "cut.mcap"
    cut.write_bytes((tmp_path / "log.mcap").read_bytes()[:-200])
    with pytest.raises(DatasetError, match=r"cut\.mcap"):
        open_source(cut, "auto", *keys)


def write_plain(path: Path, messages: list[tuple[float, str, Any]]) -> Path:
    """JSON without schemas' names."""
    with path.open("wb") as file:
        writer = JsonWriter(file)
        writer.start()
        schema = writer.register_schema(name="plain", encoding="jsonschema", data=b"{}")
        channels = {name: writer.register_channel(name, "json", schema) for name in ("/robot", "/commands")}
        for t, topic, content in messages:
            writer.add_message(channels[topic], round(t * 1e9), json.dumps(content).encode(), round(t * 1e9))
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def test_numbers_that_are_none_and_commands_before_any_state_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in JointState, whose velocity is often left empty."""
    states = [(t, "/robot", {"place": position(t), "speed": []}) for t in moments(50, 1.0)]
    commands = [(t, "/commands", {"target": position(t)}) for t in moments(50)]
    told = ["--action-keys", "/commands.target", "--fps", "20", "--instruction", "wave"]

    def said(messages: list[tuple[float, str, Any]], field: str) -> str:
        log, out = write_plain(tmp_path / "log.mcap", messages), tmp_path / "out"
        assert main(["data", "import", str(log), "--out", str(out), "--state-keys", f"/robot.{field}", *told]) == 2
        assert not out.exists()
        return " ".join(capsys.readouterr().err.split())

    assert "what is to be the state has no components; choose others: --state-keys" in said(commands + states, "speed")
    early = [message for message in commands if message[0] < 0.9]
    assert "episode 0 has 0 rows; leave it out: --skip 0" in said(early + states, "place")


@pytest.mark.parametrize("other", [["b", "a"], ["right_a", "right_b"]])
def test_a_topic_of_now_these_and_now_those_joints_is_refused(tmp_path: Path, other: list[str]) -> None:
    """As where both arms' drivers write to `/joint_states`."""
    states = [
        (t, "/robot", {"name": ["a", "b"] if index % 2 == 0 else other, "position": position(t)})
        for index, t in enumerate(moments(50))
    ]
    commands = [(t, "/commands", {"target": position(t)}) for t in moments(50)]
    log = write_plain(tmp_path / "log.mcap", states + commands)
    with pytest.raises(DatasetError, match=f"/robot.position is of a, b, and elsewhere of {', '.join(other)}"):
        open_source(log, "auto", ("/robot.position",), ("/commands.target",), 20)


def test_files_of_other_joints_are_refused(tmp_path: Path) -> None:
    for name, joints in (("a", ["left", "grip"]), ("b", ["grip", "left"])):
        states = [(t, "/robot", {"name": joints, "position": position(t)}) for t in moments(50)]
        write_plain(tmp_path / f"{name}.mcap", states + [(t, "/commands", {"target": [t]}) for t in moments(50)])
    source = open_source(tmp_path, "auto", ("/robot.position",), ("/commands.target",), 20)
    assert len(source.episode(0).states) > 0
    with pytest.raises(DatasetError, match=r"b\.mcap: /robot.position is of left, grip, and elsewhere of grip, left"):
        source.episode(1)


def test_a_changed_byte_of_the_messages_is_told(tmp_path: Path) -> None:
    whole = write_json(tmp_path / "log.mcap").read_bytes()
    for place in range(len(whole) // 40, 2 * len(whole) // 5, len(whole) // 20):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "bad.mcap").write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"bad\.mcap"):
            open_source(tmp_path / "bad.mcap", "auto", ("/robot.grip",), ("/commands.target",), 20)


def test_a_tape_of_ours_becomes_a_dataset(tmp_path: Path) -> None:
    """Each episode of a recorded run: what was observed, and what was sent."""
    tape = tmp_path / "run.mcap"
    run = ["run", "humanoid/touch", "--seconds", "4", "--control-hz", "100", "--record", str(tape)]
    assert main([*run, "--planner", "null", "--actor", "hold"]) == 0
    told = ["--fps", "50", "--task", "humanoid/touch"]
    assert main(["data", "import", str(tape), "--out", str(tmp_path / "out"), *told]) == 0
    data = DemonstrationDataset.open(tmp_path / "out")
    assert len(data.episode_lengths) >= 1
    assert data.states.shape[1] == open_source(tape, "auto", (), (), 50).episode(0).states.shape[1]
    assert np.all(np.isfinite(data.actions))
    environment = sim_envs.make("humanoid/touch", images="on-demand")
    environment.reset(seed=8000)
    assert data.instructions[0] == environment.instruction
    environment.close()
