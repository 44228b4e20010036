"""What processes are made of: parts by name, children, folders, real-time settings."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from dualsys.bridge.boxes import SharedBoxes, status_box
from dualsys.bridge.child import Child
from dualsys.bridge.parts import PartConfig, build_actor, build_environment, build_planner
from dualsys.bridge.process_life import SETUP_FAILED
from dualsys.bridge.scene import ScenePose
from dualsys.bridge.system import SystemConfig
from dualsys.bridge.threads import run_threads
from dualsys.bridge.tick_process import read_poses, require_light_process, write_poses
from dualsys.errors import BridgeError, ConfigError, SpecMismatch
from dualsys.settings import RestartConfig
from dualsys.testing import PoseActor, ReachEnvironment, fake_embodiment
from tests.integration import bridge_parts, bridge_system
from tests.unit.bridge.loop_parts import system

PARTS = "tests.integration.bridge_parts:"


def test_parts_are_built_by_name_and_checked_against_the_system() -> None:
    planner = build_planner(PartConfig(name=PARTS + "planner"), bridge_parts.SPEC)
    assert planner.subgoal_spec == bridge_parts.SPEC
    actor = build_actor(PartConfig(name=PARTS + "reaching_actor"), fake_embodiment(), bridge_parts.SPEC)
    assert actor.horizon == 32
    environment = build_environment(PartConfig(name=PARTS + "reach", options={"max_steps": 3}))
    assert environment.control_dt_s == 0.002
    with pytest.raises(SpecMismatch, match="cannot be combined"):
        build_planner(PartConfig(name=PARTS + "other_planner"), bridge_parts.SPEC)
    with pytest.raises(SpecMismatch, match="the robot"):
        build_actor(PartConfig(name=PARTS + "reaching_actor"), fake_embodiment(4), bridge_parts.SPEC)


def test_a_backend_is_for_actors_that_have_some() -> None:
    with pytest.raises(ConfigError, match=r"reaching_actor' has no backend 'onnx'.*Leave --actor-backend out"):
        build_actor(PartConfig(name=PARTS + "reaching_actor", backend="onnx"), fake_embodiment(), bridge_parts.SPEC)
    with pytest.raises(ConfigError, match="only actors have backends"):
        build_planner(PartConfig(name=PARTS + "planner", backend="onnx"), bridge_parts.SPEC)
    with pytest.raises(ConfigError, match=r"no precision 'original'.*Leave --actor-precision out"):
        build_actor(
            PartConfig(name=PARTS + "reaching_actor", precision="original"), fake_embodiment(), bridge_parts.SPEC
        )
    with pytest.raises(ConfigError, match=r"no method use_original_precision.*Leave --planner-precision out"):
        build_planner(PartConfig(name=PARTS + "planner", precision="original"), bridge_parts.SPEC)
    with pytest.raises(ValidationError, match="backend"):
        PartConfig(name=PARTS + "reaching_actor", backend="onx")


class Choosing(PoseActor):
    """Notes what it was asked for."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def with_backend(self, backend: str, precision: str = "auto") -> PoseActor:
        self.asked.append((backend, precision))
        return self


class WithoutPrecision(Choosing):
    """Of an earlier protocol."""

    def with_backend(self, backend: str) -> PoseActor:  # type: ignore[override]
        return super().with_backend(backend)


def test_a_precision_is_handed_to_actors_that_take_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in (("choosing", Choosing), ("earlier", WithoutPrecision)):
        made = kind(fake_embodiment(), bridge_parts.SPEC, np.zeros(3))
        monkeypatch.setattr(bridge_parts, name, lambda made=made: made, raising=False)
    asked: list[dict[str, Any]] = [{}, {"precision": "original"}, {"backend": "compiled", "precision": "float32"}]
    Choosing.asked.clear()
    for each in asked:
        build_actor(PartConfig(name=PARTS + "choosing", **each), fake_embodiment(), bridge_parts.SPEC)
    assert Choosing.asked == [("eager", "original"), ("compiled", "float32")]
    with pytest.raises(ConfigError, match=r"no precision 'original'.*Leave --actor-precision out"):
        build_actor(PartConfig(name=PARTS + "earlier", precision="original"), fake_embodiment(), bridge_parts.SPEC)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nul", ConfigError, "'null'"),
        ("nowhere.at.all:thing", BridgeError, "cannot be imported"),
        (PARTS + "nothing", BridgeError, "cannot be imported"),
        (":thing", ConfigError, "package.module:attribute"),
        ("", ConfigError, "neither a name nor a checkpoint"),
    ],
)
def test_a_part_that_does_not_exist_is_said_so(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_planner(PartConfig(name=name), bridge_parts.SPEC)


def test_the_configuration_survives_its_file_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    config, path = system(seed=5), tmp_path / "config.json"
    path.write_text(config.model_dump_json())
    assert SystemConfig.load(path) == config
    path.write_text(json.dumps(json.loads(config.model_dump_json()) | {"planner_hertz": 3}))
    with pytest.raises(BridgeError, match="planner_hertz"):
        SystemConfig.load(path)
    with pytest.raises(BridgeError, match="No such file"):
        SystemConfig.load(tmp_path / "none.json")
    with pytest.raises(ValidationError, match="exceeds control_hz"):
        system(control_hz=50.0)


def test_a_child_that_dies_is_started_again_and_one_that_is_ended_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "dying.py"
    module.write_text("import sys\nprint('here', flush=True)\nsys.exit(7)\n")
    child = Child("dying", [], log=tmp_path / "log", restart=RestartConfig())
    monkeypatch.chdir(tmp_path)
    child.start()
    deadline = time.monotonic() + 20
    while child.restarts < 2 and time.monotonic() < deadline:
        child.watch()
        time.sleep(0.01)
    child.stop(within_s=5)
    assert child.restarts == 2
    assert child.tail().startswith("here")
    child.watch()
    assert child.pid is None


def test_a_child_that_never_starts_well_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hopeless.py").write_text("import sys\nsys.exit(2)\n")
    monkeypatch.chdir(tmp_path)
    child = Child("hopeless", [], log=tmp_path / "log", restart=RestartConfig(max_restarts=2))
    child.start()
    told = []
    deadline = time.monotonic() + 20
    while not child.given_up and time.monotonic() < deadline:
        told += [what for what in [child.watch()] if what]
        time.sleep(0.01)
    assert child.restarts == 2
    assert told == [
        "hopeless ended with status 2; restart at once",
        "hopeless ended with status 2; restart in 0.5 s",
        "hopeless ended with status 2; given up: 2 restarts within 60 s did not help",
    ]
    assert child.watch() is None


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    child = Child("stubborn", [], log=tmp_path / "log", restart=None)
    monkeypatch.chdir(tmp_path)
    child.start()
    while child.tail() != "up":
        time.sleep(0.01)
    child.stop(within_s=0.2)
    assert child.exit_status == -9


def test_a_process_without_a_configuration_says_so() -> None:
    command = [sys.executable, "-m", "dualsys.bridge.planner_host"]
    nothing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert nothing.returncode == SETUP_FAILED
    assert "configuration file" in nothing.stderr
    missing = subprocess.run([*command, "/nowhere.json"], capture_output=True, text=True, check=False)
    assert missing.returncode == SETUP_FAILED
    assert "BridgeError: cannot read the run's configuration /nowhere.json" in missing.stderr


def test_a_process_does_not_outlive_a_supervisor_that_is_gone() -> None:
    environment = os.environ | {"DUALSYS_SUPERVISOR_PID": "1"}
    command = [sys.executable, "-m", "dualsys.bridge.actor_process", "/nowhere.json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode != 0
    assert "the supervisor (process 1) has ended" in result.stderr


def test_the_tick_process_is_light() -> None:
    source = (
        "import sys; import dualsys.bridge.tick_process, dualsys.bridge.processes, dualsys.sim_envs\n"
        "print(sorted({'ray', 'torch', 'transformers'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_tick_process_that_imported_a_framework_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", sys)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(BridgeError, match="has imported ray;"):
        require_light_process()


def test_a_framework_that_came_in_while_it_ticked_is_told_and_the_report_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment imports it in an episode's reset."""
    import numpy as np

    from dualsys.bridge import tick_process

    class Importing(ReachEnvironment):
        def reset(self, **arguments: Any) -> Any:
            if arguments.get("seed") == 1:
                monkeypatch.setitem(sys.modules, "torch", sys)
            return super().reset(**arguments)

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    environment = Importing(fake_embodiment(), np.full(3, 2.0), control_dt_s=0.01, max_steps=30)
    monkeypatch.setattr(tick_process, "build_environment", lambda _: environment)
    monkeypatch.setattr(tick_process, "enter_realtime", lambda *_: {"gc": "untouched"})
    config = system(folder=tmp_path, seconds=0.5)
    boxes = SharedBoxes(tmp_path)
    boxes.create(config)
    boxes.writer(status_box("supervisor")).write({"go": True}, sequence=0, observation_stamp_s=0.0)
    tick_process.tick(config, threading.Event())
    report = json.loads((tmp_path / tick_process.REPORT).read_text())
    assert report["tick"]["count"] > 0
    assert report["realtime"] == {"gc": "untouched", "imports": "torch, while it ticked"}


def test_a_run_without_a_folder_writes_nothing_anywhere() -> None:
    at_the_root = set(Path("/").iterdir())
    with pytest.raises(BridgeError, match=r"no folder for its mailboxes and its tape: make one \(`RunFolder`\)"):
        SharedBoxes(Path("/")).create(system())
    config = bridge_system.reach_system(tape_bytes=2**16)
    with pytest.raises(BridgeError, match="no folder"):
        run_threads(config, bridge_parts.planner(), bridge_parts.reaching_actor(), on_progress=lambda _: None)
    assert set(Path("/").iterdir()) == at_the_root


def test_poses_survive_their_file(tmp_path: Path) -> None:
    import numpy as np

    poses = [ScenePose(stamp_s=i / 7, episode=i, seed=i + 1, physics=np.full(3, i + 0.5)) for i in range(4)]
    write_poses(tmp_path / "poses.npz", poses)
    read = read_poses(tmp_path / "poses.npz")
    assert [(pose.stamp_s, pose.episode, pose.seed) for pose in read] == [
        (pose.stamp_s, pose.episode, pose.seed) for pose in poses
    ]
    np.testing.assert_array_equal(np.array([p.physics for p in read]), np.array([p.physics for p in poses]))
    write_poses(tmp_path / "none.npz", [])
    assert read_poses(tmp_path / "none.npz") == read_poses(tmp_path / "missing.npz") == []


def test_what_a_child_leaves_behind_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parent_of_one.py").write_text(
        "import subprocess, sys, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(other.pid, flush=True)\ntime.sleep(60)\n"
    )
    monkeypatch.chdir(tmp_path)
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    child = Child("parent_of_one", [], log=tmp_path / "log", restart=None)
    try:
        child.start()
        while not child.tail():
            time.sleep(0.01)
        orphan = int(child.tail())
        child.stop(within_s=5)
        deadline = time.monotonic() + 10
        while _is_running(orphan) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _is_running(orphan)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
