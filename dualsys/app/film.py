"""Videos for people: the scene camera with the instruction written under it."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dualsys.app.controller import Controller
from dualsys.app.episode_rules import EpisodeRules
from dualsys.app.rollout import EpisodeResult, run_episode
from dualsys.errors import CannotWrite
from dualsys.messages import Command, ImageArray
from dualsys.protocols import Rendered

CAPTION_HEIGHT = 28


class VideoWriter:
    """Writes frames with a caption as H.264 that every player and browser shows. A context manager.

    Raises `CannotWrite` wherever it can't, such as on a full disk.
    """

    def __init__(self, path: Path, *, fps: int | Fraction) -> None:
        import av

        from dualsys.data.video import CODEC

        path.parent.mkdir(parents=True, exist_ok=True)
        self._av: Any = av
        self._codec = CODEC
        self._path, self._fps = path, fps
        self._stream: Any = None
        with self._said():
            self._container: Any = av.open(str(path), "w", format="mp4")

    def add(self, frame: ImageArray, caption: str = "") -> None:
        """Append a frame `(h, w, 3)` uint8; every frame has the first one's size."""
        picture = with_caption(frame, caption)
        if self._stream is None:
            self._stream = self._container.add_stream(self._codec, rate=Fraction(self._fps), options={"crf": "20"})
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        image = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        with self._said():
            self._container.mux(self._stream.encode(image))

    def close(self) -> None:
        """Finish the file. Idempotent."""
        container, self._container = self._container, None
        if container is None:
            return
        with self._said():
            if self._stream is not None:
                container.mux(self._stream.encode(None))
            container.close()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except self._av.FFmpegError as error:
            raise CannotWrite(f"the video {self._path} cannot be written: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def with_caption(frame: ImageArray, caption: str) -> ImageArray:
    """The frame, cut to even sides, with a line of text under it."""
    height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
    canvas = Image.new("RGB", (width, height + CAPTION_HEIGHT), (20, 20, 20))
    canvas.paste(Image.fromarray(frame[:height, :width]), (0, 0))
    font = ImageFont.load_default(size=14)
    ImageDraw.Draw(canvas).text((8, height + 5), caption, fill=(235, 235, 235), font=font)
    return np.asarray(canvas)


def film_episode(
    environment: Rendered,
    controller: Controller,
    seed: int,
    path: Path,
    *,
    fps: int = 25,
    rules: EpisodeRules = EpisodeRules(),  # noqa: B008  # it is frozen
) -> EpisodeResult:
    """Run an episode again and write it as a video. `environment.render()` gives the frames.

    It plays as fast as the episode went: of control steps every so many gives a frame, about `fps` a second, and the
    file's rate is theirs.
    """
    every = max(1, round(1.0 / (fps * environment.control_dt_s)))
    rate = 1 / (every * Fraction(environment.control_dt_s).limit_denominator(100_000))
    count = 0

    with VideoWriter(path, fps=rate) as video:

        def add(command: Command) -> None:
            nonlocal count
            if count % every == 0:
                goal = "no subgoal" if command.subgoal_sequence < 0 else f"subgoal {command.subgoal_sequence}"
                video.add(environment.render(), f"{environment.instruction}   [{goal}]")
            count += 1

        result = run_episode(environment, controller, seed, on_step=add, rules=rules)
        for _ in range(round(rate / 2)):
            video.add(environment.render(), f"{result.instruction}   [{'success' if result.success else 'failure'}]")
    return result
