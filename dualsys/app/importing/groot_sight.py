"""How GR00T N1.7 makes pictures and words ready, from `processor_kwargs` of its `processor_config.json`.

NVIDIA's code has two recipes (`build_image_transformations*` in `image_augmentations.py`); both resize a picture, cut
out its middle and resize it again:

    use_albumentations    the shortest side becomes `shortest_image_edge`, `crop_fraction` of both sides is kept, means
                          over the area as OpenCV's; `image_target_size` and the ratio of `image_crop_size` to it count
                          where those two are null
    else                  to `image_target_size`, `image_crop_size` is kept, bilinear

The first keeps a picture's form: the model's own processor then makes of each side whole steps of its own. All cameras
must be of one form, unless black bars make squares of their pictures (`letter_box_transform`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError
from dualsys.planner.feature_config import ImagesConfig
from dualsys.planner.feature_images import kept_shape

LEAST_SIDE = 256
"""The published model's own processor enlarges squares that are smaller (65536 pixels)."""
_CLASS_DEFAULTS: dict[str, Any] = {
    "use_albumentations": False,
    "letter_box_transform": False,
    "formalize_language": True,
    "shortest_image_edge": 256,
    "crop_fraction": 0.95,
}
"""Of `Gr00tN1d7Processor`, for what its file leaves out; sizes have none."""
_TRAINED: dict[str, Any] = {
    **_CLASS_DEFAULTS,
    "use_albumentations": True,
    "shortest_image_edge": None,
    "crop_fraction": None,
    "image_target_size": [256, 256],
    "image_crop_size": [230, 230],
}
"""Of `Gr00tN1d7Config`, where there is no such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrootSight:
    """Of all robots of a checkpoint."""

    images: ImagesConfig
    formalize: bool
    """Whether instructions are put in lower case and lose their punctuation."""
    keeps_form: bool
    """Whether a picture that isn't square is shown as it is."""
    where: str
    """The file that says so."""

    @classmethod
    def read(cls, told: Mapping[str, Any] | None, config: Mapping[str, Any], path: Path) -> Self:
        """From a processor's words, or from those of config.json where there are none (`None`).

        Raises:
            CheckpointError: a value that makes no sense, or pictures that can't be shown so here.
        """
        if told is None:
            named = {name: config[name] for name in _TRAINED if name in config}
            if "use_albumentations_transforms" in config:
                named["use_albumentations"] = config["use_albumentations_transforms"]
            told, defaults, path = named, _TRAINED, path.with_name("config.json")
        else:
            defaults = _CLASS_DEFAULTS
        words = {**defaults, **told}
        for name in ("use_albumentations", "letter_box_transform", "formalize_language"):
            if not isinstance(words[name], bool):
                raise CheckpointError(f"{path}: {name} is {words[name]!r}; it should be true or false")
        images = (_by_area if words["use_albumentations"] else _bilinear)(words, path)
        letterbox = words["letter_box_transform"]
        return cls(
            images=images.model_copy(update={"resize_first": True, "letterbox": letterbox}),
            formalize=words["formalize_language"],
            keeps_form=words["use_albumentations"] and not letterbox,
            where=str(path),
        )

    def images_of(self, cameras: Sequence[CameraSpec], *, step: int, least: int = 0) -> ImagesConfig:
        """How pictures of these cameras are shown.

        Args:
            cameras: Of the robot, those that are looked through.
            step: The vision model's, in pixels: a side is so many times that.
            least: The shortest side that isn't enlarged behind.

        Raises:
            CheckpointError: they can't be shown so here.
        """
        side = self.images.size
        if side % step or side < least:
            raise CheckpointError(
                f"{self.where}: pictures of {side} pixels a side would be resized once more for the vision model, "
                f"which isn't done here; it takes multiples of {step}{f' from {least} on' if least else ''}"
            )
        if not self.keeps_form or all(camera.height == camera.width for camera in cameras):
            return self.images
        shapes = {kept_shape(camera.height, camera.width, self.images, step=step) for camera in cameras}
        if len(shapes) > 1:
            raise CheckpointError(
                f"{self.where}: pictures keep their form, and cameras differ: "
                f"{', '.join(f'{camera.name} {camera.height} by {camera.width}' for camera in cameras)}; give a robot "
                "with cameras of one form (--embodiment), or a checkpoint with letter_box_transform"
            )
        return self.images.model_copy(update={"shape": shapes.pop()})


def _by_area(words: Mapping[str, Any], path: Path) -> ImagesConfig:
    edge, share = words["shortest_image_edge"], words["crop_fraction"]
    side = _side(words, "image_target_size", path) if edge is None else _whole(edge, "shortest_image_edge", path)
    if share is None:
        share = _side(words, "image_crop_size", path) / _side(words, "image_target_size", path)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise CheckpointError(f"{path}: {share!r} of a picture's sides is to be kept; it should be from 0 to 1")
    return ImagesConfig(size=side, crop=float(share), resample="area")


def _bilinear(words: Mapping[str, Any], path: Path) -> ImagesConfig:
    side, kept = _side(words, "image_target_size", path), _side(words, "image_crop_size", path)
    if kept > side or (side - kept) % 2:
        raise CheckpointError(
            f"{path}: image_crop_size {kept} can't be cut out of the middle of image_target_size {side} here; an even "
            "number less, at least 0, can"
        )
    return ImagesConfig(size=side, crop=min((kept + 0.5) / side, 1.0), resample="bilinear")


def _side(words: Mapping[str, Any], name: str, path: Path) -> int:
    found = words.get(name)
    if not isinstance(found, list | tuple) or len(found) != 2 or found[0] != found[1]:
        raise CheckpointError(f"{path}: {name} is {found!r}; only squares, [side, side], can be shown here")
    return _whole(found[0], name, path)


def _whole(found: Any, name: str, path: Path) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise CheckpointError(f"{path}: {name} is {found!r}; it should be a number of pixels")
    return found
