"""Corrections on a small cart: where they start and end, and that a round depends on its seeds alone."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dualsys.app import train
from dualsys.app.correct import CorrectConfig, correct
from dualsys.app.correction import CorrectionPlan, correct_episode
from dualsys.app.demos import DemosConfig, record_demonstrations
from dualsys.app.recording import RecordingSettings
from dualsys.app.rollout import run_episode
from dualsys.app.train_config import TrainConfig
from dualsys.app.training.episode_split import split_dataset
from dualsys.checkpoint import Checkpoint
from dualsys.data import DemonstrationDataset
from dualsys.data.episode import Episode
from dualsys.errors import ConfigError, DatasetError
from dualsys.testing import ReachEnvironment, fake_embodiment
from tests.unit.app import rewindable
from tests.unit.app.rewindable import EMBODIMENT, HABIT, HELD, NEAR, Cart, CartExpert

FAILED = [seed for seed in range(40) if rewindable.goal_of(seed) != HABIT]
SOLVED = [seed for seed in range(40) if rewindable.goal_of(seed) == HABIT]
SETTINGS = RecordingSettings(rows_per_frame=5, tail_rows=4)


def plan(**options: Any) -> CorrectionPlan:
    values: dict[str, Any] = {"mode": "takeover", "moments": 3, "label_rows": 12, "failures_only": True}
    return CorrectionPlan(**values | options)


def corrections(seed: int, how: CorrectionPlan, *, push: float = 0.02) -> tuple[bool, list[Episode]]:
    cart = Cart()
    controller = rewindable.make_controller()
    result, episodes = correct_episode(cart, controller, CartExpert(cart, push), seed, how, SETTINGS)
    return result.success, episodes


@cache
def path(seed: int) -> NDArray[np.float32]:
    """States after each of the controller's steps, but for the last: `(n, 3)`."""
    cart = Cart()
    states: list[Any] = []
    run_episode(cart, rewindable.make_controller(), seed, on_step=lambda _: states.append(cart.observe().state))
    return np.array(states[:-1], np.float32)


def place_on_path(seed: int, state: NDArray[np.float32]) -> int:
    """Number of the step after which the controller was exactly there."""
    (found,) = np.flatnonzero((path(seed) == state).all(axis=1))[:1]
    return int(found)


def test_there_is_something_to_correct() -> None:
    assert len(FAILED) > 10
    assert len(SOLVED) > 10
    assert not any(corrections(seed, plan())[0] for seed in FAILED)
    assert all(corrections(seed, plan())[0] for seed in SOLVED)


def test_a_takeover_starts_where_the_controller_was_and_ends_in_success() -> None:
    for seed in FAILED:
        _, episodes = corrections(seed, plan())
        assert [episode.seed for episode in episodes] == [100 * seed + number for number in range(3)]
        for episode in episodes:
            moment = place_on_path(seed, episode.states[0])
            x, _, goal = path(seed)[moment]
            assert episode.cameras["head"].frames[0, 0, 0, 0] == int(128 + 25 * x)
            assert episode.cameras["head"].stamps_s[0] == 0.0
            assert episode.instruction == f"roll to {goal:.0f}"
            assert episode.success
            near = np.abs(episode.states[:, 0] - goal) < NEAR
            assert near[-SETTINGS.tail_rows :].all(), "it stays for the tail"
            # Success comes with the step after the row in which the cart has been near for one step too few.
            assert near[-SETTINGS.tail_rows - HELD + 1 :].all()
            assert not near[: -SETTINGS.tail_rows - HELD + 1].any()


def test_what_is_recorded_is_what_the_expert_wanted_there() -> None:
    for episode in corrections(FAILED[0], plan(), push=0.2)[1]:
        x, goal = episode.states[:, 0], episode.states[0, 2]
        np.testing.assert_allclose(episode.actions[:, 0], np.clip(goal, x - 1, x + 1), atol=1e-5)


class Noting(Cart):
    """Takes down to which step it was set back."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    def restore(self, snapshot: Any, *, restart_clock: bool = False) -> None:
        self.steps.append(snapshot.steps)
        super().restore(snapshot, restart_clock=restart_clock)


def test_no_moment_is_taken_twice_and_the_last_one_never() -> None:
    """More moments than steps: each step but the last, after which the episode is over, is taken once."""
    cart = Noting()
    how = plan(moments=100)
    _, episodes = correct_episode(cart, rewindable.make_controller(), CartExpert(cart, 0.0), FAILED[0], how, SETTINGS)
    assert cart.steps == list(range(1, rewindable.LIMIT))
    assert len(episodes) == len(path(FAILED[0])) == rewindable.LIMIT - 1


@pytest.mark.parametrize(("mode", "mean"), [("takeover", 2 / 3), ("label", 1 / 2)])
def test_takeovers_come_late_and_labels_all_along(mode: str, mean: float) -> None:
    """Mean share of the episode at which the expert steps in: 2/3 where its chance grows, 1/2 where it is even."""
    shares: list[float] = []
    for seed in FAILED:
        cart = Noting()
        correct_episode(
            cart, rewindable.make_controller(), CartExpert(cart, 0.0), seed, plan(mode=mode, moments=4), SETTINGS
        )
        assert len(set(cart.steps)) == 4
        shares += [steps / rewindable.LIMIT for steps in cart.steps]
    assert abs(np.mean(shares) - mean) < 0.06


@pytest.mark.parametrize("rows", [1, 7, 55])
def test_labels_have_as_many_rows_as_asked_for(rows: int) -> None:
    """55 is longer than the way to the goal: success is among them, and the expert stays."""
    for seed in FAILED[:5]:
        _, episodes = corrections(seed, plan(mode="label", label_rows=rows))
        assert [episode.length for episode in episodes] == [rows] * 3
        for episode in episodes:
            place_on_path(seed, episode.states[0])
        assert all(episode.success for episode in episodes) == (rows == 55)


def test_an_expert_that_fails_leaves_nothing() -> None:
    cart = Cart()
    helpless = CartExpert(cart, 0.0, reach=1.0)
    for mode, rows in (("takeover", 1), ("label", rewindable.LIMIT)):
        how = plan(mode=mode, label_rows=rows)
        assert correct_episode(cart, rewindable.make_controller(), helpless, FAILED[0], how, SETTINGS)[1] == []


def test_solved_episodes_are_left_alone_unless_asked_for() -> None:
    for seed in SOLVED[:4]:
        assert corrections(seed, plan())[1] == []
        assert len(corrections(seed, plan(failures_only=False))[1]) == 3


# a round


def config(out: Path, **options: Any) -> CorrectConfig:
    values: dict[str, Any] = {"task": "test/cart", "out": out, "episodes": 12}
    return CorrectConfig(**values | options)


def digests(root: Path) -> dict[str, str]:
    files = [file for file in root.rglob("*") if file.is_file() and ".frames" not in file.parts]
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("correct") / "whole"
    assert correct(config(out), make=rewindable.make_parts) == 0
    return out


def test_a_round_is_a_dataset_that_says_where_it_is_from(whole: Path) -> None:
    data = DemonstrationDataset.open(whole, EMBODIMENT)
    assert data.seeds.tolist() == [100 * seed + number for seed in FAILED if seed < 12 for number in range(2)]
    assert data.success.all()
    (provenance,) = data.provenance
    assert provenance is not None
    assert (provenance.task, provenance.expert, provenance.attempted) == ("test/cart", "CartExpert", 12)
    assert (provenance.first_seed, provenance.next_seed) == (0, 12)
    assert provenance.settings["kind"] == "corrections"
    assert provenance.settings["controller_failed_seeds"] == [seed for seed in range(12) if seed not in SOLVED]
    assert provenance.settings["controller_weights"] == Checkpoint.open("humanoid-table").weights_digest()
    assert not (whole / ".recording").exists()


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_files(whole: Path, tmp_path: Path) -> None:
    assert correct(config(tmp_path / "two", workers=2), make=rewindable.make_parts) == 0
    assert digests(tmp_path / "two") == digests(whole)


@pytest.mark.parametrize("stop", ["an episode", "a correction"])
def test_a_round_that_was_stopped_goes_on_to_the_same_files(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    """Stopped between episodes, or with an episode's first correction staged and its second not."""
    out = tmp_path / "cut"
    calls = 0
    method = "reset" if stop == "an episode" else "restore"
    original = getattr(Cart, method)

    def stop_at_the_sixth(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(Cart, method, stop_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        correct(config(out), make=rewindable.make_parts)
    with pytest.raises(DatasetError, match="not finished"):
        DemonstrationDataset.open(out)
    with pytest.raises(DatasetError, match="add --resume"):
        correct(config(out), make=rewindable.make_parts)
    done = len(list(out.glob(".recording/*.result")))
    assert done == 5 if stop == "an episode" else done > 1
    monkeypatch.setattr(Cart, method, original)
    played, reset = list[int](), Cart.reset

    def noting_reset(self: Cart, *, seed: int, options: Any = None) -> Any:
        played.append(seed)
        return reset(self, seed=seed, options=options)

    monkeypatch.setattr(Cart, "reset", noting_reset)
    assert correct(config(out, resume=True), make=rewindable.make_parts) == 0
    assert played == list(range(done, 12)), "nothing is done twice"
    assert digests(out) == digests(whole)


def test_a_round_is_gone_on_with_as_it_was_begun_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]
) -> None:
    out = tmp_path / "cut"
    ones = make_checkpoint(tmp_path / "a/mine", EMBODIMENT)
    twos = make_checkpoint(tmp_path / "b/mine", EMBODIMENT)
    monkeypatch.setattr(Cart, "snapshot", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        correct(config(out, checkpoint=str(ones)), make=rewindable.make_parts)
    for options, said in (
        ({"moments": 3}, r"moments 2 \(now 3\)"),
        ({"episodes": 13}, r"episodes 12 \(now 13\)"),
        ({"task": "a/b"}, r"task 'test/cart' \(now 'a/b'\)"),
        ({"randomization": "wide"}, r"randomization 'usual' \(now 'wide'\)"),
        ({"moments": 3, "episodes": 13}, r"episodes 12 \(now 13\), moments 2 \(now 3\)"),
    ):
        with pytest.raises(DatasetError, match=f"was begun with {said};"):
            correct(config(out, checkpoint=str(ones), resume=True, **options), make=rewindable.make_parts)
    # The same weights under the same name elsewhere are the same controller; other weights under its name are not.
    with pytest.raises(KeyboardInterrupt):
        correct(config(out, checkpoint=str(twos), resume=True), make=rewindable.make_parts)
    weights = (twos / "actor.safetensors").read_bytes()
    (twos / "actor.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"begun with controller_weights '\w+' \(now '\w+'\);"):
        correct(config(out, checkpoint=str(twos), resume=True), make=rewindable.make_parts)


def test_a_dataset_is_not_added_to(whole: Path) -> None:
    before = digests(whole)
    for resume in (False, True):
        with pytest.raises(DatasetError, match="give another folder"):
            correct(config(whole, resume=resume), make=rewindable.make_parts)
    assert digests(whole) == before


def test_nothing_to_correct_is_said_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (seed,) = SOLVED[:1]
    assert correct(config(tmp_path / "out", seed=seed, episodes=1), make=rewindable.make_parts) == 1
    written = capsys.readouterr().err
    assert "solved 1 of 1" in written
    assert "no dataset was written: nothing to correct" in written
    assert list(tmp_path.iterdir()) == []


def test_failures_that_the_expert_cannot_mend_either_are_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = sum(seed < 12 for seed in FAILED)
    assert correct(config(tmp_path / "out"), make=rewindable.make_parts_with_a_helpless_expert) == 1
    assert f"no dataset was written: the expert failed in all {failures}, too" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_cannot_be_set_back_is_refused(tmp_path: Path) -> None:
    def make(_: CorrectConfig) -> Any:
        cart = Cart()
        return ReachEnvironment(fake_embodiment(1), np.zeros(1)), rewindable.make_controller(), CartExpert(cart, 0.0)

    with pytest.raises(ConfigError, match=r"test/cart cannot be set back .* needs snapshot\(\) and restore"):
        correct(config(tmp_path / "out"), make=make)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 7990, "episodes": 11}, "seeds 7990 to 8000 reach into those kept for evaluation"),
        ({"episodes": 0}, "--episodes"),
        ({"workers": 0}, "--workers"),
        ({"label_rows": 0}, "--label-rows"),
        ({"moments": 0}, "--moments 0 must be 1 to 100"),
        ({"moments": 101}, "--moments 101 must be 1 to 100"),
        ({"camera_hz": -10.0}, "--camera-hz -10.0 must be positive"),
        ({"noise_rad": -0.1}, "must be from 0 to pi"),
        ({"tail_s": -0.1}, "--tail-s from 0 to 30 s"),
    ],
)
def test_options_that_mean_nothing(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, **options)
    config(tmp_path, seed=7990, episodes=10)


@pytest.mark.parametrize("camera_hz", [30.0, 100.0])
def test_a_rate_of_frames_is_refused_as_demonstrations_refuse_it(tmp_path: Path, camera_hz: float) -> None:
    words = f"^--camera-hz {camera_hz} does not divide the rows' 50 Hz; use 50 / n, such as 10$"
    with pytest.raises(ConfigError, match=words):
        correct(config(tmp_path / "out", camera_hz=camera_hz), make=rewindable.make_parts)
    demos = DemosConfig(task="test/cart", episodes=1, out=tmp_path / "out", camera_hz=camera_hz)
    with pytest.raises(ConfigError, match=words):
        record_demonstrations(demos, make=rewindable.make_cart)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_corrections_join_demonstrations_and_are_trained_on(whole: Path, tmp_path: Path) -> None:
    demos = tmp_path / "demos"
    record_demonstrations(
        DemosConfig(task="test/cart", episodes=4, out=demos, seed=100, image_size=16), make=rewindable.make_cart
    )
    data = DemonstrationDataset.open([demos, whole], EMBODIMENT)
    alone = DemonstrationDataset.open(whole)
    assert data.num_episodes == 4 + alone.num_episodes
    np.testing.assert_array_equal(data.states[-len(alone) :], alone.states)
    for seed in range(10):
        episodes = split_dataset(data, 0.2, seed)
        trained, validated = (
            {int(data.seeds[i]) // 100 for i in part if data.folder_of_episode[i] == 1}
            for part in (episodes.training, episodes.validation)
        )
        assert not trained & validated
        assert validated
    out = tmp_path / "out"
    status = train.main(
        TrainConfig(data=(demos, whole), out=out, steps=2, batch_size=4, subgoal_tokens=2, subgoal_dim=8, image_size=24)
    )
    assert status == 0
    sources = Checkpoint.open(out).manifest.training["data"]
    assert [source["settings"].get("kind") for source in sources] == [None, "corrections"]
