from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dualsys.messages import FloatArray
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.judge import TIME_LIMIT_S
from dualsys.sim_envs.humanoid.snapshot import Snapshot
from dualsys.sim_envs.humanoid.table import HumanoidTable
from tests.unit.sim_envs.humanoid.playing import make_table, play_on, rows_of

SEED = 8001
GRASPED = 80
"""Steps after which the expert has the block of this seed between its fingers."""


@pytest.fixture(scope="module")
def env() -> Iterator[HumanoidTable]:
    environment = make_table("pick")
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def rows(env: HumanoidTable) -> FloatArray:
    """The expert's whole episode, and how it goes on after its end."""
    env.reset(seed=SEED)
    rows = rows_of(env, TableExpert(env), 130)
    assert env.success
    return rows


def follow(env: HumanoidTable, rows: FloatArray) -> list[Any]:
    """Everything that can be seen of every step."""
    seen: list[Any] = []
    for row in rows:
        observation, reward, terminated, truncated, info = env.step(row)
        seen += [observation["state"].tobytes(), env.physics_state().tobytes(), reward, terminated, truncated, info]
        seen.append(told(env))
    return seen


def told(env: HumanoidTable) -> dict[str, Any]:
    facts = env.privileged()
    blocks = {name: place.tobytes() for name, place in facts.pop("blocks").items()}
    return {**{name: _bits(fact) for name, fact in facts.items()}, "blocks": blocks}


def _bits(fact: Any) -> Any:
    return fact.tobytes() if isinstance(fact, np.ndarray) else fact


@pytest.mark.parametrize("step", [0, 30, 74, 75, 78, GRASPED, 100, 125])
def test_what_follows_a_moment_is_the_same_to_the_bit_after_going_back(
    env: HumanoidTable, rows: FloatArray, step: int
) -> None:
    env.reset(seed=SEED)
    follow(env, rows[:step])
    snapshot, before = env.snapshot(), told(env)
    first = follow(env, rows[step:])
    env.restore(snapshot)
    assert told(env) == before
    assert follow(env, rows[step:]) == first
    env.reset(seed=SEED + 3)  # another number of blocks, other colours, other light
    rows_of(env, TableExpert(env), 25)
    env.restore(snapshot)
    assert follow(env, rows[step:]) == first


def test_every_moment_tells_the_same_facts_when_gone_back_to(env: HumanoidTable, rows: FloatArray) -> None:
    """Grips are read from contacts, which positions and velocities alone do not bring back."""
    env.reset(seed=SEED)
    moments: list[tuple[Snapshot, dict[str, Any]]] = []
    for row in rows:
        env.step(row)
        moments.append((env.snapshot(), told(env)))
    assert any(facts["gripped"]["left"] or facts["gripped"]["right"] for _, facts in moments)
    for snapshot, facts in moments:
        env.restore(snapshot)
        assert told(env) == facts


def test_the_expert_goes_on_from_there_as_it_did(env: HumanoidTable, rows: FloatArray) -> None:
    env.reset(seed=SEED)
    follow(env, rows[:GRASPED])
    snapshot = env.snapshot()
    ways = []
    for _ in range(2):
        ways.append(rows_of(env, TableExpert(env), 40))
        env.restore(snapshot)
    assert np.array_equal(ways[0], ways[1])


def test_a_snapshot_can_be_gone_back_to_again_and_again(env: HumanoidTable, rows: FloatArray) -> None:
    """What is judged after it stays out of it."""
    env.reset(seed=SEED)
    follow(env, rows[:GRASPED])
    snapshot = env.snapshot()
    for _ in range(2):
        assert play_on(env)["success"]
        env.restore(snapshot)
        assert not env.success
        assert not env.privileged()["is_over"]


def test_the_episode_comes_back_with_its_words_time_and_picture(env: HumanoidTable, rows: FloatArray) -> None:
    env.reset(seed=SEED)
    follow(env, rows[:10])
    snapshot, instruction, stamp_s = env.snapshot(), env.instruction, env.observe().stamp_s
    picture = env.render()
    env.reset(seed=SEED + 3)
    assert env.instruction != instruction
    env.restore(snapshot)
    assert (env.instruction, env.observe().stamp_s) == (instruction, stamp_s)
    assert np.array_equal(env.render(), picture)
    assert env.step(rows[10])[-1]["episode_seed"] == SEED


def test_a_moment_can_be_the_start_of_an_episode_of_its_own(env: HumanoidTable, rows: FloatArray) -> None:
    """Stamps and the time limit count from it; the physics go on as they would have."""
    env.reset(seed=SEED)
    follow(env, rows[:GRASPED])
    snapshot = env.snapshot()
    env.step(rows[GRASPED])
    went_on = env.physics_state()
    env.restore(snapshot, restart_clock=True)
    assert env.observe().stamp_s == 0.0
    *_, info = env.step(rows[GRASPED])
    assert info["time_s"] == pytest.approx(0.02)
    assert np.array_equal(env.physics_state(), went_on)
    env.restore(snapshot, restart_clock=True)
    truncated = False
    while not truncated:
        *_, terminated, truncated, info = env.step(env.observe().state)
        assert not terminated
    assert info["time_s"] == pytest.approx(TIME_LIMIT_S["pick"])


def test_a_block_that_is_up_as_the_clock_restarts_must_stay_up_anew(env: HumanoidTable, rows: FloatArray) -> None:
    env.reset(seed=SEED)
    expert = TableExpert(env)
    while env.snapshot().judge._so_since_s is None:
        env.step(expert.act())
    for _ in range(5):
        env.step(expert.act())
    snapshot = env.snapshot()
    assert not env.success
    waited_s = {}
    for restart in (False, True):
        env.restore(snapshot, restart_clock=restart)
        began_s = env.observe().stamp_s
        waited_s[restart] = play_on(env)["time_s"] - began_s
    assert waited_s[False] == pytest.approx(0.1, abs=0.011)
    assert waited_s[True] == pytest.approx(0.2, abs=0.021)


def test_what_has_been_done_of_a_sequence_comes_back_too() -> None:
    sequence = make_table("sequence")
    sequence.reset(seed=8000)
    expert = TableExpert(sequence)
    while sequence.step(expert.act())[-1]["goals_done"] == 0:
        pass
    snapshot, facts = sequence.snapshot(), told(sequence)
    ends = []
    for _ in range(2):
        ends.append(play_on(sequence))
        sequence.reset(seed=8002)
        sequence.restore(snapshot)
        assert told(sequence) == facts
    assert ends[0]["success"]
    assert ends[0] == ends[1]
