"""Distances of a robot to itself, to what is around it and to the borders of its workspace, from a MuJoCo model.

Kinematics and collision detection alone, on a copy of the model: no physics is run, and the simulation is not touched.
MuJoCo's broad phase skips what is far away, so a look costs some tens of microseconds.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, final

import mujoco
import numpy as np

from dualsys.errors import ConfigError, unknown_name
from dualsys.messages import FloatArray
from dualsys.workspace_box import WorkspaceBox

RANGE_M = 0.1
"""How far is looked by default: a hand at 2 m/s that brakes at 20 m/s^2 needs this much."""
_MAX_PAIRS = 31


@final
class MujocoClearance:
    """A `dualsys.clearance.Clearance` of a compiled model.

    Args:
        model: A compiled `mujoco.MjModel`; it is copied. Joints that are not commanded stay as its defaults have them.
        joints: Names of the commanded joints, one degree of freedom each, in the order of the positions.
        pairs: What is not to meet: under each name two lists of geoms (their numbers). Geoms of neighbouring bodies,
            and those that the model excludes, are left out, as in MuJoCo's collisions.
        boxes: Borders of the workspace..
        range_m: How far is looked; what is further away is given as this.

    Raises:
        ConfigError: a joint or a body doesn't exist, or there are more than 31 pairs.
    """

    def __init__(
        self,
        model: Any,
        joints: Sequence[str],
        pairs: Mapping[str, tuple[Sequence[int], Sequence[int]]],
        boxes: Sequence[WorkspaceBox] = (),
        *,
        range_m: float = RANGE_M,
    ) -> None:
        if len(pairs) > _MAX_PAIRS:
            raise ConfigError(f"{len(pairs)} pairs of geoms to keep apart; at most {_MAX_PAIRS}, so join some")
        self._model = copy.copy(model)
        self._data = mujoco.MjData(self._model)
        self._range_m = range_m
        self._places = np.array([model.jnt_qposadr[_number(model, "joint", name)] for name in joints], dtype=np.intp)
        self._boxes = [_Box(model, box) for box in boxes]
        self.names = (*pairs, *(box.name for box in boxes))
        self._num_pairs = len(pairs)
        self._bits = 1 << np.arange(self._num_pairs)
        self._select(pairs)

    def distances(self, position: FloatArray) -> FloatArray:
        """Signed distances `(len(names),)` in metres at joint positions `(nu,)`, at most `range_m`."""
        model, data = self._model, self._data
        data.qpos[self._places] = position
        mujoco.mj_kinematics(model, data)
        distances = np.full(len(self.names), self._range_m)
        if self._num_pairs:
            mujoco.mj_collision(model, data)
            if data.ncon:
                self._read_contacts(distances)
        for index, box in enumerate(self._boxes, start=self._num_pairs):
            distances[index] = min(box.distance(data), self._range_m)
        return distances

    def _select(self, pairs: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> None:
        """Let MuJoCo look at the pairs alone: a bit each, set in the type of the one and the affinity of the other."""
        model = self._model
        model.opt.ccd_tolerance = 1e-4  # metres: a tenth of a millimetre, for a fifth of the time
        model.geom_contype[:] = model.geom_conaffinity[:] = 0
        model.geom_margin[:] = model.geom_gap[:] = 0.0
        model.body_margin[:] = self._range_m  # of the broad phase; compiled models don't gather it from the geoms anew
        for bit, (ones, others) in zip(self._bits, pairs.values(), strict=True):
            for geom in ones:
                model.geom_contype[geom] |= bit
            for geom in others:
                model.geom_conaffinity[geom] |= bit
            model.geom_margin[[*ones, *others]] = self._range_m

    def _read_contacts(self, distances: FloatArray) -> None:
        """Least distance of each pair's contacts, written into the first of the distances."""
        contact, model = self._data.contact, self._model
        one, other = contact.geom[:, 0], contact.geom[:, 1]
        met = model.geom_contype[one] & model.geom_conaffinity[other]
        met |= model.geom_contype[other] & model.geom_conaffinity[one]
        belongs = (met[:, None] & self._bits) > 0
        nearest = np.where(belongs, contact.dist[:, None], self._range_m).min(axis=0)
        distances[: self._num_pairs] = np.minimum(nearest, self._range_m)


class _Box:
    """A workspace box with its body's number."""

    def __init__(self, model: Any, box: WorkspaceBox) -> None:
        self._body = _number(model, "body", box.body)
        self._point = np.array(box.point_m)
        self._lower, self._upper = np.array(box.lower_m), np.array(box.upper_m)
        self._sign = 1.0 if box.keep == "inside" else -1.0

    def distance(self, data: Any) -> float:
        """Signed distance of the point to the box's border, above 0 on the side it is to stay on."""
        rotation = data.xmat[self._body].reshape(3, 3)
        point = data.xpos[self._body] + rotation @ self._point
        beyond = np.maximum(self._lower - point, point - self._upper)
        outside = float(np.linalg.norm(np.maximum(beyond, 0.0)))
        return -self._sign * (outside if outside > 0.0 else float(beyond.max()))


def _number(model: Any, kind: Literal["joint", "body"], name: str) -> int:
    kinds = {"joint": mujoco.mjtObj.mjOBJ_JOINT, "body": mujoco.mjtObj.mjOBJ_BODY}
    number = mujoco.mj_name2id(model, kinds[kind], name)
    if number < 0:
        count = model.njnt if kind == "joint" else model.nbody
        known = [mujoco.mj_id2name(model, kinds[kind], index) or "" for index in range(count)]
        raise ConfigError(unknown_name(kind, name, known))
    return int(number)
