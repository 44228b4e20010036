"""Distances from MuJoCo models, and the gate that keeps clear with them."""

from typing import Any

import mujoco
import numpy as np
import pytest

from dualsys import sim_envs
from dualsys.clearance import clearance_of, share_that_can_stop
from dualsys.embodiment import EmbodimentSpec, Joint
from dualsys.errors import ConfigError
from dualsys.safety import SafetyGate
from dualsys.settings import SafetyConfig
from dualsys.sim_envs.clearance import MujocoClearance
from dualsys.sim_envs.humanoid.body_clearance import body_clearance
from dualsys.sim_envs.humanoid.robot import HOME, JOINT_NAMES
from dualsys.testing import ReachEnvironment
from dualsys.workspace_box import WorkspaceBox

DT_S = 0.002
SLIDER = mujoco.MjModel.from_xml_string("""
<mujoco>
  <worldbody>
    <geom name="wall" type="box" size="0.1 1 1" pos="1.1 0 0"/>
    <body name="ball">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom name="ball" type="sphere" size="0.05" mass="1"/>
    </body>
  </worldbody>
</mujoco>
""")
WALL = {"ball / wall": ([SLIDER.geom("ball").id], [SLIDER.geom("wall").id])}
BOX = WorkspaceBox(name="box", body="ball", lower_m=(-0.5, -0.4, -1.0), upper_m=(0.9, 0.4, 1.0))
ROOM = EmbodimentSpec(
    name="slider",
    joints=tuple(
        Joint(name=name, lower=-2, upper=2, max_velocity=2.0, max_acceleration=40.0, unit="m") for name in "xy"
    ),
    state_names=("x", "y"),
)


def _gate(clearance: Any, *, robot: EmbodimentSpec = ROOM, dt_s: float = DT_S, **config: Any) -> SafetyGate:
    gate = SafetyGate(robot, dt_s, SafetyConfig(clearance_m=0.03, **config), clearance)
    gate.reset(np.zeros(robot.num_actions))
    return gate


def test_distances_are_of_surfaces_up_to_the_range() -> None:
    clearance = MujocoClearance(SLIDER, "xy", WALL, [BOX], range_m=0.2)
    assert clearance.names == ("ball / wall", "box")
    np.testing.assert_allclose(clearance.distances(np.array([0.0, 0.0])), [0.2, 0.2])
    np.testing.assert_allclose(clearance.distances(np.array([0.85, 0.0])), [0.1, 0.05], atol=1e-9)
    np.testing.assert_allclose(clearance.distances(np.array([1.0, 0.5])), [-0.05, -np.hypot(0.1, 0.1)], atol=1e-9)
    assert SLIDER.geom_margin.max() == 0.0, "the model itself is left alone"


def test_a_point_may_have_to_stay_outside_a_box() -> None:
    box = WorkspaceBox(
        name="post", body="ball", point_m=(0.1, 0, 0), lower_m=(0.5, -1, -1), upper_m=(0.7, 1, 1), keep="outside"
    )
    clearance = MujocoClearance(SLIDER, "xy", {}, [box])
    np.testing.assert_allclose(clearance.distances(np.array([0.35, 0.0])), [0.05], atol=1e-12)
    np.testing.assert_allclose(clearance.distances(np.array([0.45, 0.0])), [-0.05], atol=1e-12)


@pytest.mark.parametrize("follow", ["joint", "path"])
@pytest.mark.parametrize("jerk", [None, 2000.0])
def test_a_motion_into_a_wall_stops_before_it_and_may_leave_it(follow: Any, jerk: float | None) -> None:
    clearance = MujocoClearance(SLIDER, "xy", WALL, range_m=0.12)
    gate = _gate(clearance, follow=follow, max_jerk=jerk)
    path = []
    for _ in range(900):
        out, names = gate.apply(np.array([1.5, 0.0]))
        path.append(out[0])
    assert "clearance" in names
    assert path[-1] == pytest.approx(0.92, abs=1e-4), "0.95 touches, 0.03 are kept"
    assert max(path) <= 0.92 + 1e-6
    speed = np.abs(np.diff(path)).max() / DT_S
    assert speed == pytest.approx(2.0), "far away it is as fast as ever"
    back = [gate.apply(np.zeros(2)) for _ in range(50)]
    assert all("clearance" not in names for _, names in back[1:]), "going away is free"
    assert back[-1][0][0] < path[-1] - 0.05


def test_along_a_path_the_other_joint_waits() -> None:
    gate = _gate(MujocoClearance(SLIDER, "xy", WALL), follow="path")
    for _ in range(900):
        out = gate.apply(np.array([1.84, 0.5]))[0]
    np.testing.assert_allclose(out, [0.92, 0.25], atol=1e-3)


class Failing:
    """Somebody's clearance that fails after a while."""

    names = ("x",)

    def __init__(self) -> None:
        self.calls = 0

    def distances(self, position: Any) -> Any:
        self.calls += 1
        if self.calls > 100:
            raise RuntimeError("no model")
        return np.ones(1)


def test_a_clearance_that_fails_brings_the_motion_to_rest() -> None:
    gate = _gate(Failing())
    for _ in range(400):
        out, names = gate.apply(np.ones(2))
    assert "clearance" in names
    assert 0.0 < out[0] < 1.0
    assert gate.at_rest


def test_the_share_is_what_braking_tick_by_tick_needs() -> None:
    """Nearer by 1 cm in the first tick of three: 1 + 2/3 + 1/3 cm are needed in all."""
    for left_m, share in ((0.05, 1.0), (0.02, 1.0), (0.01, 2 / 3), (0.0, 0.0), (-0.01, 0.0)):
        now_m = np.array([left_m + 0.03])
        assert share_that_can_stop(now_m, now_m - 0.01, 0.03, 3.0) == pytest.approx(share)
    assert share_that_can_stop(np.zeros(1), np.ones(1), 0.03, 3.0) == 1.0


def test_names_that_do_not_exist_and_environments_without_a_model_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown joint 'z'"):
        MujocoClearance(SLIDER, "xz", WALL)
    with pytest.raises(ConfigError, match=r"unknown body 'bal'.*'ball'"):
        MujocoClearance(SLIDER, "xy", WALL, [WorkspaceBox(name="b", body="bal", lower_m=(0, 0, 0), upper_m=(1, 1, 1))])
    environment = ReachEnvironment(ROOM, np.zeros(2))
    assert clearance_of(environment, SafetyConfig()) is None
    with pytest.raises(ConfigError, match=r"ReachEnvironment has no clearance\(\)"):
        clearance_of(environment, SafetyConfig(clearance_m=0.02))


@pytest.fixture(scope="module")
def table() -> Any:
    environment: Any = sim_envs.make("humanoid/pick", images="on-demand")
    yield environment
    environment.close()


def test_the_humanoids_distances_are_mujocos_own(table: Any) -> None:
    """Against `mj_geomDistance` over every pair of geoms, at random postures."""
    clearance, model = body_clearance(table.model), table.model
    chosen, data = clearance._model, clearance._data
    rng, ends = np.random.default_rng(0), np.zeros(6)
    nearest = 1.0
    for _ in range(10):
        posture = np.clip(HOME + rng.normal(0, 0.4, 28), table.embodiment.lower, table.embodiment.upper)
        got = clearance.distances(posture)
        expected = np.full(len(clearance.names), 0.1)
        for one in range(model.ngeom):
            for other in range(one + 1, model.ngeom):
                met = chosen.geom_contype[one] & chosen.geom_conaffinity[other]
                met |= chosen.geom_contype[other] & chosen.geom_conaffinity[one]
                if met:
                    distance = mujoco.mj_geomDistance(model, data, one, other, 0.1, ends)
                    index = int(met).bit_length() - 1
                    expected[index] = min(expected[index], distance)
        np.testing.assert_allclose(got, expected, atol=2e-4)
        nearest = min(nearest, float(got.min()))
    assert nearest < 0.05, "the postures came near something"


@pytest.mark.parametrize("follow", ["joint", "path"])
def test_the_humanoids_arms_do_not_go_into_the_trunk_the_table_or_each_other(table: Any, follow: Any) -> None:
    """Wild postures one after the other: without keeping clear they collide, with it they stay apart."""
    clearance, robot = table.clearance(), table.embodiment
    rng = np.random.default_rng(1)
    goals = [np.clip(HOME + rng.normal(0, 0.6, 28), robot.lower, robot.upper) for _ in range(8)]
    worst = {}
    for keep_m in (None, 0.02):
        gate = SafetyGate(robot, 0.02, SafetyConfig(follow=follow, clearance_m=keep_m), clearance)
        gate.reset(HOME)
        path = [gate.apply(goal)[0] for goal in goals for _ in range(60)]
        worst[keep_m] = min(float(clearance.distances(out).min()) for out in path)
    assert worst[None] < 0.0, "the postures are worth a test"
    assert worst[0.02] > 0.01


def test_the_model_is_the_robots_own_and_hands_may_go_to_the_table(table: Any) -> None:
    clearance = table.clearance()
    assert clearance.names == (
        "left arm / trunk", "left arm / table", "right arm / trunk", "right arm / table", "left arm / right arm"
    )  # fmt: skip
    table_geom = table.model.geom("table").id
    hands = [
        geom for geom in range(table.model.ngeom) if "_hand_" in table.model.body(table.model.geom_bodyid[geom]).name
    ]
    model = clearance._model
    assert not np.any(model.geom_contype[hands] & model.geom_conaffinity[table_geom])
    assert len(JOINT_NAMES) == 28
