"""Images as policies get them: rendered when they are first read, and turned as a benchmark turns them."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from dualsys.errors import InvalidObservation
from dualsys.messages import ImageArray
from dualsys.sim_envs.options import ImageTurn


class LazyImages(Mapping[str, ImageArray]):
    """Images by camera, each rendered on first access.

    A picture can only be taken of the present: reading one for the first time after the environment has moved on raises
    `InvalidObservation`. Those read in time are kept.
    """

    def __init__(
        self, cameras: tuple[str, ...], render: Callable[[str], ImageArray], moment: Callable[[], int]
    ) -> None:
        """`moment` counts the environment's steps and resets."""
        self._cameras = cameras
        self._render = render
        self._moment = moment
        self._taken_at = moment()
        self._images: dict[str, ImageArray] = {}

    def __getitem__(self, camera: str) -> ImageArray:
        """Render, or return what was rendered. Raises `KeyError` for a camera that doesn't exist."""
        if camera not in self._images:
            if camera not in self._cameras:
                raise KeyError(camera)
            if self._moment() != self._taken_at:
                raise InvalidObservation(
                    f"the image of camera {camera!r} was not read before the environment moved on; "
                    "read observation.images before the next step or reset"
                )
            self._images[camera] = self._render(camera)
        return self._images[camera]

    def __iter__(self) -> Iterator[str]:
        """Camera names."""
        return iter(self._cameras)

    def __len__(self) -> int:
        """Number of cameras."""
        return len(self._cameras)


def turned(image: ImageArray, turn: ImageTurn) -> ImageArray:
    """A picture `(h, w, 3)` turned by 180 degrees (`half`), with its rows in reverse (`upside-down`), or as it is."""
    if turn == "none":
        return image
    return np.ascontiguousarray(image[::-1, ::-1] if turn == "half" else image[::-1])
