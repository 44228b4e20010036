"""Boxes of the workspace, from a configuration file to what is sent."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from dualsys import Controller, SubgoalSpec, sim_envs
from dualsys.app import cli
from dualsys.bridge.system import SystemConfig
from dualsys.clearance import Clearance, clearance_of
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, Observation
from dualsys.settings import SafetyConfig, TimingConfig
from dualsys.sim_envs.humanoid.robot import HOME, JOINT_NAMES
from dualsys.testing import PoseActor, ReachEnvironment, fake_embodiment
from dualsys.workspace_box import WorkspaceBox
from tests.integration import bridge_system

BODY = "right_wrist_yaw_link"
FILE = f"""
[run]
task = "humanoid/touch"
mode = "inline"
[run.safety]
clearance_m = 0.01
[[run.safety.workspace]]
name = "right hand"
body = "{BODY}"
point_m = [0.1, 0, 0]
lower_m = [-1, -1, 0]
upper_m = [1, 0.5, 2]
[[run.safety.workspace]]
name = "not there"
body = "left_wrist_yaw_link"
lower_m = [-1, -1, 0]
upper_m = [0, 0, 1]
keep = "outside"
"""


@pytest.fixture(scope="module")
def table() -> Any:
    environment: Any = sim_envs.make("humanoid/touch", images="on-demand")
    yield environment
    environment.close()


def place_of(table: Any, position: FloatArray) -> FloatArray:
    """Of the body in the world, `(3,)`, at joint positions."""
    data = mujoco.MjData(table.model)
    data.qpos[[table.model.joint(name).qposadr[0] for name in JOINT_NAMES]] = position
    mujoco.mj_kinematics(table.model, data)
    return np.array(data.body(BODY).xpos)


def test_a_hand_stays_in_its_box_on_the_virtual_clock(table: Any) -> None:
    """An arm that is told to straighten takes the hand out of the box, but for the gate."""
    start = place_of(table, HOME)
    lower, upper = start - 0.3, start + np.array([0.04, 0.3, 0.3])
    box = WorkspaceBox(name="right hand", body=BODY, lower_m=tuple(lower), upper_m=tuple(upper))
    goal = HOME.copy()
    goal[JOINT_NAMES.index("right_shoulder_pitch_joint")] -= 0.8
    farthest = {}
    for safety in (SafetyConfig(clearance_m=0.01), SafetyConfig(clearance_m=0.01, workspace=(box,))):
        clearance = clearance_of(table, safety)
        assert clearance is not None
        assert ("right hand" in clearance.names) == bool(safety.workspace)
        farthest[bool(safety.workspace)] = _farthest(table, goal, safety, clearance)
    assert farthest[False] > upper[0] + 0.02, "the posture is worth a test"
    assert upper[0] - 0.02 < farthest[True] <= upper[0] - 0.005


def _farthest(table: Any, goal: FloatArray, safety: SafetyConfig, clearance: Clearance) -> float:
    actor = PoseActor(table.embodiment, SubgoalSpec(num_tokens=1, dim=1), goal)
    state, most = HOME, -np.inf
    black = {"head": np.zeros((96, 96, 3), dtype=np.uint8)}
    with Controller(None, actor, timing=TimingConfig(), safety=safety, clearance=clearance) as controller:
        for tick in range(100):
            state = controller.step(Observation(stamp_s=tick * 0.02, state=state, images=black)).target
            most = max(most, place_of(table, state)[0])
    return float(most)


def test_a_file_s_boxes_reach_the_tick_s_process(tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(FILE)
    read = cli.parse_options("run", ["--config", str(file), "--safety.velocity-scale", "0.5"])
    hand, other = read.safety.workspace
    assert hand == WorkspaceBox(
        name="right hand", body=BODY, point_m=(0.1, 0.0, 0.0), lower_m=(-1.0, -1.0, 0.0), upper_m=(1.0, 0.5, 2.0)
    )
    assert (other.keep, read.safety.velocity_scale) == ("outside", 0.5)
    system = bridge_system.reach_system().model_copy(update={"safety": read.safety})
    assert SystemConfig.model_validate_json(system.model_dump_json()).safety == read.safety


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (BODY, "right_wrist", f"unknown body 'right_wrist'. Did you mean '{BODY}'"),
        ("point_m", "point", "workspace number 1: unknown key 'point'. Did you mean 'point_m'"),
        ("upper_m = [0, 0, 1]", "upper_m = [0, -2, 1]", "box 'not there': each of lower_m"),
        ("upper_m = [0, 0, 1]", "upper_m = [0, 1]", "upper_m"),
        ("clearance_m = 0.01", "", "workspace needs clearance_m"),
    ],
)
def test_a_box_that_cannot_be_is_refused_at_the_start(
    old: str, new: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(FILE.replace(old, new))
    assert cli.main(["run", "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1


def test_an_environment_that_takes_no_boxes_is_refused() -> None:
    class Near(ReachEnvironment):
        def clearance(self) -> Any:
            return None

    box = WorkspaceBox(name="b", body="link", lower_m=(0.0, 0.0, 0.0), upper_m=(1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match=r"Near\.clearance\(\) takes none"):
        clearance_of(Near(fake_embodiment(1), np.zeros(1)), SafetyConfig(clearance_m=0.0, workspace=(box,)))
