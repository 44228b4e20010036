"""Wire frames: every message survives the round trip, and no sequence of bytes does more than raise `BridgeError`."""

import dataclasses
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dualsys.bridge import wire
from dualsys.bridge.frames import MAX_TEXT_BYTES, FrameReader, FrameWriter
from dualsys.bridge.scene import CameraFrame, Episode, ScenePose
from dualsys.errors import BridgeError
from dualsys.events import ChunkRequest
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal, Observation

numbers = st.floats(allow_nan=False)
integers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def floats(ndim: int, dtype: type[np.floating[Any]] = np.float64) -> st.SearchStrategy[Any]:
    return hnp.arrays(dtype, hnp.array_shapes(min_dims=ndim, max_dims=ndim, min_side=0, max_side=5))


images = hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.integers(0, 5), st.just(3)))

MESSAGES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "observation": (
        wire.ObservationCodec(),
        st.builds(
            Observation,
            stamp_s=numbers,
            state=floats(1),
            images=st.dictionaries(texts, images, max_size=3),
            image_stamps_s=st.dictionaries(texts, numbers, max_size=3),
            instruction=texts,
            goal_image=st.none() | images,
        ),
    ),
    "subgoal": (
        wire.SubgoalCodec(),
        st.builds(
            LatentSubgoal,
            tokens=floats(2, np.float32),
            observation_stamp_s=numbers,
            emitted_stamp_s=numbers,
            mask=st.none() | hnp.arrays(np.bool_, st.integers(0, 9)),
            keys=st.none() | floats(4, np.float32),
            values=st.none() | floats(4, np.float32),
            text=texts,
            progress=st.none() | numbers,
            sequence=integers,
            epoch=integers,
            producer=texts,
            time_to_live_s=numbers,
        ),
    ),
    "chunk": (
        wire.ChunkCodec(),
        st.builds(
            ActionChunk,
            rows=floats(2),
            dt_s=numbers,
            start_stamp_s=numbers,
            sequence=integers,
            request=integers,
            subgoal_sequence=integers,
            subgoal_epoch=integers,
            subgoal_age_s=numbers,
        ),
    ),
    "request": (
        wire.RequestCodec(),
        st.builds(
            ChunkRequest,
            sequence=integers,
            stamp_s=numbers,
            use_subgoal=st.booleans(),
            prefix=st.none() | st.builds(ActionPrefix, rows=floats(2), inference_delay=integers),
        ),
    ),
    "episode": (
        wire.EpisodeCodec(),
        st.builds(Episode, number=integers, seed=integers, start_s=numbers, instruction=texts),
    ),
    "pose": (
        wire.PoseCodec(),
        st.builds(ScenePose, stamp_s=numbers, episode=integers, seed=integers, physics=floats(1)),
    ),
    "camera": (wire.CameraCodec(), st.builds(CameraFrame, stamp_s=numbers, episode=integers, image=images)),
    "status": (wire.StatusCodec(), st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=4)),
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return bool(left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes())
    if dataclasses.is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and bool(left == right)


@pytest.mark.parametrize("name", MESSAGES)
@given(data=st.data())
def test_every_message_survives(name: str, data: st.DataObject) -> None:
    codec, strategy = MESSAGES[name]
    value = data.draw(strategy)
    frame = codec.encode(value)
    assert len(frame) % 8 == 0
    assert same(value, codec.decode(bytearray(frame)))


@pytest.mark.parametrize("name", MESSAGES)
@given(data=st.data())
def test_a_cut_or_changed_frame_never_does_worse_than_raise(name: str, data: st.DataObject) -> None:
    codec, strategy = MESSAGES[name]
    frame = bytearray(codec.encode(data.draw(strategy)))
    cut = data.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(BridgeError):
        codec.decode(frame[:cut])
    with pytest.raises(BridgeError):
        codec.decode(frame + b"\0" * 8)
    for _ in range(data.draw(st.integers(1, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        codec.decode(frame)
    except BridgeError:
        return


@pytest.mark.parametrize("name", MESSAGES)
@given(body=st.binary(max_size=200))
def test_foreign_bytes_are_refused(name: str, body: bytes) -> None:
    codec = MESSAGES[name][0]
    with pytest.raises(BridgeError):
        codec.decode(body)
    kind = list(MESSAGES).index(name) + 1
    headed = struct.pack("<4sHHII", b"DSYS", 1, kind, 16 + len(body), 0) + body
    try:
        codec.decode(headed)
    except BridgeError:
        return


def test_a_frame_of_another_kind_or_version_is_named() -> None:
    frame = bytearray(wire.EpisodeCodec().encode(Episode(number=0, seed=0, start_s=0.0, instruction="")))
    with pytest.raises(BridgeError, match="kind 5, expected kind 3"):
        wire.ChunkCodec().decode(frame)
    frame[4] = 9
    with pytest.raises(BridgeError, match="wire version 9"):
        wire.EpisodeCodec().decode(frame)


def test_what_does_not_fit_is_refused_by_the_sender() -> None:
    observation = Observation(stamp_s=0.0, state=np.zeros(3))
    with pytest.raises(BridgeError, match="float32"):
        wire.ObservationCodec().encode(dataclasses.replace(observation, state=np.zeros(3, dtype=np.float32)))
    with pytest.raises(BridgeError, match="exceeds the wire's"):
        wire.ObservationCodec().encode(dataclasses.replace(observation, instruction="x" * (MAX_TEXT_BYTES + 1)))
    with pytest.raises(BridgeError, match="not valid Unicode"):
        wire.ObservationCodec().encode(dataclasses.replace(observation, instruction="\ud800"))
    with pytest.raises(BridgeError, match="64-bit integer"):
        wire.EpisodeCodec().encode(Episode(number=2**63, seed=0, start_s=0.0, instruction=""))
    with pytest.raises(BridgeError, match="plain JSON"):
        wire.StatusCodec().encode({"x": object()})


def test_a_status_that_is_not_an_object_is_refused() -> None:
    for text in (json.dumps([1]), "{", "[" * 60_000):
        frame = FrameWriter(8)
        frame.text(text)
        with pytest.raises(BridgeError):
            wire.StatusCodec().decode(frame.finish())


def test_an_array_cannot_promise_more_than_there_is() -> None:
    frame = FrameWriter(1)
    frame._add(struct.pack("<II", 1, 2) + struct.pack("<qq", 2**27, 2**27))
    with pytest.raises(BridgeError, match="a field reaches to"):
        FrameReader(frame.finish(), 1).array("<f8", 2)


def test_decoded_arrays_are_aligned() -> None:
    value = Observation(stamp_s=0.0, state=np.zeros(3), instruction="odd", images={"a": np.zeros((1, 1, 3), np.uint8)})
    assert wire.ObservationCodec().decode(bytearray(wire.ObservationCodec().encode(value))).state.flags.aligned
