"""Robot logs in MCAP: our own tapes, JSON of any schema, and ROS 2.

A column is a field of a topic's messages, `/joint_states.position`. Its values, which come when they come, are put on
an even grid: a row has the newest state and the newest picture of each camera at its time, and the first action from
then on, the one that was sent after it. A file is an episode; in a tape of ours each start is one.

    state      x   x   x   x   x   x      a row:   state and pictures not after it,
    row          |       |       |                 action not before it
    action     o   o   o   o   o   o

Cameras are the topics of `sensor_msgs/Image`, `sensor_msgs/CompressedImage` and `foxglove.CompressedImage`. Source:
mcap.dev/spec; ROS 2's common_interfaces.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from dualsys.data.foreign.mcap_messages import field_of, messages_of, schemas_of
from dualsys.data.foreign.mcap_pictures import camera_name, is_in_colour, is_picture, picture_of
from dualsys.data.foreign.source import ForeignEpisode, component_names, joined
from dualsys.errors import DatasetError
from dualsys.messages import FloatArray, ImageArray

MAX_GAP_S = 0.5
"""Longest time that a value is shown for: beyond it the log has a hole."""
_TAPE = (("/observed.state",), ("/command.target",))
_ROS = (("/joint_states.position",), ())
_START = "/started"


class _Stretch(NamedTuple):
    """An episode: a file's messages from a time on and before another."""

    path: Path
    start_s: float | None
    end_s: float | None
    instruction: str = ""

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """Start and end."""
        return self.start_s, self.end_s


class _Stream(NamedTuple):
    """A column's values in the order of time."""

    stamps_s: FloatArray
    rows: NDArray[np.float32]
    """`(n, m)`."""
    joints: tuple[str, ...]
    """What the components are of, where messages say it (`name` of JointState)."""


@final
class McapSource:
    """A file, or a folder of files with the same topics."""

    format = "mcap"
    action_representation: Literal["joint"] = "joint"

    def __init__(
        self,
        path: Path,
        state_keys: tuple[str, ...] = (),
        action_keys: tuple[str, ...] = (),
        fps: float | None = None,
    ) -> None:
        """Look into each file. Raises `DatasetError` where one is damaged, or lacks a topic."""
        files = [path] if path.is_file() else sorted(path.glob("*.mcap"))
        self._schemas = schemas_of(files[0])
        is_tape = {"/observed", "/command", _START} <= self._schemas.keys()
        states, actions = _TAPE if is_tape else _ROS
        self._states, self._actions = state_keys or states, action_keys or actions
        self._require_topics(path)
        self._topics, left_out = self._cameras(files)
        self.cameras = tuple(sorted(self._topics))
        self._stretches = [stretch for file in files for stretch in (_starts(file) if is_tape else [_whole(file)])]
        if not self._stretches:
            raise DatasetError(f"{path} has no {_START}: nothing was run while it was recorded")
        self.fps = fps
        self.robot = ""
        self._read: dict[int, dict[str, _Stream]] = {}
        self._joints: dict[str, tuple[str, ...]] = {}
        self._grids: dict[int, FloatArray] = {}
        first = self._streams(0)
        self.state_names, self.action_names = (
            component_names({key.lstrip("/"): first[key].rows.shape[1:] for key in keys})
            for keys in (self._states, self._actions)
        )
        self.notes: Mapping[str, Any] = {
            "state_keys": list(self._states),
            "action_keys": list(self._actions),
            **({"topics_left_out": left_out} if left_out else {}),
        }

    def __len__(self) -> int:
        return len(self._stretches)

    def episode(self, index: int) -> ForeignEpisode:
        """Rows of an episode on the grid. Raises `DatasetError`, also where the log has a hole."""
        streams, grid_s, where = self._streams(index), self._grid(index), str(self._stretches[index].path)
        states = {
            key: streams[key].rows[self._newest(streams[key].stamps_s, grid_s, key, index)] for key in self._states
        }
        actions = {
            key: streams[key].rows[self._next(streams[key].stamps_s, grid_s, key, index)] for key in self._actions
        }
        return ForeignEpisode(
            states=joined(states, where),
            actions=joined(actions, where),
            instruction=self._stretches[index].instruction,
        )

    def pictures(self, index: int, camera: str) -> ImageArray:
        """Of each row the newest picture. Raises `DatasetError`."""
        topic, grid_s = self._topics[camera], self._grid(index)
        path = self._stretches[index].path
        stamps_s, pictures = [], []
        for message in messages_of(path, [topic], *self._stretches[index].bounds):
            stamps_s.append(message.stamp_s)
            try:
                pictures.append(picture_of(message.content, self._schemas[topic]))
            except (ValueError, OSError, KeyError) as error:
                raise DatasetError(f"{path}: {topic} at {message.stamp_s:.3f} s is no picture ({error})") from error
        if len({picture.shape for picture in pictures}) > 1:
            raise DatasetError(f"{path}: pictures of {topic} differ in size")
        if not len(grid_s):
            return np.zeros((0, *pictures[0].shape), np.uint8)
        return np.stack([pictures[row] for row in self._newest(np.array(stamps_s), grid_s, topic, index)])

    def _cameras(self, files: Sequence[Path]) -> tuple[dict[str, str], list[str]]:
        """Topics of pictures in colour by the camera's name, and those of others (depth).

        Raises `DatasetError` where two topics are of one camera.
        """
        found: dict[str, str] = {}
        others = []
        for topic in sorted(topic for topic, kind in self._schemas.items() if is_picture(kind)):
            first = next(messages_of(files[0], [topic]), None)
            if first is not None and not is_in_colour(first.content):
                others.append(topic)
            elif found.setdefault(camera_name(topic), topic) != topic:
                raise DatasetError(
                    f"{files[0]}: {found[camera_name(topic)]} and {topic} are of one camera, {camera_name(topic)}; "
                    "leave one of them out of the file: mcap filter"
                )
        return found, others

    def _require_topics(self, path: Path) -> None:
        there = ", ".join(sorted(self._schemas)) or "none"
        if not self._actions:
            raise DatasetError(
                f"{path} does not say what the commands were; name a topic and its field: --action-keys "
                f"/joint_commands.position. It has topics {there}"
            )
        for key in (*self._states, *self._actions):
            if key.partition(".")[0] not in self._schemas:
                raise DatasetError(
                    f"{path}: {key} is no TOPIC.FIELD of it; it has topics {there}. Choose with --state-keys and "
                    "--action-keys"
                )

    def _grid(self, index: int) -> FloatArray:
        """Times of an episode's rows, for which each camera's first picture is looked up once."""
        if index not in self._grids:
            self._grids = {index: self._times(index)}
        return self._grids[index]

    def _times(self, index: int) -> FloatArray:
        """Times of the rows: from when everything has been there to when an action still follows."""
        if self.fps is None:
            raise DatasetError(f"{self._stretches[index].path} (mcap) does not say its rate; give it: --fps 50")
        streams = self._streams(index)
        seen = [self._first_picture(index, topic) for topic in self._topics.values()]
        first_s = max([float(streams[key].stamps_s[0]) for key in self._states] + seen)
        last_s = min(float(streams[key].stamps_s[-1]) for key in self._actions)
        return first_s + np.arange(max(0, int(np.floor((last_s - first_s) * self.fps + 1e-6)) + 1)) / self.fps

    def _first_picture(self, index: int, topic: str) -> float:
        stretch = self._stretches[index]
        message = next(messages_of(stretch.path, [topic], *stretch.bounds), None)
        if message is None:
            raise DatasetError(
                f"{stretch.path}: {topic} has no picture in episode {index}; leave it out: --skip {index}"
            )
        return message.stamp_s

    def _newest(self, stamps_s: FloatArray, grid_s: FloatArray, key: str, index: int) -> NDArray[np.int64]:
        found = np.searchsorted(stamps_s, grid_s + 1e-9, side="right") - 1
        self._require_no_hole(grid_s - stamps_s[found], grid_s, key, index)
        return found

    def _next(self, stamps_s: FloatArray, grid_s: FloatArray, key: str, index: int) -> NDArray[np.int64]:
        found = np.searchsorted(stamps_s, grid_s - 1e-9, side="left")
        self._require_no_hole(stamps_s[found] - grid_s, grid_s, key, index)
        return found

    def _require_no_hole(self, gaps_s: FloatArray, grid_s: FloatArray, key: str, index: int) -> None:
        if len(gaps_s) and (worst := int(np.argmax(gaps_s))) is not None and gaps_s[worst] > MAX_GAP_S:
            raise DatasetError(
                f"{self._stretches[index].path}: nothing of {key} for {gaps_s[worst]:.2f} s at {grid_s[worst]:.3f} s; "
                f"leave the episode out: --skip {index}"
            )

    def _streams(self, index: int) -> dict[str, _Stream]:
        if index not in self._read:
            self._read = {index: _streams(self._stretches[index], (*self._states, *self._actions), index)}
            for key, stream in self._read[index].items():
                _require_joints(self._joints.setdefault(key, stream.joints), stream.joints, key, self._stretches[index])
        return self._read[index]


def _whole(path: Path) -> _Stretch:
    return _Stretch(path, None, None)


def _starts(path: Path) -> list[_Stretch]:
    """Of a tape: from each start to the next, with what was to be done, which tapes of before don't say."""
    starts = list(messages_of(path, [_START]))
    ends_s = [*(start.stamp_s for start in starts[1:]), None]
    return [
        _Stretch(path, start.stamp_s, end_s, str(start.content.get("instruction", "")))
        for start, end_s in zip(starts, ends_s, strict=True)
    ]


def _streams(stretch: _Stretch, keys: Sequence[str], index: int) -> dict[str, _Stream]:
    """All columns of an episode."""
    stamps: dict[str, list[float]] = {key: [] for key in keys}
    rows: dict[str, list[NDArray[np.float32]]] = {key: [] for key in keys}
    joints: dict[str, tuple[str, ...]] = {}
    topics = {key.partition(".")[0] for key in keys}
    for message in messages_of(stretch.path, sorted(topics), *stretch.bounds):
        for key in keys:
            topic, _, field = key.partition(".")
            if topic == message.topic:
                stamps[key].append(message.stamp_s)
                rows[key].append(_numbers(message.content, field, key, stretch.path))
                own = _joints(message.content, field)
                _require_joints(joints.setdefault(key, own), own, key, stretch)
    for key in keys:
        if len({len(row) for row in rows[key]}) != 1:
            said = f"has rows of different lengths for {key}" if rows[key] else f"has nothing of {key}"
            raise DatasetError(f"{stretch.path} {said} in episode {index}; leave it out: --skip {index}")
    return {key: _Stream(np.array(stamps[key]), np.stack(rows[key]), joints[key]) for key in keys}


def _joints(content: Any, field: str) -> tuple[str, ...]:
    """What stands beside a field as `name`, if anything does."""
    outer = field.rpartition(".")[0]
    try:
        names = field_of(content, f"{outer}.name" if outer else "name")
    except KeyError:
        return ()
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _require_joints(first: tuple[str, ...], own: tuple[str, ...], key: str, stretch: _Stretch) -> None:
    """Raise `DatasetError` where components are of other joints than before: of two publishers, or in another order."""
    if own != first:
        raise DatasetError(
            f"{stretch.path}: {key} is of {', '.join(first)}, and elsewhere of {', '.join(own)}: rows would be of now "
            "one, now the other. Give each its own topic, always in one order"
        )


def _numbers(content: Any, field: str, key: str, path: Path) -> NDArray[np.float32]:
    try:
        return np.atleast_1d(np.asarray(field_of(content, field), np.float32)).reshape(-1)
    except KeyError as error:
        raise DatasetError(f"{path}: {key}: no such field; the message has {error.args[0]}") from error
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}: {key} holds no numbers ({error})") from error
