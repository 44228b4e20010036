"""Something else is asked for first: what is told when, and that nothing but words is changed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pydantic
import pytest

from dualsys import sim_envs
from dualsys.errors import ConfigError
from dualsys.sim_envs.humanoid.goals import TASKS, about_others
from dualsys.sim_envs.humanoid.palette import COLOURS
from dualsys.sim_envs.perturbations.change_of_mind import Askable, ChangeOfMind
from dualsys.sim_envs.perturbations.paraphrase import Paraphrase
from dualsys.sim_envs.perturbations.perturbed import Perturbed

DT_S = 0.02


@pytest.fixture(scope="module")
def plain() -> Iterator[Any]:
    environment = sim_envs.make("humanoid/touch", images="on-demand", image_size=16)
    yield environment
    environment.close()


def told(environment: Any, steps: int) -> list[str]:
    """What is told in each of some steps from now on."""
    middle = (environment.embodiment.lower + environment.embodiment.upper) / 2
    words = []
    for _ in range(steps):
        words.append(environment.observe().instruction)
        environment.step(middle)
    return words


def colours_in(text: str) -> list[str]:
    return [word for word in text.lower().split() if word in COLOURS]


def test_another_block_is_named_until_the_time_is_over(plain: Any) -> None:
    environment: Any = Perturbed(plain, (ChangeOfMind(least_s=0.1, most_s=0.4),))
    changes = set()
    for seed in range(8):
        plain.reset(seed=seed)
        counts, target = plain.instruction, plain.privileged()["target"]
        _, info = environment.reset(seed=seed)
        first_steps = round(info["perturbed.change-of-mind.after_s"] / DT_S)
        words = told(environment, 21)
        assert words == [info["perturbed.change-of-mind.first"]] * first_steps + [counts] * (21 - first_steps)
        assert environment.instruction == counts
        assert environment.privileged()["target"] == target
        (named,) = colours_in(words[0])
        assert named in environment.privileged()["blocks"]
        assert words[0].replace(named, target) == counts
        changes.add(first_steps)
    assert min(changes) >= 5
    assert max(changes) <= 20
    assert len(changes) > 3


def test_states_are_as_without(plain: Any) -> None:
    middle = (plain.embodiment.lower + plain.embodiment.upper) / 2
    ends = []
    for environment in (plain, Perturbed(plain, (ChangeOfMind(least_s=0.1, most_s=0.1),))):
        environment.reset(seed=3)
        ends.append([environment.step(middle)[1:4] for _ in range(8)] + [environment.observe().state.tolist()])
    assert ends[0] == ends[1]


def test_it_goes_back_with_the_episode(plain: Any) -> None:
    environment: Any = Perturbed(plain, (ChangeOfMind(least_s=0.1, most_s=0.4),))
    environment.reset(seed=1)
    told(environment, 2)
    moment = environment.snapshot()
    after = told(environment, 20)
    environment.reset(seed=2)
    for restart_clock in (False, True):
        environment.restore(moment, restart_clock=restart_clock)
        assert told(environment, 20) == after


def test_both_are_said_in_the_same_other_words(plain: Any) -> None:
    paraphrase = Paraphrase(share=1.0, held_out=True, distraction=True)
    for seed in range(4):
        alone = Perturbed(plain, (paraphrase,))
        alone.reset(seed=seed)
        both: Any = Perturbed(plain, (paraphrase, ChangeOfMind(least_s=0.1, most_s=0.1)))
        both.reset(seed=seed)
        target = both.privileged()["target"]
        assert both.instruction == alone.instruction
        first = both.observe().instruction
        (named,) = colours_in(first)
        assert first.replace(named, target) == alone.instruction


def test_strength_zero_is_nothing_and_an_empty_range_is_refused(plain: Any) -> None:
    environment: Any = Perturbed(plain, (ChangeOfMind(),))
    _, info = environment.reset(seed=1)
    assert environment.observe().instruction == plain.instruction
    assert not any("change-of-mind" in name for name in info)
    with pytest.raises(pydantic.ValidationError, match=r"least_s 0.5 is more than most_s 0.2"):
        ChangeOfMind(least_s=0.5, most_s=0.2)


def test_a_task_that_knows_nothing_else_to_ask_for_refuses_it() -> None:
    with pytest.raises(ConfigError, match=r"what else could be asked for.*another_instruction"):
        sim_envs.make("dm_control/cartpole-balance", perturbations=("change-of-mind",))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_at_the_table_knows_what_else_could_be_asked_for(task: str) -> None:
    environment = sim_envs.make(f"humanoid/{task}", images="on-demand", seed=4)
    assert isinstance(environment, Askable)
    for seed in range(3):
        environment.reset(seed=seed)
        scene = set(environment.privileged()["blocks"])  # type: ignore[attr-defined]
        own = environment.instruction
        other = environment.another_instruction(np.random.default_rng(seed))
        assert environment.instruction == own
        assert set(colours_in(other)) <= scene
        assert all(one != another for one, another in zip(colours_in(own), colours_in(other), strict=True))
    environment.close()


def test_words_are_kept_as_they_are_written() -> None:
    rng = np.random.default_rng(0)
    assert about_others("Touch the RED block, please: redder!", ["red", "blue"], rng) == (
        "Touch the blue block, please: redder!"
    )
