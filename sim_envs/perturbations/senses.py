"""What a policy is told of an environment whose sensors are perturbed."""

from dataclasses import replace
from functools import partial
from typing import final

import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.messages import FloatArray, ImageArray, Observation
from dualsys.sim_envs.images import LazyImages
from dualsys.sim_envs.perturbations.drop_out import DropOut
from dualsys.sim_envs.perturbations.sensor_noise import SensorNoise

Memory = tuple[FloatArray, dict[str, tuple[ImageArray, float]]]
"""State that stuck components tell `(nx,)`; the last picture of frozen cameras, and its stamp."""


@final
class Senses:
    """Noise, then failures. Noise is drawn from the moment's stream; only what is frozen has to be remembered.

    Args:
        noise: None: there is none.
        drop_out: None: nothing fails.
        embodiment: Names and sizes of cameras.
        dt_s: Time of a control step.
    """

    def __init__(
        self, noise: SensorNoise | None, drop_out: DropOut | None, embodiment: EmbodimentSpec, dt_s: float
    ) -> None:
        self._noise, self._drop_out, self._dt_s = noise, drop_out, dt_s
        self._cameras = {camera.name: (index, camera) for index, camera in enumerate(embodiment.cameras)}
        self._stuck: FloatArray = np.zeros(embodiment.num_states)
        self._frozen: dict[str, tuple[ImageArray, float]] = {}
        self._seed = 0

    @property
    def memory(self) -> Memory:
        """To go back to."""
        return self._stuck.copy(), dict(self._frozen)

    def recall(self, seed: int, memory: Memory) -> None:
        """Go back to a moment of an episode."""
        self._seed, self._stuck, self._frozen = seed, memory[0].copy(), dict(memory[1])

    def begin(self, seed: int) -> None:
        """A new episode."""
        self._seed, self._stuck, self._frozen = seed, np.zeros_like(self._stuck), {}

    def note(self, observation: Observation, step: int) -> None:
        """After every reset and step: keep what freezes now. A camera that freezes renders."""
        if self._drop_out is None:
            return
        state = self._noisy_state(observation, step)
        for component in range(state.size):
            if self._drop_out.is_stuck(component, seed=self._seed, step=step, dt_s=self._dt_s) == step:
                self._stuck[component] = state[component]
        for name in self._cameras:
            if self._fault(name, step) == ("frozen", step):
                stamp_s = observation.image_stamps_s.get(name, observation.stamp_s)
                self._frozen[name] = (self._noisy_image(observation, step, name), stamp_s)

    def told(self, observation: Observation, step: int) -> Observation:
        """What the policy gets of an observation of this step, which was noted. Pictures still render when read."""
        state = np.array(self._noisy_state(observation, step))
        stamps_s = dict(observation.image_stamps_s)
        shown: dict[str, ImageArray] = {}
        if self._drop_out is not None:
            for component in range(state.size):
                if self._drop_out.is_stuck(component, seed=self._seed, step=step, dt_s=self._dt_s) is not None:
                    state[component] = self._stuck[component]
            for name, (_, camera) in self._cameras.items():
                fault = self._fault(name, step)
                if fault is not None and fault[0] == "frozen":
                    shown[name], stamps_s[name] = self._frozen[name]
                elif fault is not None:
                    shown[name] = np.zeros((camera.height, camera.width, 3), np.uint8)
        take = partial(self._image, observation, step, shown)
        images = LazyImages(tuple(observation.images), take, _always)
        return replace(observation, state=state, images=images, image_stamps_s=stamps_s)

    def _image(self, observation: Observation, step: int, shown: dict[str, ImageArray], name: str) -> ImageArray:
        return shown[name].copy() if name in shown else self._noisy_image(observation, step, name)

    def _fault(self, name: str, step: int) -> tuple[str, int] | None:
        if self._drop_out is None:
            return None
        return self._drop_out.camera_fault(self._cameras[name][0], seed=self._seed, step=step, dt_s=self._dt_s)

    def _noisy_state(self, observation: Observation, step: int) -> FloatArray:
        if self._noise is None:
            return observation.state
        return self._noise.state(observation.state, seed=self._seed, step=step)

    def _noisy_image(self, observation: Observation, step: int, name: str) -> ImageArray:
        image = observation.images[name]
        if self._noise is None:
            return image
        return self._noise.image(image, seed=self._seed, step=step, camera=self._cameras[name][0])


def _always() -> int:
    """The moment of pictures that guard theirs themselves."""
    return 0
