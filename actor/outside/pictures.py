"""Pictures as a policy's wire has them."""

import numpy as np

from dualsys.messages import ImageArray


def fitted(picture: ImageArray, size: int | None) -> ImageArray:
    """A picture `(h, w, 3)` as `(size, size, 3)`: scaled as it is, centred, black beside it; None: as it is.

    What openpi's clients do (`image_tools.resize_with_pad`): bilinear, sizes rounded down.
    """
    height, width = picture.shape[:2]
    if size is None or (height, width) == (size, size):
        return picture
    from PIL import Image

    ratio = max(width / size, height / size)
    inner = (int(width / ratio), int(height / ratio))
    scaled = Image.fromarray(picture).resize(inner, resample=Image.Resampling.BILINEAR)
    whole = Image.new("RGB", (size, size), 0)
    whole.paste(scaled, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return np.array(whole)
