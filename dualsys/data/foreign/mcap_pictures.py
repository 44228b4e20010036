"""Pictures in an MCAP file: ROS 2's images, raw and compressed, and Foxglove's."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from dualsys.data.foreign.mcap_messages import field_of
from dualsys.messages import ImageArray

_COMPRESSED = ("sensor_msgs/msg/CompressedImage", "sensor_msgs/CompressedImage", "foxglove.CompressedImage")
_RAW = ("sensor_msgs/msg/Image", "sensor_msgs/Image")
_CHANNELS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2], "bgra8": [2, 1, 0], "mono8": [0, 0, 0]}
_PLAIN = ("image_raw", "image", "compressed", "image_compressed", "color")
"""Parts of topics that every camera has."""


def is_picture(schema: str) -> bool:
    """Whether messages of a schema are pictures."""
    return schema in (*_COMPRESSED, *_RAW)


def is_in_colour(content: Any) -> bool:
    """Whether a message is a picture that can be read: a raw one of depth can't."""
    try:
        return field_of(content, "encoding") in _CHANNELS
    except KeyError:  # compressed ones have a format instead
        return True


def camera_name(topic: str) -> str:
    """`/head/image_raw/compressed` is `head`."""
    parts = [part for part in topic.strip("/").split("/") if part not in _PLAIN]
    return "_".join(parts) or "camera"


def picture_of(content: Any, schema: str) -> ImageArray:
    """`(h, w, 3)` uint8 RGB. Raises `ValueError`, `OSError` or `KeyError` where it is none."""
    data = field_of(content, "data")
    blob = base64.b64decode(data, validate=True) if isinstance(data, str) else bytes(data)
    if schema in _COMPRESSED:
        with Image.open(io.BytesIO(blob), formats=("PNG", "JPEG", "WEBP")) as image:
            return np.asarray(image.convert("RGB"))
    encoding, height, width = (field_of(content, name) for name in ("encoding", "height", "width"))
    if encoding not in _CHANNELS:
        raise ValueError(f"pictures are encoded as {encoding!r}; dualsys reads {', '.join(_CHANNELS)}")
    # Rows may be longer than their pixels.
    step, count = int(field_of(content, "step")), {"mono8": 1, "rgba8": 4, "bgra8": 4}.get(encoding, 3)
    rows = np.frombuffer(blob, np.uint8).reshape(height, step)[:, : width * count].reshape(height, width, count)
    return np.ascontiguousarray(rows[..., _CHANNELS[encoding]])
