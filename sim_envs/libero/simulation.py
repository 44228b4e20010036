"""One task's robosuite environment, of which nothing is left over from one episode to the next.

As the benchmark ships it, an episode depends on those before it: the gripper keeps what it was last told, drawers and
knobs get one sampler more with each hard reset, and the random stream runs on. Here each starts from its seed alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from dualsys.errors import SpecMismatch
from dualsys.messages import FloatArray
from dualsys.sim_envs.libero import benchmark, moment
from dualsys.sim_envs.libero.moment import Moment
from dualsys.sim_envs.libero.panda import axis_angle
from dualsys.sim_envs.libero.placement import place_of
from dualsys.sim_envs.libero.tasks import Task
from dualsys.sim_envs.options import ResetKind

_BUILT_FROM = 0
"""Seed of what is drawn while the scene is compiled, and kept by soft resets."""


@final
class LiberoSimulation:
    """The scene, compiled once; a hard reset compiles it anew, as the benchmark's own loop does."""

    def __init__(self, task: Task, reset_kind: ResetKind) -> None:
        """Compile the scene, in one to five seconds."""
        self._task, self._reset_kind = task, reset_kind
        self._initial_states = task.initial_states()
        self._initial_state = 0
        with _drawing_from(_BUILT_FROM):
            self._stock = benchmark.environments().ControlEnv(
                str(task.definition), use_camera_obs=False, has_offscreen_renderer=False, ignore_done=True
            )
        # Nobody reads the benchmark's own observations, and gathering them takes as long as the physics.
        for name in self._stock.env.observation_names:
            self._stock.env.modify_observable(name, "enabled", False)

    @property
    def model(self) -> Any:
        """`mujoco.MjModel`; another one after a hard reset."""
        return self._stock.env.sim.model._model

    @property
    def data(self) -> Any:
        """`mujoco.MjData` of that model."""
        return self._stock.env.sim.data._data

    @property
    def robot(self) -> Any:
        """Robosuite's object for the arm."""
        return self._stock.env.robots[0]

    def cameras(self) -> tuple[str, ...]:
        """Every camera of the scene."""
        return tuple(self.model.camera(index).name for index in range(self.model.ncam))

    def begin(self, seed: int, initial_state: int | None) -> None:
        """Start at one of the benchmark's states: the seed chooses where none is asked for.

        Those states don't tell where fixtures stand (a cabinet, a stove): that is drawn from the seed.
        """
        if initial_state is None:
            initial_state = seed % len(self._initial_states)
        self._initial_state = initial_state
        stock = self._stock.env
        stock.hard_reset = self._reset_kind == "hard"
        if stock.hard_reset:
            stock.object_property_initializers.clear()  # compiling appends to it
        with _drawing_from(seed):
            self._stock.reset()
        gripper = self.robot.gripper
        gripper.current_action = np.zeros_like(gripper.init_qpos)
        self._stock.set_init_state(self._initial_states[initial_state])

    def advance(self, action: FloatArray) -> tuple[float, bool, dict[str, Any]]:
        """One control step: the benchmark's reward, whether its goal holds now, and how the episode began."""
        _, reward, success, _ = self._stock.step(action)
        return float(reward), bool(success), {"initial_state": self._initial_state, "reset_kind": self._reset_kind}

    def state(self) -> FloatArray:
        """`panda.STATE_NAMES` `(8,)`, read where the benchmark's own observations are read."""
        robot, data = self.robot, self.data
        hand = data.body(robot.robot_model.eef_name).xquat
        fingers = data.qpos[robot._ref_gripper_joint_pos_indexes]
        return np.concatenate([data.site_xpos[robot.eef_site_id], axis_angle(hand), fingers])

    def facts(self) -> dict[str, FloatArray]:
        """`target_position` `(3,)`: of what the goal names first, an object or a region; `goal_holds`: for each fact of
        the goal, whether it does now.
        """
        stock = self._stock.env
        goal = stock.parsed_problem["goal_state"]
        return {
            "target_position": place_of(self.model, self.data, goal[0][1]),
            "goal_holds": np.array([float(stock._eval_predicate(fact)) for fact in goal]),
        }

    def picture_state(self) -> FloatArray:
        """All positions `(nq,)`, robot and objects."""
        return np.array(self.data.qpos)

    def mirror(self, picture_state: FloatArray) -> None:
        """Put everything where another simulation has it, and have a stove look as it then does."""
        if np.shape(picture_state) != self.data.qpos.shape:
            raise SpecMismatch(f"{self._task.name} has {self.data.qpos.size} positions, not {np.shape(picture_state)}")
        self.data.qpos[:] = picture_state
        self._stock.env.sim.forward()
        self._stock.env._post_process()

    def save(self) -> Moment:
        """The present moment, whole."""
        return moment.save(self._stock.env)

    def load(self, present: Moment) -> None:
        """Go back to a moment of this simulation, to the bit."""
        moment.load(self._stock.env, present)


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """The benchmark draws from NumPy's global stream: it gets one of this seed, and everybody else's is left alone."""
    before = np.random.get_state()  # noqa: NPY002  # the benchmark's stream
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
