"""A balance by linear feedback on the whole body: a linear-quadratic regulator about the stance.

The textbook's way, with nothing tuned by hand but five weights. MuJoCo's finite differences linearise physics, servos
and contacts about the robot at rest (`mjd_transitionFD`); a control step is so many of these steps under one command;
the gain minimises the squares of how far the middle of the mass is from over the feet, of the pelvis' tilt, of what
the joints do, and of the commands. It stands on both feet where they are: it never takes a step, so a push that
carries the middle of the mass beyond them is lost.
"""

from typing import Any

import mujoco
import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.standing_scene import FEET, place_at_rest
from dualsys.sim_envs.humanoid.whole_body import JOINT_NAMES, UPPER, Body, stance

MASS_WEIGHT = 1000.0
"""Of the level distance, squared metres, between the middle of the mass and the middle of the feet."""
TILT_WEIGHT = 10.0
JOINT_WEIGHT = 1.0
VELOCITY_WEIGHT = 0.01
COMMAND_WEIGHT = 20.0
_DIFFERENCE = 1e-6
_MOST_DOUBLINGS = 60


class Balance:
    """Commands for the whole body that keep it standing, whatever arms and hands are told."""

    def __init__(self, model: Any, *, steps: int) -> None:
        """Work the gain out, on data of its own (under a second).

        Args:
            model: The compiled scene of the robot.
            steps: Physics steps of a control step.
        """
        self._model, self._body = model, Body(model)
        data = mujoco.MjData(model)
        place_at_rest(model, data, self._body)
        self._rest, self._stance = np.array(data.qpos), stance()
        self.transition, self.effect = _linearised(model, data, steps)
        """Of one control step: how the deviation `(2 nv,)` goes on `(2 nv, 2 nv)`, and what commands add `(2 nv, nu)`
        in MuJoCo's order of actuators."""
        self.gain = regulator_gain(self.transition, self.effect, _cost(model, data, self._body), COMMAND_WEIGHT)
        """`(nu, 2 nv)`."""
        lower, upper = np.array([model.joint(name).range for name in JOINT_NAMES]).T
        self._lower, self._upper = lower, upper

    def deviation(self, qpos: FloatArray, qvel: FloatArray) -> FloatArray:
        """How far a moment is from standing at rest: positions, then velocities `(2 nv,)`."""
        away = np.zeros(self._model.nv)
        mujoco.mj_differentiatePos(self._model, away, 1.0, self._rest, qpos)
        return np.concatenate([away, qvel])

    def command(self, qpos: FloatArray, qvel: FloatArray, *, upper: FloatArray | None = None) -> FloatArray:
        """Joint targets `(43,)` for a moment.

        With `upper` `(28,)` arms and hands are left to somebody else: legs and waist alone keep the balance.
        """
        change = self.gain @ self.deviation(qpos, qvel)
        row = self._stance - change[self._body.actuators]
        if upper is not None:
            row[UPPER] = upper
        return np.clip(row, self._lower, self._upper)


def regulator_gain(transition: FloatArray, effect: FloatArray, cost: FloatArray, command_weight: float) -> FloatArray:
    """The gain `(nu, n)` with the least sum of `x' cost x + command_weight u'u`, where `x+ = transition x + effect u`.

    The Riccati equation is solved by doubling: each round looks twice as far ahead. What no command changes and nobody
    pays for (where on the floor the robot stands) is left alone.
    """
    ahead, reach, price = transition, effect @ effect.T / command_weight, cost
    size = len(cost)
    for _ in range(_MOST_DOUBLINGS):
        both = np.linalg.solve(np.eye(size) + reach @ price, np.hstack([ahead, reach]))
        onward, spread = both[:, :size], both[:, size:]
        dearer = _symmetric(price + ahead.T @ price @ onward)
        reach, ahead = _symmetric(reach + ahead @ spread @ ahead.T), ahead @ onward
        is_done = np.abs(dearer - price).max() <= 1e-10 * np.abs(dearer).max()
        price = dearer
        if is_done:
            break
    weight = command_weight * np.eye(effect.shape[1])
    gain = np.linalg.solve(weight + effect.T @ price @ effect, effect.T @ price @ transition)
    return np.asarray(gain, dtype=np.float64)


def _symmetric(square: FloatArray) -> FloatArray:
    """What rounding has made a little lopsided."""
    even: FloatArray = (square + square.T) / 2
    return even


def _linearised(model: Any, data: Any, steps: int) -> tuple[FloatArray, FloatArray]:
    """One control step about the present moment: the same command for so many physics steps."""
    once, push = np.zeros((2 * model.nv, 2 * model.nv)), np.zeros((2 * model.nv, model.nu))
    mujoco.mjd_transitionFD(model, data, _DIFFERENCE, True, once, push, None, None)
    transition, effect = np.eye(2 * model.nv), np.zeros_like(push)
    for _ in range(steps):
        transition, effect = once @ transition, once @ effect + push
    return transition, effect


def _cost(model: Any, data: Any, body: Body) -> FloatArray:
    """Squares of what is to be small `(2 nv, 2 nv)`, in the deviation of a moment."""
    mass, foot = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jacSubtreeCom(model, data, mass, body.pelvis)
    for name in FEET:
        mujoco.mj_jacBodyCom(model, data, foot, None, model.body(name).id)
        mass -= foot / len(FEET)
    level = mass[:2]
    weights = np.zeros(model.nv)
    weights[body.base_dof + 3 : body.base_dof + 5] = TILT_WEIGHT  # not of where it faces
    weights[body.dofs] = JOINT_WEIGHT
    cost = np.zeros((2 * model.nv, 2 * model.nv))
    cost[: model.nv, : model.nv] = MASS_WEIGHT * level.T @ level + np.diag(weights)
    cost[model.nv :, model.nv :] = VELOCITY_WEIGHT * np.eye(model.nv)
    return cost
