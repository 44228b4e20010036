"""The newest observation, put together from the boxes that the tick and the cameras write."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.scene import CameraFrame, Episode
from dualsys.messages import Observation

_LOGGER = logging.getLogger(__name__)


class Senses:
    """Newest state, newest image of each camera, and the words of the episode that runs.

    Args:
        episode: What runs now.
        state: Observations without images.
        cameras: One box a camera.
        image_expires_s: Age of an image, when the state was sensed, beyond which there is nothing to act on.
    """

    def __init__(
        self,
        *,
        episode: Mailbox[Episode],
        state: Mailbox[Observation],
        cameras: Mapping[str, Mailbox[CameraFrame]],
        image_expires_s: float = math.inf,
    ) -> None:
        self._episode = episode
        self._state = state
        self._cameras = cameras
        self._image_expires_s = image_expires_s
        self._blind = False
        self.outages = 0
        """Times that a camera's images have become too old."""

    def newest(self) -> tuple[Episode, Observation] | None:
        """The episode and its newest observation; None while it lacks a state, or a camera an image that isn't too old.

        Raises:
            BridgeError: where a box holds a malformed frame.
        """
        episode, state = self._episode.read(), self._state.read()
        if episode is None or state is None or state.stamp_s < episode.start_s:
            return None
        frames: dict[str, CameraFrame] = {}
        for name, box in self._cameras.items():
            frame = box.read()
            if frame is None or frame.episode != episode.number:
                return None
            frames[name] = frame
        observation = replace(
            state,
            images={name: frame.image for name, frame in frames.items()},
            image_stamps_s={name: frame.stamp_s for name, frame in frames.items()},
            instruction=episode.instruction,
        )
        return None if self._is_blind(observation) else (episode, observation)

    def _is_blind(self, observation: Observation) -> bool:
        """Whether a camera has stopped; counted and logged when it begins."""
        age_s = observation.stamp_s - observation.oldest_stamp_s
        before, self._blind = self._blind, age_s > self._image_expires_s
        if self._blind and not before:
            self.outages += 1
            _LOGGER.warning("an image is %.1f s old: nothing is made of what is seen until a newer one comes", age_s)
        return self._blind
