"""What a language head learns from: words by the suite's own reading of them, moments by the judge's."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from dualsys.app.subtasks import SubtasksConfig
from dualsys.app.training.language_head import SureCount, best_threshold
from dualsys.app.training.step_words import draw_instruction, draw_step_words
from dualsys.app.training.told_steps import ToldMoments, ToldPlanner, load_told, save_told, told_episode
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError
from dualsys.messages import LatentSubgoal, Observation
from dualsys.sim_envs.humanoid.goals import Goal, goals_in
from dualsys.sim_envs.humanoid.steps import step_text, steps_of


def test_steps_are_what_the_suite_reads_in_the_sentence() -> None:
    """The judge's own reading, of sentences joined as the suite joins them."""
    rng = np.random.default_rng(0)
    several = 0
    for _ in range(300):
        instruction, steps = draw_instruction(rng)
        if len(steps) > 1 and " and after that " in instruction:
            several += 1
            assert steps == steps_of(goals_in("sequence", instruction), together=False)
    assert several > 50


@pytest.mark.parametrize(
    "goal",
    [Goal(verb="touch", colour="red"), Goal(verb="pick", colour="blue", hand="left")],
    ids=lambda goal: goal.verb,
)
def test_a_step_asks_for_its_goal(goal: Goal) -> None:
    assert goals_in("sequence", f"{step_text((goal,))} then touch the green block")[0] == goal


def test_each_moment_has_the_step_before_it() -> None:
    rng = np.random.default_rng(1)
    drawn = [draw_step_words(rng, "held-out") for _ in range(200)]
    assert any(not words.before for words in drawn)
    assert any(not words.step for words in drawn), "the end of a sentence is said, too"
    assert all(words.before or words.step for words in drawn)
    assert all(words.before != words.step for words in drawn)


class Looks:
    """A planner that shows what it was told."""

    subgoal_spec = SubgoalSpec(num_tokens=1, dim=1)

    def __init__(self) -> None:
        self.heard: list[str] = []

    def reset(self, *, seed: int = 0) -> None:
        self.heard = []

    def plan(self, observation: Observation) -> LatentSubgoal:
        self.heard.append(observation.instruction)
        return LatentSubgoal(tokens=np.zeros((1, 1), np.float32), observation_stamp_s=observation.stamp_s)


class Robot:
    """Ten steps a second; goals are reached at 1.0 s and 2.0 s, and then it is over."""

    def __init__(self) -> None:
        self.ticks = 0

    def observe(self) -> Observation:
        return Observation(stamp_s=self.ticks / 10, state=np.array([self.ticks / 10]), instruction="the whole")

    def step(self, _action: Any) -> tuple[None, float, bool, bool, dict[str, Any]]:
        self.ticks += 1
        done = min(2, self.ticks // 10)
        return None, 0.0, done == 2, False, {"goals_done": done, "time_s": self.ticks / 10}


class Acts:
    """Plans at every step."""

    def __init__(self, planner: ToldPlanner) -> None:
        self.planner = planner

    def step(self, observation: Observation) -> Any:
        self.planner.plan(observation)
        return Command


class Command:
    target = None


def told() -> tuple[Looks, list[ToldMoments]]:
    looks = Looks()
    planner = ToldPlanner(cast(Any, looks))
    rng = np.random.default_rng(3)
    return looks, list(told_episode(Robot(), cast(Any, Acts(planner)), planner, ["one", "two"], rng))


def test_words_stay_a_while_after_a_step_is_done() -> None:
    looks, moments = told()
    assert [step.step for step in moments] == ["one", "two"]
    assert [step.done_s for step in moments] == [1.0, 2.0]
    for step in moments:
        assert not step.done_N[0], "nothing is done when the words come"
        assert step.done_N[-1], "and the last that is seen is the step done"
        np.testing.assert_array_equal(step.done_N, step.stamps_s >= step.done_s)
    assert looks.heard == ["one"] * len(moments[0].stamps_s) + ["two"] * len(moments[1].stamps_s)


def test_what_was_told_is_kept(tmp_path: Path) -> None:
    _, moments = told()
    save_told(tmp_path / "told.npz", {7: moments})
    ((seed, read),) = load_told(tmp_path / "told.npz").items()
    assert seed == 7
    for ours, theirs in zip(read, moments, strict=True):
        assert (ours.step, ours.done_s) == (theirs.step, theirs.done_s)
        np.testing.assert_array_equal(ours.stamps_s, theirs.stamps_s)
        np.testing.assert_array_equal(ours.state_NX, theirs.state_NX)
    (tmp_path / "other.npz").write_bytes(b"no zip")
    with pytest.raises(ConfigError, match="told step by step"):
        load_told(tmp_path / "other.npz")


def test_the_threshold_is_the_one_with_the_fewest_mistakes() -> None:
    """Given two counts: 1 + 0 mistakes are fewer than 0 + 3; of equals the surer."""
    few = SureCount(sure=0.5, steps=9, noticed=9, false_alarms=1, of=10)
    many = SureCount(sure=0.9, steps=9, noticed=6, false_alarms=0, of=10)
    assert best_threshold([few, many]) == few
    surer = SureCount(sure=0.7, steps=9, noticed=9, false_alarms=1, of=10)
    assert best_threshold([few, surer, many]) == surer


def test_options_that_mean_nothing_are_refused() -> None:
    for wrong in ({"task": "humanoid/touch"}, {"episodes": 2}, {"sure": 1.5}, {"seed": 7990}):
        with pytest.raises(ConfigError):
            SubtasksConfig(out=Path("x"), **cast(Any, wrong))
