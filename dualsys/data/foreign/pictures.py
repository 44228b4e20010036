"""Pictures as others store them, made `(n, h, w, 3)` uint8 RGB."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dualsys.errors import DatasetError
from dualsys.messages import ImageArray


def looks_like_pictures(shape: tuple[int, ...]) -> bool:
    """Whether `(n, ...)` is a film: `(n, h, w, 3)` or `(n, 3, h, w)`."""
    return len(shape) == 4 and 3 in (shape[-1], shape[1]) and min(shape[1:]) >= 1 and max(shape[1:]) > 4


def as_pictures(values: NDArray[Any], where: str) -> ImageArray:
    """Channels moved last, floats in [0, 1] or [0, 255] rounded to levels. Raises `DatasetError`."""
    if not looks_like_pictures(values.shape):
        raise DatasetError(f"{where} has shape {values.shape}: no pictures (n, h, w, 3) or (n, 3, h, w)")
    pictures = values if values.shape[-1] == 3 else np.moveaxis(values, 1, -1)
    if pictures.dtype == np.uint8:
        return np.ascontiguousarray(pictures)
    if pictures.dtype.kind != "f":
        raise DatasetError(f"{where} holds {pictures.dtype}; pictures are uint8 or floats")
    scale = 255.0 if float(pictures.max(initial=0.0)) <= 1.0 else 1.0
    return np.clip(np.rint(pictures * scale), 0, 255).astype(np.uint8)


def decoded_pictures(blobs: Iterable[bytes], where: str) -> ImageArray:
    """PNG or JPEG files, all of one size. Raises `DatasetError` for one that is damaged."""
    pictures = []
    for number, blob in enumerate(blobs):
        try:
            with Image.open(io.BytesIO(blob), formats=("PNG", "JPEG")) as image:
                pictures.append(np.asarray(image.convert("RGB")))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            raise DatasetError(
                f"{where}: picture {number} is damaged ({error}); record or copy it again, "
                "or leave the episode out with --skip"
            ) from error
    if len({picture.shape for picture in pictures}) > 1:
        raise DatasetError(f"{where}: pictures differ in size")
    return np.stack(pictures) if pictures else np.zeros((0, 1, 1, 3), np.uint8)


def resized_pictures(pictures: ImageArray, size: tuple[int, int]) -> ImageArray:
    """`(n, height, width, 3)`, averaged over the pixels that fall together."""
    height, width = size
    if pictures.shape[1:3] == size:
        return pictures
    return np.stack([np.asarray(Image.fromarray(p).resize((width, height), Image.Resampling.BOX)) for p in pictures])
