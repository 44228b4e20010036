"""What a recording was begun with: one that was stopped is gone on with as it was begun, or not at all."""

import json
from collections.abc import Mapping
from typing import Any, final

from dualsys.data import layout
from dualsys.data.writer import DatasetWriter
from dualsys.errors import DatasetError
from dualsys.files import read_json, write_json


@final
class BegunRecording:
    """What the folder of a dataset notes of the recording that was begun in it, beside the staged episodes."""

    def __init__(self, writer: DatasetWriter) -> None:
        self._writer = writer
        self._note = writer.staging / layout.BEGUN_WITH

    @property
    def exists(self) -> bool:
        """Whether one was begun there and is not finished."""
        return self._note.is_file()

    def go_on(self, settings: Mapping[str, Any]) -> None:
        """Begin one, or go on with the one that is there. Nothing is changed where that is refused.

        Args:
            settings: Everything that decides the recorded data, as JSON takes it.

        Raises:
            DatasetError: it was begun with other settings, each of which is named; or there are staged episodes of
                which nothing says what they are.
        """
        if self.exists:
            require_as_begun(self._writer, read_json(self._note), settings)
        elif self._writer.info is None and (seeds := self._writer.staged_seeds()):
            raise DatasetError(
                f"{self._writer.root} holds staged episodes ({len(seeds)}) and not what they were begun with, so they "
                "cannot be gone on with; give another folder"
            )
        write_json(self._note, settings)

    def forget_if_nothing_is_staged(self) -> None:
        """Leave nothing of a recording of which there is nothing, so that it may be begun in another way."""
        if not self._writer.staged_seeds():
            self._note.unlink(missing_ok=True)


def require_as_begun(writer: DatasetWriter, was: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise `DatasetError` naming each setting of a recording in which it differs from what is asked for now."""
    if differing := differing_settings(was, settings):
        raise DatasetError(
            f"{writer.root} was begun with {differing}; go on with the same, or give another folder for these"
        )


def differing_settings(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs by name, such as `camera_hz 10.0 (now 25.0), noise_rad 0.01 (now not told)`; empty: nothing does.

    Compared as JSON holds them, so that a tuple is the list that was read back.
    """
    before, after = (json.loads(json.dumps(dict(each))) for each in (was, now))
    return ", ".join(
        f"{key} {_told(before, key)} (now {_told(after, key)})"
        for key in sorted({**before, **after})
        if (key in before, before.get(key)) != (key in after, after.get(key))
    )


def _told(settings: Mapping[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "not told"
