"""One codec for each message that crosses a process: typed, bounded, versioned, never pickled.

A codec's fields are written and read in the same order; `frames` says how each is laid out. Decoded arrays view the
frame's bytes. A frame that isn't exactly as written is refused with `BridgeError`.
"""

import json
import struct
from typing import Any, get_args

from numpy.typing import NDArray

from dualsys.bridge.frames import DTYPES, MAX_TEXT_BYTES, FrameReader, FrameWriter
from dualsys.bridge.scene import CameraFrame, Episode, ScenePose
from dualsys.errors import BridgeError
from dualsys.events import ChunkRequest
from dualsys.messages import ActionChunk, ActionPrefix, Guidance, LatentSubgoal, Observation

_MAX_CAMERAS = 64
_TWO_STAMPS = struct.Struct("<2d")
_PROGRESS_TO_EPOCH = struct.Struct("<dqq")
_CHUNK_SCALARS = struct.Struct("<2d4q2d")
_OBSERVATION, _SUBGOAL, _CHUNK, _REQUEST, _EPISODE, _POSE, _FRAME, _STATUS, _RAW = range(1, 10)


class ObservationCodec:
    """`Observation`, images included where it has some."""

    def encode(self, value: Observation) -> bytes:
        """Frame of an observation."""
        frame = FrameWriter(_OBSERVATION)
        frame.number(value.stamp_s)
        frame.array(value.state, "<f8")
        frame.text(value.instruction)
        frame.optional_array(value.goal_image, "|u1")
        frame.integer(len(value.images))
        for name, image in value.images.items():
            frame.text(name)
            frame.array(image, "|u1")
        frame.integer(len(value.image_stamps_s))
        for name, stamp_s in value.image_stamps_s.items():
            frame.text(name)
            frame.number(stamp_s)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> Observation:
        """Observation of a frame."""
        frame = FrameReader(data, _OBSERVATION)
        stamp_s = frame.number()
        state = frame.array("<f8", 1)
        instruction = frame.text()
        goal_image = frame.optional_array("|u1", 3)
        images = {frame.text(): frame.array("|u1", 3) for _ in range(frame.count(_MAX_CAMERAS))}
        image_stamps_s = {frame.text(): frame.number() for _ in range(frame.count(_MAX_CAMERAS))}
        frame.finish()
        return Observation(
            stamp_s=stamp_s,
            state=state,
            images=images,
            image_stamps_s=image_stamps_s,
            instruction=instruction,
            goal_image=goal_image,
        )


class SubgoalCodec:
    """`LatentSubgoal`."""

    def encode(self, value: LatentSubgoal) -> bytes:
        """Frame of a subgoal."""
        frame = FrameWriter(_SUBGOAL)
        frame.array(value.tokens, "<f4")
        frame.number(value.observation_stamp_s)
        frame.number(value.emitted_stamp_s)
        frame.optional_array(value.mask, "|b1")
        frame.optional_array(value.keys, "<f4")
        frame.optional_array(value.values, "<f4")
        frame.text(value.text)
        frame.integer(value.progress is not None)
        frame.number(value.progress or 0.0)
        frame.integer(value.sequence)
        frame.integer(value.epoch)
        frame.text(value.producer)
        frame.number(value.time_to_live_s)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> LatentSubgoal:
        """Subgoal of a frame."""
        frame = FrameReader(data, _SUBGOAL)
        tokens = frame.array("<f4", 2)
        observation_stamp_s, emitted_stamp_s = frame.scalars(_TWO_STAMPS)
        mask = frame.optional_array("|b1", 1)
        keys, values = frame.optional_array("<f4", 4), frame.optional_array("<f4", 4)
        text, has_progress = frame.text(), frame.flag()
        progress, sequence, epoch = frame.scalars(_PROGRESS_TO_EPOCH)
        producer, time_to_live_s = frame.text(), frame.number()
        frame.finish()
        return LatentSubgoal(
            tokens=tokens,
            observation_stamp_s=observation_stamp_s,
            emitted_stamp_s=emitted_stamp_s,
            mask=mask,
            keys=keys,
            values=values,
            text=text,
            progress=progress if has_progress else None,
            sequence=sequence,
            epoch=epoch,
            producer=producer,
            time_to_live_s=time_to_live_s,
        )


class ChunkCodec:
    """`ActionChunk`."""

    def encode(self, value: ActionChunk) -> bytes:
        """Frame of a chunk."""
        frame = FrameWriter(_CHUNK)
        frame.array(value.rows, "<f8")
        frame.number(value.dt_s)
        frame.number(value.start_stamp_s)
        for integer in (value.sequence, value.request, value.subgoal_sequence, value.subgoal_epoch):
            frame.integer(integer)
        frame.number(value.subgoal_age_s)
        frame.number(value.subgoal_progress)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> ActionChunk:
        """Chunk of a frame."""
        frame = FrameReader(data, _CHUNK)
        rows = frame.array("<f8", 2)
        dt_s, start_stamp_s, sequence, request, *rest = frame.scalars(_CHUNK_SCALARS)
        subgoal_sequence, subgoal_epoch, age_s, progress = rest
        frame.finish()
        return ActionChunk(
            rows=rows,
            dt_s=dt_s,
            start_stamp_s=start_stamp_s,
            sequence=sequence,
            request=request,
            subgoal_sequence=subgoal_sequence,
            subgoal_epoch=subgoal_epoch,
            subgoal_age_s=age_s,
            subgoal_progress=progress,
        )


class RequestCodec:
    """`ChunkRequest`, which the tick sends to the actor."""

    def encode(self, value: ChunkRequest) -> bytes:
        """Frame of a request."""
        frame = FrameWriter(_REQUEST)
        frame.integer(value.sequence)
        frame.number(value.stamp_s)
        frame.integer(value.use_subgoal)
        frame.optional_array(None if value.prefix is None else value.prefix.rows, "<f8")
        frame.integer(0 if value.prefix is None else value.prefix.inference_delay)
        frame.text("" if value.prefix is None else value.prefix.guidance)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> ChunkRequest:
        """Request of a frame."""
        frame = FrameReader(data, _REQUEST)
        sequence, stamp_s, use_subgoal = frame.integer(), frame.number(), frame.flag()
        rows, inference_delay, guidance = frame.optional_array("<f8", 2), frame.integer(), frame.text()
        frame.finish()
        prefix = None
        if rows is not None:
            prefix = ActionPrefix(rows=rows, inference_delay=inference_delay, guidance=_guidance(guidance))
        return ChunkRequest(sequence=sequence, stamp_s=stamp_s, use_subgoal=use_subgoal, prefix=prefix)


def _guidance(word: str) -> Guidance:
    for known in get_args(Guidance):
        if word == known:
            return known  # type: ignore[no-any-return]
    raise BridgeError(f"a request asks for guidance {word!r}; there are {', '.join(get_args(Guidance))}")


class EpisodeCodec:
    """`Episode`."""

    def encode(self, value: Episode) -> bytes:
        """Frame of an episode."""
        frame = FrameWriter(_EPISODE)
        frame.integer(value.number)
        frame.integer(value.seed)
        frame.number(value.start_s)
        frame.text(value.instruction)
        frame.integer(value.attempt)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> Episode:
        """Episode of a frame."""
        frame = FrameReader(data, _EPISODE)
        number, seed, start_s, instruction = frame.integer(), frame.integer(), frame.number(), frame.text()
        attempt = frame.integer()
        frame.finish()
        return Episode(number=number, seed=seed, start_s=start_s, instruction=instruction, attempt=attempt)


class PoseCodec:
    """`ScenePose`."""

    def encode(self, value: ScenePose) -> bytes:
        """Frame of a pose."""
        frame = FrameWriter(_POSE)
        frame.number(value.stamp_s)
        frame.integer(value.episode)
        frame.integer(value.seed)
        frame.array(value.physics, "<f8")
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> ScenePose:
        """Pose of a frame."""
        frame = FrameReader(data, _POSE)
        pose = ScenePose(
            stamp_s=frame.number(), episode=frame.integer(), seed=frame.integer(), physics=frame.array("<f8", 1)
        )
        frame.finish()
        return pose


class CameraCodec:
    """`CameraFrame`."""

    def encode(self, value: CameraFrame) -> bytes:
        """Frame of an image."""
        frame = FrameWriter(_FRAME)
        frame.number(value.stamp_s)
        frame.integer(value.episode)
        frame.array(value.image, "|u1")
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> CameraFrame:
        """Image of a frame."""
        frame = FrameReader(data, _FRAME)
        image = CameraFrame(stamp_s=frame.number(), episode=frame.integer(), image=frame.array("|u1", 3))
        frame.finish()
        return image


class ArrayCodec:
    """One array, of a dtype and a number of axes agreed on; its shape travels with each value.

    Args:
        dtype: One of `frames.DTYPES`, such as `<f4`; bfloat16 travels as the bits of `<u2`.
        ndim: Axes.

    Raises:
        BridgeError: for a dtype that frames don't have.
    """

    def __init__(self, dtype: str, *, ndim: int) -> None:
        if dtype not in DTYPES:
            raise BridgeError(f"frames have no arrays of {dtype!r}; they have {', '.join(DTYPES)}")
        self._dtype, self._ndim = dtype, ndim

    def encode(self, value: NDArray[Any]) -> bytes:
        """Frame of an array. Raises `BridgeError` for another dtype or number of axes."""
        if value.ndim != self._ndim:
            raise BridgeError(f"expected an array of {self._ndim} axes, got {value.dtype} {value.shape}")
        frame = FrameWriter(_RAW)
        frame.array(value, self._dtype)
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> NDArray[Any]:
        """Array of a frame; it views the frame's bytes."""
        frame = FrameReader(data, _RAW)
        array = frame.array(self._dtype, self._ndim)
        frame.finish()
        return array


class StatusCodec:
    """A small JSON object: what a process tells about itself."""

    def encode(self, value: dict[str, Any]) -> bytes:
        """Frame of a status."""
        frame = FrameWriter(_STATUS)
        try:
            frame.text(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise BridgeError(f"a status must be plain JSON: {error}") from error
        return frame.finish()

    def decode(self, data: bytes | bytearray) -> dict[str, Any]:
        """Status of a frame."""
        frame = FrameReader(data, _STATUS)
        text = frame.text()
        frame.finish()
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BridgeError(f"a status of {len(text)} characters (at most {MAX_TEXT_BYTES}) is not JSON") from error
        if not isinstance(value, dict):
            raise BridgeError(f"a status is a JSON object, got {type(value).__name__}")
        return value
