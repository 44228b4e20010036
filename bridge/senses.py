"""The newest observation, put together from the boxes that the tick and the cameras write."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.scene import CameraFrame, Episode
from dualsys.messages import Observation
from dualsys.settings import StalenessConfig
from dualsys.staleness import action_for, freshness

_LOGGER = logging.getLogger(__name__)


class Senses:
    """Newest state, newest image of each camera, and the words of the episode that runs.

    Args:
        episode: What runs now.
        state: Observations without images.
        cameras: One box a camera.
        image: What is done with old images: `keep`, or `hold`: there is nothing to act on. None: nothing is asked.
    """

    def __init__(
        self,
        *,
        episode: Mailbox[Episode],
        state: Mailbox[Observation],
        cameras: Mapping[str, Mailbox[CameraFrame]],
        image: StalenessConfig | None = None,
    ) -> None:
        self._episode = episode
        self._state = state
        self._cameras = cameras
        self._image = image
        self._blind = False
        self.outages = 0
        """Times that a camera's images have become too old."""
        self.old_images = 0
        """Observations that were handed out with an image that was stale or expired."""

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
        if self._image is None:
            return False
        age_s = observation.stamp_s - observation.oldest_stamp_s
        word = freshness(age_s, self._image)
        before, self._blind = self._blind, action_for(word, self._image) != "keep"
        self.old_images += word in ("stale", "expired") and not self._blind
        if self._blind and not before:
            self.outages += 1
            _LOGGER.warning("an image is %.1f s old: nothing is made of what is seen until a newer one comes", age_s)
        return self._blind
