import numpy as np
import pytest

from dualsys.errors import InvalidObservation
from dualsys.messages import ImageArray
from dualsys.sim_envs.images import LazyImages


class Moving:
    """Counts what is rendered, and moves on."""

    def __init__(self) -> None:
        self.moment = 0
        self.rendered: list[str] = []

    def render(self, camera: str) -> ImageArray:
        self.rendered.append(camera)
        return np.full((2, 2, 3), self.moment, np.uint8)

    def images(self) -> LazyImages:
        return LazyImages(("head", "wrist"), self.render, lambda: self.moment)


def test_nothing_is_rendered_before_it_is_read_and_nothing_twice() -> None:
    world = Moving()
    images = world.images()
    assert list(images) == ["head", "wrist"]
    assert len(images) == 2
    assert world.rendered == []
    assert images["head"] is images["head"]
    assert world.rendered == ["head"]


def test_an_image_read_in_time_is_kept_and_one_read_late_is_refused() -> None:
    world = Moving()
    images = world.images()
    assert images["head"][0, 0, 0] == 0
    world.moment = 1
    assert images["head"][0, 0, 0] == 0
    with pytest.raises(InvalidObservation, match="'wrist' was not read before"):
        images["wrist"]
    assert world.rendered == ["head"]


def test_an_unknown_camera_is_a_key_error() -> None:
    assert "chest" not in Moving().images()
    with pytest.raises(KeyError):
        Moving().images()["chest"]
