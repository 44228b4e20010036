"""The newest observation, put together from the boxes that the tick and the cameras write."""

from collections.abc import Mapping
from dataclasses import replace

from dualsys.bridge.latest_value import Mailbox
from dualsys.bridge.scene import CameraFrame, Episode
from dualsys.image_ages import ImageAges
from dualsys.messages import Observation
from dualsys.settings import StalenessConfig


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
        self.images = ImageAges(image)
        """Judges what is handed out."""

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
        return None if self.images.is_blind(observation) else (episode, observation)
