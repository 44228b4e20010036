"""How old a camera's images are where a model wants to act on them, and what is done about it, in every mode."""

import logging
from typing import final

from dualsys.errors import ConfigError
from dualsys.messages import Observation
from dualsys.settings import IMAGE_ACTIONS, StalenessConfig
from dualsys.staleness import action_for, freshness

_LOGGER = logging.getLogger(__name__)


@final
class ImageAges:
    """Judges observations, counts the old ones, and logs when a camera stops.

    Args:
        config: What is done with old images: `keep`, or `hold`: there is nothing to act on. None: nothing is asked.

    Raises:
        ConfigError: something else is to be done with them.
    """

    def __init__(self, config: StalenessConfig | None) -> None:
        if config is not None and not {config.on_stale, config.on_expired} <= set(IMAGE_ACTIONS):
            raise ConfigError(
                f"image: with an old image an actor can {' or '.join(IMAGE_ACTIONS)}, not "
                f"{config.on_stale} (on_stale) and {config.on_expired} (on_expired)"
            )
        self._config = config
        self._blind = False
        self.outages = 0
        """Times that a camera's images have become too old."""
        self.old_images = 0
        """Observations that were acted on with an image that was stale or expired."""

    def is_blind(self, observation: Observation) -> bool:
        """Whether there is nothing to act on, because a camera has stopped. Images are left unread."""
        if self._config is None:
            return False
        age_s = observation.stamp_s - observation.oldest_stamp_s
        word = freshness(age_s, self._config)
        before, self._blind = self._blind, action_for(word, self._config) != "keep"
        self.old_images += word in ("stale", "expired") and not self._blind
        if self._blind and not before:
            self.outages += 1
            _LOGGER.warning("an image is %.1f s old: nothing is made of what is seen until a newer one comes", age_s)
        return self._blind

    def counts(self) -> dict[str, int]:
        """Both counters by name, as they stand in a status and in a run's figures."""
        return {"outages": self.outages, "old_images": self.old_images}
