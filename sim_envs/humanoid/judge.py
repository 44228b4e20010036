"""Success and failure of an episode, read from the physics.

Touching: the first block that an arm or a hand meets, looked at after every physics step, must be the named one, and
the hand the named one where one is named. In a sequence, blocks of earlier steps may be met again: a fist bounces.
Picking: the named block must be up in the air, in contact with one hand alone (the named one, where one is named), for
a while. Lifting another block, or the named one with the wrong hand, ends the episode; so does a block that is to be
picked and has fallen over.
"""

from collections.abc import Sequence
from typing import Any, Literal

from dualsys.sim_envs.humanoid.contacts import TouchDetector
from dualsys.sim_envs.humanoid.goals import SIDES, Goal, Side
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

Failure = Literal["touched another block", "lifted another block", "used the wrong hand", "block fell"]


class Judge:
    """Follows one episode. `look` after every physics step, `decide` after every control step."""

    def __init__(self, episode: Episode, detector: TouchDetector) -> None:
        self._episode, self._detector = episode, detector
        self._colours = [block.colour for block in episode.blocks]
        self._together = len(episode.goals) > 1 and all(goal.verb == "pick" for goal in episode.goals)
        self._resting: set[str] = set()
        """Blocks still in contact from the step before: touching on is no new touch."""
        self._up_since_s: float | None = None
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
        """Forget since when a block has been up."""
        self._up_since_s = None

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
        if self.is_over or self.present_goals[0].verb != "touch":
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
        if others:
            self.failure = "touched another block"
        elif goal.hand and self._colours.index(goal.colour) not in self._detector.blocks_on(data, goal.hand):
            self.failure = "used the wrong hand"
        else:
            self._advance(colours)

    def decide(self, data: Any, heights_m: Sequence[float], now_s: float) -> None:
        """Judge picking from the heights of the blocks' centres, in the order of the episode's blocks."""
        if self.is_over or self.present_goals[0].verb != "pick":
            return
        hands = {side: {self._colours[i] for i in self._detector.blocks_on(data, side)} for side in SIDES}
        heights = dict(zip(self._colours, heights_m, strict=True))
        self._note_lift(heights, hands)
        if any(heights[goal.colour] < FALLEN_M for goal in self.present_goals):
            self.failure = self.failure or "block fell"
        if self.failure is not None:
            return
        if not all(_is_up(goal, heights, hands) for goal in self.present_goals):
            self._up_since_s = None
        elif self._up_since_s is None:
            self._up_since_s = now_s
        elif now_s - self._up_since_s >= HELD_S - 1e-9:
            self._advance(set().union(*hands.values()))

    def _note_lift(self, heights: dict[str, float], hands: dict[Side, set[str]]) -> None:
        """Take down each block that a hand lifts, and fail for one that it should not."""
        wanted = {goal.colour: goal for goal in self.present_goals}
        for side in SIDES:
            for colour in sorted(hands[side]):
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
        self._resting, self._up_since_s = set(in_contact), None


def _is_up(goal: Goal, heights: dict[str, float], hands: dict[Side, set[str]]) -> bool:
    holding = [side for side in SIDES if goal.colour in hands[side]]
    one_hand = len(holding) == 1 and goal.hand in (None, holding[0])
    return one_hand and heights[goal.colour] >= BLOCK_REST_M + LIFTED_M
