"""Who demonstrates what: experts are found by the suite's name, ours and a third party's alike."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dualsys import registry, sim_envs
from dualsys.app import cli
from dualsys.app.recording import RecordingSettings, privileged_columns, rows_hz_of, usual_camera_hz
from dualsys.app.recording_pool import WorkplaceConfig
from dualsys.app.workplace import expert_for, make_workplace, require_expert, shown_tasks
from dualsys.errors import ConfigError
from dualsys.testing import ReachEnvironment, fake_embodiment


class StillExpert:
    """Counts how often it is begun."""

    def __init__(self, environment: Any) -> None:
        self.environment, self.begun = environment, 0

    def reset(self) -> None:
        self.begun += 1

    def act(self) -> Any:
        return np.zeros(2)


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    real_names, real_load = registry.names, registry.load
    extra = {"environments": SimpleNamespace(), "experts": StillExpert}
    monkeypatch.setattr(registry, "names", lambda kind: (*real_names(kind), *(["mine"] if kind in extra else [])))
    monkeypatch.setattr(registry, "load", lambda kind, name: extra[kind] if name == "mine" else real_load(kind, name))


@pytest.mark.usefixtures("third_party")
def test_a_third_party_s_expert_is_bound_to_its_environment_and_pushed() -> None:
    environment = ReachEnvironment(fake_embodiment(2), np.zeros(2))
    demonstrator = expert_for("mine/reach", environment, 0.1)
    demonstrator.reset(seed=3)
    assert demonstrator.name == "StillExpert"
    targets = [demonstrator.act() for _ in range(50)]
    assert all((clean == 0).all() for clean, _ in targets)
    assert 0.02 < np.std([sent for _, sent in targets]) < 0.5


@pytest.mark.parametrize(
    ("task", "camera_hz"),
    [
        ("humanoid/touch", 10.0),
        ("metaworld/push-v3", 10.0),
        ("fetch/reach", 12.5),
        ("aloha/transfer-cube", 10.0),
        ("libero/object-0", 10.0),
    ],
)
def test_every_suite_is_recorded_at_a_rate_of_frames_that_fits_it(task: str, camera_hz: float) -> None:
    if task.startswith("libero/"):
        pytest.importorskip("libero", reason="LIBERO's 1.3 GB are not installed")
    environment, _ = make_workplace(WorkplaceConfig(task=task, noise_rad=0.0, image_size=(16, 24)))
    assert {(camera.height, camera.width) for camera in environment.embodiment.cameras} == {(16, 24)}
    rows_hz = rows_hz_of(environment)
    environment.close()
    assert usual_camera_hz(rows_hz) == camera_hz
    RecordingSettings.at(rows_hz, camera_hz=camera_hz, tail_s=0.3)


@pytest.mark.parametrize(
    ("rows_hz", "camera_hz"), [(1, 1), (9, 9), (10, 10), (19, 19), (20, 10), (25, 12.5), (33, 11), (50, 10), (80, 10)]
)
def test_the_usual_rate_of_frames_is_10_or_the_next_more_that_fits(rows_hz: int, camera_hz: float) -> None:
    assert usual_camera_hz(rows_hz) == camera_hz
    assert RecordingSettings.at(rows_hz, camera_hz=camera_hz, tail_s=0.0).rows_per_frame * camera_hz == rows_hz


def test_every_suite_with_an_expert_has_its_rate_of_frames_tested() -> None:
    (marked,) = test_every_suite_is_recorded_at_a_rate_of_frames_that_fits_it.pytestmark  # type: ignore[attr-defined]
    assert {task.partition("/")[0] for task, _ in marked.args[1]} >= set(registry.names("experts")) - {"mine"}


def test_an_environment_that_tells_nothing_has_no_privileged_columns() -> None:
    assert privileged_columns(ReachEnvironment(fake_embodiment(2), np.zeros(2))) == {}


def test_a_task_nobody_demonstrates_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"nobody demonstrates dm_control/walker-walk: .* only for .*humanoid"):
        require_expert("dm_control/walker-walk")
    with pytest.raises(ConfigError, match="unknown task 'humanoid/tuch'"):
        make_workplace(WorkplaceConfig(task="humanoid/tuch", noise_rad=0.0, image_size=16))


@pytest.mark.parametrize("command", ["demos", "correct"])
def test_the_commands_say_so_in_one_line(command: str, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "dm_control/walker-walk", "--episodes", "1", "--out", str(tmp_path / "out")]) == 2
    written = capsys.readouterr().err
    assert "nobody demonstrates dm_control/walker-walk" in written
    assert written.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_dataset_of_a_suite_is_of_the_robot_that_most_of_its_tasks_are_done_with() -> None:
    tasks = sorted(sim_envs.load_suite("humanoid").tasks())
    assert shown_tasks(tasks) == tuple(task for task in tasks if task != "humanoid/stand")
    assert shown_tasks(["humanoid/stand"]) == ("humanoid/stand",)
    assert {sim_envs.robot_of(task) for task in tasks} == {"unitree-g1", "unitree-g1-upper"}


@pytest.mark.parametrize("task", ["humanoid/touch", "humanoid/stand", "dm_control/cartpole-balance"])
def test_what_a_suite_says_of_its_robots_is_so(task: str) -> None:
    environment = sim_envs.make(task, images="on-demand")
    assert environment.embodiment.name == sim_envs.robot_of(task)
    environment.close()


def test_other_suites_do_not_say() -> None:
    assert sim_envs.robot_of("fetch/reach") is None
