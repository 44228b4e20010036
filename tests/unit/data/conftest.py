"""A small robot and small episodes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualsys.data import CameraTrack, DatasetWriter, Episode
from dualsys.data.info import DatasetInfo, Provenance
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.messages import ImageArray

SIZE = 32
HOLD = 5
COLOURS = ((224, 18, 18), (20, 158, 33), (20, 43, 224), (245, 214, 15), (140, 26, 178))
INSTRUCTIONS = ("touch the red block", "pat the blue one", "green, please")


def make_frame(seed: int) -> ImageArray:
    """A shaded table with saturated blocks five pixels wide."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    shades = [120 + 40 * np.sin(x / 17 + seed), 110 + 30 * np.cos(y / 13), 100 + 20 * np.sin((x + y) / 23)]
    frame = np.stack(shades, axis=-1).astype(np.uint8)
    for colour in COLOURS:
        top, left = rng.integers(1, SIZE - 6, 2)
        frame[top : top + 5, left : left + 5] = colour
    return frame


def build_episode(seed: int, length: int = 23, cameras: tuple[str, ...] = ("head",)) -> Episode:
    rng = np.random.default_rng(seed)
    shown = np.arange(length) // HOLD
    count = int(shown[-1]) + 1
    blocks = np.full((length, 6), np.nan, np.float32)
    blocks[:, :3] = rng.normal(size=3)
    return Episode(
        seed=seed,
        instruction=INSTRUCTIONS[seed % 3],
        states=rng.normal(size=(length, 4)).astype(np.float32),
        actions=rng.normal(size=(length, 2)).astype(np.float32),
        cameras={
            name: CameraTrack(
                frames=np.stack([make_frame(1000 * seed + 100 * number + i) for i in range(count)]),
                frame_of_row=shown,
                stamps_s=np.arange(count) * HOLD / 50,
            )
            for number, name in enumerate(cameras)
        },
        extras={"privileged.target_position": blocks[:, :3], "privileged.block_positions": blocks},
    )


def build_embodiment(name: str = "tiny", cameras: tuple[str, ...] = ("head",)) -> EmbodimentSpec:
    return EmbodimentSpec(
        name=name,
        joints=(Joint(name="a", lower=-1, upper=1), Joint(name="b", lower=-2, upper=2)),
        state_names=("a", "b", "a_velocity", "b_velocity"),
        cameras=tuple(CameraSpec(name=camera, height=SIZE, width=SIZE) for camera in cameras),
    )


def build_provenance(embodiment: EmbodimentSpec, next_seed: int = 0) -> Provenance:
    return Provenance(embodiment=embodiment, task="tiny/test", expert="Expert", next_seed=next_seed)


@pytest.fixture
def embodiment() -> EmbodimentSpec:
    return build_embodiment()


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    return build_episode


@pytest.fixture
def make_provenance() -> Callable[..., Provenance]:
    return build_provenance


@pytest.fixture
def write(embodiment: EmbodimentSpec) -> Callable[..., DatasetInfo]:
    """Writes a dataset of the seeds, staged in the order given, appended in ascending order."""

    def _write(root: Path, seeds: tuple[int, ...], spec: EmbodimentSpec = embodiment) -> DatasetInfo:
        writer = DatasetWriter(root, spec, fps=50)
        for seed in seeds:
            writer.stage(build_episode(seed, length=20 + seed, cameras=tuple(c.name for c in spec.cameras)))
        return writer.finish(sorted(seeds), build_provenance(spec, max(seeds) + 1))

    return _write
