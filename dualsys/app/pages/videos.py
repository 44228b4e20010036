"""Videos inside a page."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_VIDEO_BYTES = 48 * 2**20
"""Of all videos in a page together; it holds them as text, a third longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedVideo:
    """An mp4 inside the page."""

    name: str
    """Its file's, without the ending."""
    data: str
    """Base64."""
    caption: str = ""
    """Beside the name."""


def embedded(videos: Mapping[Path, str]) -> tuple[list[EmbeddedVideo], list[str]]:
    """Videos with their captions, in order, and the names of those that would be too much."""
    shown, left_out, room_bytes = [], [], MAX_VIDEO_BYTES
    for file, caption in videos.items():
        size_bytes = file.stat().st_size
        if size_bytes > room_bytes:
            left_out.append(f"{file.name} ({size_bytes / 1e6:.1f} MB)")
            continue
        room_bytes -= size_bytes
        data = base64.b64encode(file.read_bytes()).decode()
        shown.append(EmbeddedVideo(name=file.stem, data=data, caption=caption))
    return shown, left_out
