"""Camera images as H.264 video: encoded an episode at a time, concatenated without re-encoding.

Colour is kept at full resolution (yuv444p): the usual yuv420p averages it over 2x2 pixels, which leaves small saturated
blocks at 21 dB, against 45 dB here (`python -m benchmarks.video_fidelity`). A camera slower than the rows repeats its
frames; a key frame opens each hold, so any frame decodes alone and its repetitions cost a few bytes.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from numpy.typing import NDArray

from dualsys.errors import DatasetError
from dualsys.files import replacing
from dualsys.messages import ImageArray

CODEC = "libx264"
PIXEL_FORMAT = "yuv444p"
CRF = 4
PRESET = "veryfast"
_TICKS_PER_FRAME = 256
_OPTIONS = {
    "crf": str(CRF),
    "preset": PRESET,
    "g": "250",
    "bf": "0",
    "sc_threshold": "0",
    "forced-idr": "1",
    "threads": "1",
    # No look-ahead, so no macroblock tree: with it and forced key frames x264 gives other bytes for the same frames
    # now and then (11 of 40 encodings, measured with libx264 of av 18.1).
    "rc-lookahead": "0",
}
"""The same frames give the same bytes, in every process and under any load."""
_RECORD_AGAIN = "delete it with the .npz of its name, then record or import again (demos: with --resume)"


def encode_video(
    path: Path, frames: ImageArray, frame_of_row: NDArray[np.int64], fps: int, *, pixel_format: str = PIXEL_FORMAT
) -> None:
    """Write one video frame a row, atomically.

    Args:
        path: The `.mp4` file.
        frames: Distinct images `(f, h, w, 3)`, h and w even.
        frame_of_row: Which of them each row shows `(n,)`.
        fps: Rows a second.
        pixel_format: Another is for comparisons only: datasets say they hold `PIXEL_FORMAT`.
    """
    height, width = frames.shape[1:3]
    tick = Fraction(1, fps * _TICKS_PER_FRAME)
    with replacing(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        stream: Any = container.add_stream(CODEC, rate=fps, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.time_base = stream.codec_context.time_base = tick
        shown = -1
        for row, index in enumerate(frame_of_row):
            image = av.VideoFrame.from_ndarray(frames[index], format="rgb24")
            image.pts, image.duration = row * _TICKS_PER_FRAME, _TICKS_PER_FRAME
            # Not the stream's: below 40 rows a second the container makes that finer once it has begun.
            image.time_base = tick
            image.pict_type = PictureType.I if index != shown else PictureType.P
            shown = index
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))


def concatenate_videos(path: Path, sources: Sequence[Path], lengths: Sequence[int], fps: int) -> None:
    """Write the sources one after the other into one file, packets copied as they are, atomically.

    Args:
        path: The file to write.
        sources: Files of `encode_video`.
        lengths: Rows that each must have.
        fps: Rows a second.

    Raises:
        DatasetError: a source cannot be read, or has fewer rows: a video whose index is cut opens as an empty one.
    """
    tick = Fraction(1, fps * _TICKS_PER_FRAME)
    with replacing(path) as partial, av.open(str(partial), "w", format="mp4") as output:
        target: Any = None
        row = 0
        for source, length in zip(sources, lengths, strict=True):
            first = row
            with _opened(source) as container:
                stream = container.streams.video[0]
                if target is None:
                    target = output.add_stream_from_template(stream)
                    target.time_base = tick
                for packet in _packets(source, container, stream):
                    packet.stream, packet.time_base = target, tick
                    packet.pts = packet.dts = row * _TICKS_PER_FRAME
                    packet.duration = _TICKS_PER_FRAME
                    output.mux(packet)
                    row += 1
            if row - first != length:
                raise DatasetError(f"{source} has {row - first} of {length} rows; {_RECORD_AGAIN}")


def _packets(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Of a file that may be cut short. Raises `DatasetError`."""
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise DatasetError(f"{path} is cut short; {_RECORD_AGAIN}")
            if packet.dts is not None:
                yield packet
    except FFmpegError as error:
        raise DatasetError(f"{path} is damaged ({error}); {_RECORD_AGAIN}") from error


def decode_frames(path: Path, rows: NDArray[np.int64], fps: int) -> Iterator[ImageArray]:
    """Images `(h, w, 3)` of the given rows of a file, which must ascend.

    Raises:
        DatasetError: the file is missing, damaged or ends before the last row.
    """
    wanted = iter(rows.tolist())
    row = next(wanted, None)
    with _opened(path) as container:
        stream = container.streams.video[0]
        try:
            if row:
                # To the key frame before it: one file holds many episodes.
                container.seek(int(row / fps / stream.time_base), stream=stream)
            for frame in _frames(path, container, stream):
                if row is None:
                    return
                if frame.pts is not None and round(float(frame.pts * frame.time_base) * fps) == row:
                    yield frame.to_ndarray(format="rgb24")
                    row = next(wanted, None)
        except FFmpegError as error:
            raise DatasetError(f"{path} is damaged ({error}); copy or record the dataset again") from error
    if row is not None:
        raise DatasetError(f"{path} ends before its row {row}: it is cut short; copy or record the dataset again")


def _frames(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """Decoded. Raises `DatasetError` for a packet that is not whole, of which a decoder makes what it can."""
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise DatasetError(f"{path} is cut short; copy or record the dataset again")
        yield from packet.decode()


def video_info(height: int, width: int, fps: int) -> dict[str, Any]:
    """What `meta/info.json` says about a video feature, in LeRobot's keys."""
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": "h264",
        "video.pix_fmt": PIXEL_FORMAT,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
        "video.crf": CRF,
        "video.preset": PRESET,
        "is_depth_map": False,
    }


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise DatasetError(f"{path} is missing; copy or record the dataset again")
    try:
        container = av.open(str(path))
    except FFmpegError as error:
        raise DatasetError(f"{path} is no readable video ({error}); copy or record the dataset again") from error
    if not container.streams.video:
        container.close()
        raise DatasetError(f"{path} holds no video; copy or record the dataset again")
    return container
