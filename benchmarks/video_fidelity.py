"""How well do datasets keep the camera's images, and what do they weigh?

    python -m benchmarks.video_fidelity --episodes 12

Our encoding (yuv444p) beside the usual one (yuv420p, with the same encoder and quality), on the frames of recorded
`humanoid/touch` episodes. Saturated pixels, the blocks, are counted apart: they are what instructions are about.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.app.recording import RecordingSettings, record_episode
from dualsys.app.recording_pool import WorkplaceConfig
from dualsys.app.workplace import make_workplace
from dualsys.data.episode import CameraTrack
from dualsys.data.video import decode_frames, encode_video

_ROWS_HZ = 50
"""Of `humanoid/touch`."""
SATURATION = 100
"""Difference of the largest and smallest channel from which a pixel counts as saturated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFidelityConfig:
    """Fidelity and size of recorded videos."""

    episodes: int = 12
    """Episodes recorded for it."""
    seed: int = 8000
    """Seed of the first."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/video_fidelity.json`."""


def main(config: VideoFidelityConfig) -> None:
    """Record, encode, decode, compare, print and write."""
    tracks = _record(config)
    results = [_measure(tracks, pixel_format) for pixel_format in ("yuv444p", "yuv420p")]
    table = Table("pixels", "all, dB", "worst frame, dB", "saturated pixels, dB", "bytes a frame")
    for result in results:
        figures = [f"{result[key]:.1f}" for key in ("psnr_db", "worst_frame_db", "saturated_db")]
        table.add_row(result["pixel_format"], *figures, f"{result['bytes_per_frame']:.0f}")
    console = Console()
    console.print(table)
    path = write_report(
        "video_fidelity", {"results": results, "episodes": len(tracks), "seed": config.seed}, config.json
    )
    console.print(str(path))


def _record(config: VideoFidelityConfig) -> list[CameraTrack]:
    environment, expert = make_workplace(WorkplaceConfig(task="humanoid/touch", noise_rad=0.01, image_size=96))
    settings = RecordingSettings(rows_per_frame=5)
    try:
        seeds = range(config.seed, config.seed + config.episodes)
        episodes = [record_episode(environment, expert, seed, settings) for seed in seeds]
    finally:
        environment.close()
    return [episode.cameras["head"] for episode in episodes if episode is not None]


def _measure(tracks: list[CameraTrack], pixel_format: str) -> dict[str, Any]:
    errors: list[NDArray[np.float64]] = []
    saturated: list[NDArray[np.float64]] = []
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episode.mp4"
        for track in tracks:
            encode_video(path, track.frames, track.frame_of_row, _ROWS_HZ, pixel_format=pixel_format)
            size += path.stat().st_size
            rows = np.flatnonzero(np.diff(track.frame_of_row, prepend=-1))
            decoded = np.stack(list(decode_frames(path, rows, _ROWS_HZ))).astype(float)
            error = np.mean((decoded - track.frames) ** 2, axis=-1)
            spread = track.frames.max(axis=-1).astype(int) - track.frames.min(axis=-1)
            errors.append(error)
            saturated.append(error[spread > SATURATION])
    frames = np.concatenate(errors)
    return {
        "pixel_format": pixel_format,
        "psnr_db": _psnr_db(frames.mean()),
        "worst_frame_db": _psnr_db(frames.mean(axis=(1, 2)).max()),
        "saturated_db": _psnr_db(np.concatenate(saturated).mean()),
        "bytes_per_frame": size / len(frames),
    }


def _psnr_db(squared_error: float) -> float:
    return float(10 * np.log10(255**2 / squared_error))


if __name__ == "__main__":
    main(tyro.cli(VideoFidelityConfig, description=__doc__))
