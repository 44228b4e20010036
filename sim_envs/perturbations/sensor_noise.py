"""Sensors that are off: noise, blur, exposure, badly calibrated joints."""

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from dualsys.messages import FloatArray, ImageArray
from dualsys.sim_envs.perturbations.draws import factor, stream

_STATE, _BIAS, _IMAGE, _EXPOSURE = range(4)
"""Channels of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SensorNoise:
    """On what the policy is told; the physics, rewards and experts know better."""

    kind: ClassVar[str] = "sensor-noise"
    state_std: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of each component of the state in each step, in its own unit (radians, metres)."""
    state_bias: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Each component is off by up to this for the whole episode, in its own unit."""
    image_std: Annotated[float, Field(ge=0, le=255)] = 0.0
    """Of each pixel and colour in each picture, in levels of 255."""
    image_blur_px: Annotated[float, Field(ge=0, le=32)] = 0.0
    """Standard deviation of a Gaussian blur."""
    exposure: Annotated[float, Field(ge=0, le=9, allow_inf_nan=False)] = 0.0
    """Pictures of a camera are multiplied by 1 / (1 + this) to 1 + this, for the whole episode."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not (self.state_std or self.state_bias or self.image_std or self.image_blur_px or self.exposure)

    def state(self, state: FloatArray, *, seed: int, step: int) -> FloatArray:
        """What is told of a state `(nx,)`."""
        if self.state_bias:
            state = state + stream(seed, self.kind, _BIAS).uniform(-self.state_bias, self.state_bias, state.shape)
        if self.state_std:
            state = state + self.state_std * stream(seed, self.kind, _STATE, step).normal(size=state.shape)
        return state

    def image(self, image: ImageArray, *, seed: int, step: int, camera: int) -> ImageArray:
        """What is told of a picture `(h, w, 3)`."""
        if not (self.image_std or self.image_blur_px or self.exposure):
            return image
        exposure = factor(stream(seed, self.kind, _EXPOSURE, camera), self.exposure)
        changed = image.astype(np.float32) * np.float32(exposure)
        if self.image_blur_px:
            changed = _blurred(changed, self.image_blur_px)
        if self.image_std:
            noise = stream(seed, self.kind, _IMAGE, camera, step).standard_normal(image.shape, dtype=np.float32)
            changed = changed + np.float32(self.image_std) * noise
        told: ImageArray = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
        return told


def _blurred(image: NDArray[np.float32], std_px: float) -> NDArray[np.float32]:
    """Convolved with a Gaussian cut off at three standard deviations; the border is repeated."""
    reach = max(1, round(3 * std_px))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std_px) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (0, 1):
        length = image.shape[axis]
        widths = [(reach, reach) if other == axis else (0, 0) for other in range(image.ndim)]
        wide = np.pad(image, widths, mode="edge")
        image = np.zeros_like(image)
        for at, tap in enumerate(taps):
            image += tap * np.take(wide, range(at, at + length), axis=axis)
    return image
