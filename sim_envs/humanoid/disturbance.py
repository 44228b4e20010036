"""Pushes for demonstrations: what is executed departs from what the expert asked for, what is recorded doesn't.

A policy trained on undisturbed demonstrations never sees how to come back from its own errors. Following DART (Laskey
et al., 2017) the executed targets are disturbed, and the expert, who closes the loop, shows the recovery.
"""

import numpy as np

from dualsys.messages import FloatArray

NUM_ARM_JOINTS = 14
PAUSE_S = (0.15, 0.7)
PUSH_S = (0.16, 0.36)
PUSH_RAD = 0.14


class Disturbance:
    """Brief smooth offsets on arm targets, drawn from a seed. One per episode.

    A push is half a sine wave of up to `PUSH_RAD` on every joint of one arm, within the acceleration limits.
    """

    def __init__(self, seed: int, *, control_dt_s: float = 0.02, strength: float = 1.0) -> None:
        """`strength` scales the pushes; 0 gives none."""
        self._rng = np.random.default_rng([seed, 4])
        self._dt_s = control_dt_s
        self._strength = strength
        self._pause()

    def apply(self, row: FloatArray) -> FloatArray:
        """The row `(28,)` to execute where the expert asked for `row`; call once a control step."""
        self._elapsed_s += self._dt_s
        if self._elapsed_s >= self._duration_s:
            if self._pushing:
                self._pause()
            else:
                self._push()
        if not self._pushing:
            return row
        executed = row.copy()
        executed[:NUM_ARM_JOINTS] += np.sin(np.pi * self._elapsed_s / self._duration_s) * self._offset
        return executed

    def _pause(self) -> None:
        self._pushing, self._elapsed_s = False, 0.0
        self._duration_s = float(self._rng.uniform(*PAUSE_S))
        self._offset = np.zeros(NUM_ARM_JOINTS)

    def _push(self) -> None:
        self._pushing, self._elapsed_s = True, 0.0
        self._duration_s = float(self._rng.uniform(*PUSH_S))
        pushed = self._rng.random() < 0.5
        arm = slice(0, 7) if pushed else slice(7, 14)
        self._offset = np.zeros(NUM_ARM_JOINTS)
        self._offset[arm] = self._strength * self._rng.uniform(-PUSH_RAD, PUSH_RAD, 7)
