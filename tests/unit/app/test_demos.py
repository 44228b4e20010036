"""Recording demonstrations with a small expert: what is kept, in what order, and how it goes on after a stop."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.execution_noise import ExecutionNoise
from dualsys.app.recording import BLOCK_POSITIONS, TARGET_POSITION, RecordingSettings, record_episode
from dualsys.app.recording_pool import WorkplaceConfig
from dualsys.data import DemonstrationDataset
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import ConfigError, DatasetError
from dualsys.messages import FloatArray, Observation

EMBODIMENT = EmbodimentSpec(
    name="slider",
    joints=(Joint(name="x", lower=-10, upper=10),),
    state_names=("x", "goal"),
    cameras=(CameraSpec(name="head", height=16, width=16),),
)
LIMIT = 40


class Slider:
    """Moves half-way to the target in every step; solved within 0.1 of the goal, but for seeds of 4 n + 3."""

    embodiment = EMBODIMENT
    control_dt_s = 0.02

    def __init__(self) -> None:
        self.sent: list[float] = []
        self.closed = False
        self.reset(seed=0)

    @property
    def instruction(self) -> str:
        return f"slide to {self.goal:.0f}"

    @property
    def success(self) -> bool:
        return self.solved

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.seed = seed or 0
        self.goal = float(np.random.default_rng(self.seed).integers(2, 6))
        self.x, self.steps, self.solved = 0.0, 0, False
        self.sent = []
        return None, {}

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.sent.append(float(action[0]))
        self.x += 0.5 * (float(action[0]) - self.x)
        self.steps += 1
        self.solved |= self.seed % 4 != 3 and abs(self.x - self.goal) < 0.1
        return None, 0.0, self.solved, self.steps >= LIMIT, {}

    def observe(self) -> Observation:
        image = np.full((16, 16, 3), 4 * self.steps, np.uint8)
        state = np.array([self.x, self.goal])
        return Observation(stamp_s=3.0 + self.steps * 0.02, state=state, images={"head": image})

    privileged_columns = MappingProxyType({"target_position": ("x_m", "y_m", "z_m"), "block_positions": "abcdef"})

    def privileged(self) -> Mapping[str, Any]:
        places = np.array([[np.nan] * 3, [1.0, 2.0, 3.0]])
        return {"target_position": np.array([self.goal, 0.0, 0.0]), "block_positions": places, "mood": "calm"}

    def close(self) -> None:
        self.closed = True


class SliderExpert:
    """Asks for the goal in steps of at most one, and is pushed on the way."""

    name = "SliderExpert"

    def __init__(self, slider: Slider, push: float) -> None:
        self.slider, self.noise = slider, ExecutionNoise(push, 0.02)

    def reset(self, *, seed: int) -> None:
        self.noise.reset(seed)

    def act(self) -> tuple[FloatArray, FloatArray]:
        target = np.array([np.clip(self.slider.goal, self.slider.x - 1, self.slider.x + 1)])
        return target, self.noise.push(target)


def make_slider(config: WorkplaceConfig) -> tuple[Slider, SliderExpert]:
    slider = Slider()
    return slider, SliderExpert(slider, config.noise_rad)


def _config(out: Path, episodes: int = 6, **options: Any) -> DemosConfig:
    return DemosConfig(task="test/slider", episodes=episodes, out=out, **options)


def test_rows_pair_the_state_with_the_clean_target_sent_after_it() -> None:
    slider, expert = make_slider(WorkplaceConfig(task="", noise_rad=0.05, image_size=16))
    settings = RecordingSettings(rows_per_frame=4, tail_rows=3)
    episode = record_episode(slider, expert, 1, settings)
    assert episode is not None
    x = episode.states[:, 0]
    # The physics obeyed what was sent; the record holds what the expert wanted.
    np.testing.assert_allclose(x[1:], x[:-1] + 0.5 * (np.array(slider.sent[:-1]) - x[:-1]), atol=1e-6)
    np.testing.assert_allclose(episode.actions[:, 0], np.clip(slider.goal, x - 1, x + 1), atol=1e-6)
    assert np.abs(episode.actions[1:, 0] - slider.sent[1:]).max() > 0.001
    solved = int(np.flatnonzero(np.abs(x - slider.goal) < 0.1)[0])
    assert episode.length == solved + 3
    track = episode.cameras["head"]
    assert track.frames[:, 0, 0, 0].tolist() == [16 * i for i in range(len(track.frames))]
    np.testing.assert_allclose(track.stamps_s, np.arange(len(track.frames)) * 0.08)
    assert track.frame_of_row.tolist() == [row // 4 for row in range(episode.length)]
    np.testing.assert_array_equal(episode.extras[TARGET_POSITION][:, 0], slider.goal)
    np.testing.assert_array_equal(episode.extras[BLOCK_POSITIONS][0], [np.nan] * 3 + [1, 2, 3])


def test_failures_are_counted_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    info = record_demonstrations(_config(tmp_path, seed=1), make=make_slider)
    data = DemonstrationDataset.open(tmp_path, EMBODIMENT)
    assert data.seeds.tolist() == [1, 2, 4, 5, 6, 8]
    assert info.dualsys is not None
    assert (info.dualsys.failed_seeds, info.dualsys.attempted, info.dualsys.next_seed) == ([3, 7], 8, 9)
    assert info.dualsys.expert == "SliderExpert"
    assert "numpy" in info.dualsys.versions
    assert "succeeded in 6 of 8 (75.0 %)" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / ".recording").exists()


def test_resume_after_a_stop_gives_the_same_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = record_demonstrations(_config(tmp_path / "whole"), make=make_slider)
    attempts = 0
    original = Slider.reset

    def stop_at_the_fifth(self: Slider, **options: Any) -> tuple[Any, dict[str, Any]]:
        nonlocal attempts
        attempts += 1
        if attempts == 7:  # two of them are made by the constructors
            raise KeyboardInterrupt
        return original(self, **options)

    monkeypatch.setattr(Slider, "reset", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        record_demonstrations(_config(tmp_path / "cut"), make=make_slider)
    with pytest.raises(DatasetError, match=r"not finished \(3 episodes"):
        DemonstrationDataset.open(tmp_path / "cut")
    with pytest.raises(DatasetError, match="--resume"):
        record_demonstrations(_config(tmp_path / "cut"), make=make_slider)
    before = attempts
    resumed = record_demonstrations(_config(tmp_path / "cut", resume=True), make=make_slider)
    assert attempts - before == 2 + 3  # the constructors', and seeds 4 to 6: nothing is done twice
    assert resumed == whole
    one, other = (DemonstrationDataset.open(tmp_path / name) for name in ("whole", "cut"))
    np.testing.assert_array_equal(one.states, other.states)
    np.testing.assert_array_equal(one.frames[:], other.frames[:])


def test_resume_makes_a_finished_dataset_longer(tmp_path: Path) -> None:
    record_demonstrations(_config(tmp_path, episodes=2), make=make_slider)
    info = record_demonstrations(_config(tmp_path, episodes=5, resume=True), make=make_slider)
    assert DemonstrationDataset.open(tmp_path).seeds.tolist() == [0, 1, 2, 4, 5]
    assert info.dualsys is not None
    assert (info.dualsys.attempted, info.dualsys.failed_seeds) == (6, [3])
    again = record_demonstrations(_config(tmp_path, episodes=5, resume=True), make=make_slider)
    assert again == info
    assert not (tmp_path / ".recording").exists()


def test_resume_with_other_settings_is_refused(tmp_path: Path) -> None:
    record_demonstrations(_config(tmp_path, episodes=2), make=make_slider)
    with pytest.raises(DatasetError, match=r"begun with camera_hz 10\.0 \(now 25\.0\);"):
        record_demonstrations(_config(tmp_path, resume=True, camera_hz=25.0), make=make_slider)
    with pytest.raises(DatasetError, match=r"begun with first_seed 0 \(now 1\);"):
        record_demonstrations(_config(tmp_path, resume=True, seed=1), make=make_slider)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "--episodes"),
        ({"camera_hz": 0.0}, "--camera-hz 0.0 must be positive"),
        ({"camera_hz": float("nan")}, "--camera-hz nan must be positive"),
        ({"noise_rad": -1.0}, "must be from 0 to pi"),
        ({"image_size": 97}, "must be even"),
        ({"image_size": (96, 97)}, "--image-size 96 97 must be even"),
        ({"image_size": 0}, "--image-size 0 must be positive"),
        ({"seed": 7990, "episodes": 20}, "kept for evaluation"),
    ],
)
def test_options_that_mean_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _config(tmp_path, **options)


@pytest.mark.parametrize("camera_hz", [30.0, 100.0])
def test_a_rate_of_frames_that_does_not_divide_the_rows_leaves_nothing(tmp_path: Path, camera_hz: float) -> None:
    with pytest.raises(ConfigError, match=r"does not divide the rows' 50 Hz; use 50 / n, such as 10"):
        record_demonstrations(_config(tmp_path / "out", camera_hz=camera_hz), make=make_slider)
    assert not (tmp_path / "out").exists()


class Fast(Slider):
    """Steps 80 times a second."""

    control_dt_s = 0.0125


class Slow(Slider):
    """Steps 25 times a second."""

    control_dt_s = 0.04


class Uneven(Slider):
    """Steps 62.5 times a second."""

    control_dt_s = 0.016


def make_fast(config: WorkplaceConfig) -> tuple[Slider, SliderExpert]:
    slider = Fast()
    return slider, SliderExpert(slider, config.noise_rad)


def make_slow(config: WorkplaceConfig) -> tuple[Slider, SliderExpert]:
    slider = Slow()
    return slider, SliderExpert(slider, config.noise_rad)


def make_uneven(config: WorkplaceConfig) -> tuple[Slider, SliderExpert]:
    slider = Uneven()
    return slider, SliderExpert(slider, config.noise_rad)


def test_frames_come_at_a_rate_that_divides_the_rows_where_none_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = record_demonstrations(_config(tmp_path), make=make_slow)
    assert "12.5 frames a second: 10 don't divide the rows' 25 Hz" in capsys.readouterr().err
    assert info.dualsys is not None
    assert info.dualsys.settings["camera_hz"] == 12.5
    data = DemonstrationDataset.open(tmp_path)
    shown = data.frame_of_row[: data.episode_lengths[0]]
    assert (shown - shown[0]).tolist() == [row // 2 for row in range(len(shown))]
    assert record_demonstrations(_config(tmp_path, resume=True), make=make_slow) == info
    with pytest.raises(ConfigError, match=r"--camera-hz 10\.0 does not divide .* 25 Hz; use 25 / n, such as 12\.5$"):
        record_demonstrations(_config(tmp_path / "asked", camera_hz=10.0), make=make_slow)


def test_rows_come_at_the_environment_s_own_rate(tmp_path: Path) -> None:
    info = record_demonstrations(_config(tmp_path, tail_s=0.5), make=make_fast)
    assert info.fps == 80
    assert info.dualsys is not None
    assert info.dualsys.settings["control_hz"] == 80
    data = DemonstrationDataset.open(tmp_path)
    shown = data.frame_of_row[: data.episode_lengths[0]]
    assert (shown - shown[0]).tolist() == [row // 8 for row in range(len(shown))]
    usual = record_demonstrations(_config(tmp_path / "usual", tail_s=0.5), make=make_slider)
    assert info.total_frames - usual.total_frames == 6 * (40 - 25)  # half a second of tail each
    with pytest.raises(ConfigError, match=r"makes 62\.5 steps a second: a dataset's rate is a whole number"):
        record_demonstrations(_config(tmp_path / "uneven"), make=make_uneven)


def make_by_name(config: WorkplaceConfig) -> tuple[Slider, SliderExpert]:
    """Of a suite of two."""
    slider = Unlucky() if config.task == "sliders/unlucky" else Slider()
    return slider, SliderExpert(slider, config.noise_rad)


class Unlucky(Slider):
    """Fails at odd seeds, and is told of other goals."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        outcome = super().reset(seed=2 * (seed or 0) + 1, options=options)
        self.goal += 10.0  # out of sight of the other's instructions
        return outcome


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["sliders/slider", "sliders/unlucky"]
    monkeypatch.setattr("dualsys.app.demos.tasks_of", lambda asked: {"sliders": names, "sliders/u*": names[1:]}[asked])
    monkeypatch.setattr("dualsys.app.demos.shown_tasks", tuple)  # no suite is registered that would know its robots


def _of_suite(out: Path, episodes: int = 4, **options: Any) -> DemosConfig:
    return DemosConfig(task="sliders", episodes=episodes, out=out, noise_rad=0.0, **options)


@pytest.mark.usefixtures("suite")
def test_a_suite_is_one_dataset_with_as_many_episodes_of_each_task(tmp_path: Path) -> None:
    info = record_demonstrations(_of_suite(tmp_path, seed=1), make=make_by_name)
    data = DemonstrationDataset.open(tmp_path)
    assert data.seeds.tolist() == [1, 2, 4, 5, 8002, 8004, 8006, 8008]
    assert [float(words.split()[-1]) >= 12 for words in data.instructions] == [False] * 4 + [True] * 4
    assert info.dualsys is not None
    assert info.dualsys.failed_seeds == [3, 8001, 8003, 8005, 8007]
    assert (info.dualsys.task, info.dualsys.attempted) == ("sliders", 13)
    assert info.dualsys.settings["tasks"] == ["sliders/slider", "sliders/unlucky"]
    again = record_demonstrations(_of_suite(tmp_path, seed=1, resume=True), make=make_by_name)
    assert again == info
    with pytest.raises(DatasetError, match=r"begun with episodes_of_each_task 4 \(now 5\)"):
        record_demonstrations(_of_suite(tmp_path, episodes=5, seed=1, resume=True), make=make_by_name)


@pytest.mark.usefixtures("suite")
def test_a_pattern_stands_for_the_tasks_that_it_fits(tmp_path: Path) -> None:
    info = record_demonstrations(replace(_of_suite(tmp_path), task="sliders/u*"), make=make_by_name)
    assert info.dualsys is not None
    assert info.dualsys.settings["tasks"] == ["sliders/unlucky"]
    assert info.total_episodes == 4


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("suite")
@pytest.mark.parametrize("fails_at", [3, 9, 12])
def test_a_suite_that_was_stopped_goes_on_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    record_demonstrations(_of_suite(tmp_path / "whole"), make=make_by_name)
    attempts = 0

    def stopped(self: Slider, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        nonlocal attempts
        attempts += self.steps == 0
        if attempts == fails_at:
            raise KeyboardInterrupt
        return original(self, action)

    original = Slider.step
    with monkeypatch.context() as patched:
        patched.setattr(Slider, "step", stopped)
        with pytest.raises(KeyboardInterrupt):
            record_demonstrations(_of_suite(tmp_path / "cut"), make=make_by_name)
    record_demonstrations(_of_suite(tmp_path / "cut", resume=True, workers=2), make=make_by_name)
    assert _files(tmp_path / "cut") == _files(tmp_path / "whole")


def test_an_unknown_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'humanoid'"):
        record_demonstrations(DemosConfig(task="humanod", episodes=1, out=tmp_path / "out"))


def test_running_out_of_training_seeds_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualsys.app.demos.TRAINING_SEEDS", 6)
    with pytest.raises(DatasetError, match="training seeds ran out"):
        record_demonstrations(_config(tmp_path, episodes=6), make=make_slider)


class Hopeless(Slider):
    """Never solved, but for one seed."""

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.solved = self.seed == 20
        return None, 0.0, self.solved, True, {}


def make_hopeless(config: WorkplaceConfig) -> tuple[Slider, SliderExpert]:
    slider = Hopeless()
    return slider, SliderExpert(slider, config.noise_rad)


def test_an_expert_that_hardly_ever_succeeds_is_not_tried_for_long(tmp_path: Path) -> None:
    """One success is among the first 50 attempts, which is the least there must be; the next attempt is too many."""
    with pytest.raises(DatasetError, match=r"succeeded in 1 of 51 attempts \(2\.0 %; at least 2 % are expected"):
        record_demonstrations(_config(tmp_path), make=make_hopeless)
    with pytest.raises(DatasetError, match=r"succeeded in 0 of 50 attempts \(0\.0 %"):
        record_demonstrations(_config(tmp_path, resume=True), make=make_hopeless)


def test_nor_is_it_by_two_workers_whose_attempts_end_in_any_order(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"succeeded in [01] of 5[01] attempts .*at least 2 % are expected"):
        record_demonstrations(_config(tmp_path, workers=2), make=make_hopeless)


def test_noise_wanders_around_the_target() -> None:
    noise = ExecutionNoise(0.02, 0.02)
    spread = []
    for seed in range(200):
        noise.reset(seed)
        pushes = np.array([noise.push(np.zeros(4)) for _ in range(100)])[50:]
        spread.append(pushes.std())
        assert np.abs(np.diff(pushes, axis=0)).std() < 0.6 * pushes.std()
    assert 0.012 < np.mean(spread) < 0.028
    noise.reset(3)
    first = [noise.push(np.ones(4)) for _ in range(5)]
    noise.reset(3)
    np.testing.assert_array_equal([noise.push(np.ones(4)) for _ in range(5)], first)
    silent = ExecutionNoise(0.0, 0.02)
    np.testing.assert_array_equal(silent.push(np.ones(4)), np.ones(4))
