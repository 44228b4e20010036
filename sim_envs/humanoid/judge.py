"""Success and failure of an episode, read from the physics.

Touching: the first block that an arm or a hand meets, looked at after every physics step, must be the named one, and
the hand the named one where one is named. In a sequence, blocks of earlier steps may be met again: a fist bounces.
Picking: the named block must be up in the air, in contact with one hand alone (the named one, where one is named), for
a while. Lifting another block, or the named one with the wrong hand, ends the episode; so does a block that is to be
picked and has fallen over.
Pointing and holding: a fist must stay over the named block for a while, close to it, and touch none.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.contacts import TouchDetector
from dualsys.sim_envs.humanoid.goals import SIDES, Goal, Side, TaskName, Verb
from dualsys.sim_envs.humanoid.layout import Episode
from dualsys.sim_envs.humanoid.scene import BLOCK_HALF_SIZE_M, BLOCK_REST_M, TABLE_TOP_M

LIFTED_M = 0.06
"""Height above where it stood at which a block counts as picked."""
OFF_THE_TABLE_M = 0.02
"""Height at which a block in a hand is being lifted, and by which it had better be the right one."""
FALLEN_M = TABLE_TOP_M + 0.75 * BLOCK_HALF_SIZE_M[2]
"""A block whose centre is lower has fallen over, or off the table."""
HELD_S = 0.2
"""Time that it must stay up."""
POINTING_RADIUS_M, POINTING_HEIGHTS_M = 0.03, (0.03, 0.12)
"""Distance from the block's axis, and heights above its top, of a fist that points at it."""
POINTED_S: dict[Verb, float] = {"point": 0.5, "hold": 2.0}
"""Time that it must stay there without a break."""

Failure = Literal[
    "touched another block", "touched a block", "lifted another block", "used the wrong hand", "block fell"
]
TIME_LIMIT_S: dict[TaskName, float] = {
    "touch": 5.0,
    "pick": 8.0,
    "pick-with": 8.0,
    "bimanual": 10.0,
    "sequence": 15.0,
    "point": 6.0,
    "reach-and-hold": 8.0,
}
"""When an episode is cut off."""


class Judge:
    """Follows one episode. `look` after every physics step, `decide` after every control step."""

    def __init__(self, episode: Episode, detector: TouchDetector) -> None:
        self._episode, self._detector = episode, detector
        self._colours = [block.colour for block in episode.blocks]
        self._together = episode.together
        self._resting: set[str] = set()
        """Blocks still in contact from the step before: touching on is no new touch."""
        self._so_since_s: float | None = None
        self.done = 0
        """Goals reached."""
        self.failure: Failure | None = None
        self.touched: str | None = None
        """The first block touched towards the present goal; where several meet in one physics step, a wrong one."""
        self.lifted: str | None = None
        """The first block lifted by a hand."""
        self.lifted_by: Side | None = None

    @property
    def success(self) -> bool:
        """Whether every goal has been reached."""
        return self.done == len(self._episode.goals)

    @property
    def is_over(self) -> bool:
        """Success or failure."""
        return self.success or self.failure is not None

    @property
    def present_goals(self) -> tuple[Goal, ...]:
        """What is to be done now: one goal, or both at once; the last stays when all is done."""
        goals = self._episode.goals
        return goals if self._together else (goals[min(self.done, len(goals) - 1)],)

    def restart_clock(self) -> None:
        """Forget since when a block has been up, or pointed at."""
        self._so_since_s = None

    @property
    def hand_tasks(self) -> dict[Side, tuple[str, str] | None]:
        """Verb and colour of what each hand is to do now; None: nothing."""
        started_y_m = {block.colour: block.y_m for block in self._episode.blocks}
        tasks: dict[Side, tuple[str, str] | None] = dict.fromkeys(SIDES)
        for goal in self.present_goals:
            tasks[goal.hand_at(started_y_m[goal.colour])] = (goal.verb, goal.colour)
        return tasks

    def look(self, data: Any) -> None:
        """Note who touches what at this physics step."""
        if self.is_over or self.present_goals[0].verb == "pick":
            return
        colours = {self._colours[index] for index in self._detector.touched_blocks(data)}
        self._resting = self._resting & colours
        fresh = colours - self._resting
        goal = self.present_goals[0]
        reached = {earlier.colour for earlier in self._episode.goals[: self.done]}
        others = sorted(fresh - reached - {goal.colour})
        if goal.colour not in fresh and not others:
            return
        self.touched = others[0] if others else goal.colour
        if goal.verb in POINTED_S:
            self.failure = "touched a block"
        elif others:
            self.failure = "touched another block"
        elif goal.hand and self._colours.index(goal.colour) not in self._detector.blocks_on(data, goal.hand):
            self.failure = "used the wrong hand"
        else:
            self._advance(colours)

    def decide(self, data: Any, blocks_m: Mapping[str, FloatArray], now_s: float) -> None:
        """Judge picking and pointing from the centres of the blocks `(3,)` by colour."""
        if self.is_over or self.present_goals[0].verb == "touch":
            return
        goal = self.present_goals[0]
        if (long_s := POINTED_S.get(goal.verb)) is not None:
            self._judge_for(long_s, self._is_pointed_at(data, blocks_m[goal.colour]), now_s, set())
            return
        hands = {side: {self._colours[i] for i in self._detector.blocks_on(data, side)} for side in SIDES}
        heights = {colour: float(place[2]) for colour, place in blocks_m.items()}
        self._note_lift(heights, hands)
        if any(heights[goal.colour] < FALLEN_M for goal in self.present_goals):
            self.failure = self.failure or "block fell"
        if self.failure is not None:
            return
        lifting = [_lifting_hand(goal, heights, hands) for goal in self.present_goals]
        is_up = None not in lifting and len(set(lifting)) == len(lifting)  # at once means a hand for each
        self._judge_for(HELD_S, is_up, now_s, set().union(*hands.values()))

    def _judge_for(self, long_s: float, is_so: bool, now_s: float, in_contact: set[str]) -> None:
        """Count the goal as reached once something has been so for long enough."""
        if not is_so:
            self._so_since_s = None
        elif self._so_since_s is None:
            self._so_since_s = now_s
        elif now_s - self._so_since_s >= long_s - 1e-9:
            self._advance(in_contact)

    def _is_pointed_at(self, data: Any, block_m: FloatArray) -> bool:
        """Whether a fist is over a block centred at `block_m` `(3,)`."""
        low, high = POINTING_HEIGHTS_M
        for side in SIDES:
            across = self._detector.fist(data, side) - block_m
            height = across[2] - BLOCK_HALF_SIZE_M[2]
            if np.hypot(across[0], across[1]) <= POINTING_RADIUS_M and low <= height <= high:
                return True
        return False

    def _note_lift(self, heights: dict[str, float], hands: dict[Side, set[str]]) -> None:
        """Take down each block that a hand lifts, and fail for one that it should not."""
        wanted = {goal.colour: goal for goal in self.present_goals}
        reached = {earlier.colour for earlier in self._episode.goals[: self.done]}
        for side in SIDES:
            for colour in sorted(hands[side] - reached):
                if heights[colour] < BLOCK_REST_M + OFF_THE_TABLE_M:
                    continue
                if self.lifted is None:
                    self.lifted, self.lifted_by = colour, side
                if colour not in wanted:
                    self.failure = self.failure or "lifted another block"
                elif wanted[colour].hand not in (None, side):
                    self.failure = self.failure or "used the wrong hand"

    def _advance(self, in_contact: set[str]) -> None:
        self.done = len(self._episode.goals) if self._together else self.done + 1
        self._resting, self._so_since_s = set(in_contact), None


def _lifting_hand(goal: Goal, heights: dict[str, float], hands: dict[Side, set[str]]) -> Side | None:
    """The one hand that has the goal's block up as is asked; None where there is none."""
    holding = [side for side in SIDES if goal.colour in hands[side]]
    one_hand = len(holding) == 1 and goal.hand in (None, holding[0])
    return holding[0] if one_hand and heights[goal.colour] >= BLOCK_REST_M + LIFTED_M else None
