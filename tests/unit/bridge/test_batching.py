"""Many robots, one planner, without Ray: turns are fair, and what is bad fails alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualsys.bridge.batching import Asked, Batcher, Seat, Sizes, choose
from dualsys.bridge.placement import placement
from dualsys.bridge.scene import Episode
from dualsys.bridge.sensed import SensedCodec
from dualsys.bridge.wire import SubgoalCodec
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import BridgeError, ConfigError
from dualsys.messages import LatentSubgoal, Observation
from dualsys.provenance import attempt_seed
from dualsys.testing import KnownPlanner, fake_embodiment

ARM = fake_embodiment(2, cameras=True)
SPEC = SubgoalSpec(num_tokens=2, dim=3)


class Stamping:
    """Tokens are an observation's time. Words: `spoil` raises, alone too; `nan` gives what can't be used."""

    subgoal_spec = SPEC

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.resets = 0

    def reset(self, *, seed: int = 0) -> None:
        self.resets += 1

    def plan(self, observation: Observation) -> LatentSubgoal:
        return self.plan_batch([observation])[0]

    def plan_batch(self, observations: Sequence[Observation]) -> list[LatentSubgoal]:
        self.batches.append(len(observations))
        words = [observation.instruction for observation in observations]
        if "spoil" in words:
            raise ValueError("it does not know these words")
        return [
            LatentSubgoal(
                tokens=np.full((2, 3), np.nan if observation.instruction == "nan" else observation.stamp_s, np.float32),
                observation_stamp_s=observation.oldest_stamp_s,
            )
            for observation in observations
        ]


class Remembering:
    """Has no `plan_batch`; notes the seeds it is reset with, and fails the first so many times."""

    subgoal_spec = SPEC

    def __init__(self, bad_resets: int = 0) -> None:
        self._known = KnownPlanner(SPEC)
        self._bad_resets = bad_resets
        self.seeds: list[int] = []

    def reset(self, *, seed: int = 0) -> None:
        self._bad_resets -= 1
        if self._bad_resets >= 0:
            raise RuntimeError("the camera of the cabinet is off")
        self.seeds.append(seed)
        self._known.reset()

    def plan(self, observation: Observation) -> LatentSubgoal:
        return self._known.plan(observation)


def asked(
    stamp_s: float,
    *,
    instruction: str = "",
    alone: bool = False,
    episode: int = 0,
    attempt: int = 0,
    run: tuple[str, str] = ("arm", "one"),
    **changes: Any,
) -> Asked:
    seen = ARM.fake_observation(np.random.default_rng(0), stamp_s=stamp_s, instruction=instruction)
    about = Episode(number=episode, seed=3, start_s=0.0, instruction=instruction, attempt=attempt)
    frame = SensedCodec().encode((about, replace(seen, **changes)))
    return Asked(embodiment=ARM, frame=frame, run=run, alone=alone)


def stamps(batcher: Batcher, *asks: Asked) -> list[float | str]:
    """What each got: the time in its tokens, or the kind of its failure."""
    return [
        answer.kind if answer.subgoal is None else float(SubgoalCodec().decode(answer.subgoal).tokens[0, 0])
        for answer in batcher.plan(asks)
    ]


def test_each_gets_its_own_in_one_batch() -> None:
    planner = Stamping()
    assert stamps(Batcher(planner), asked(1.0), asked(2.0), asked(3.0)) == [1.0, 2.0, 3.0]
    assert planner.batches == [3]
    assert planner.resets == 0


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (asked(2.0, state=np.zeros(5)), r"state has shape \(5,\), expected \(2,\)"),
        (asked(2.0, state=np.array([0.0, np.nan])), "state is not finite"),
        (asked(2.0, images={}), "head"),
        (asked(2.0, images={"head": np.zeros((4, 5, 3), np.uint8)}), r"\(4, 5, 3\)"),
        (Asked(embodiment=ARM, frame=b"nonsense"), "are no observation"),
    ],
)
def test_a_bad_observation_fails_alone_and_never_reaches_the_planner(bad: Asked, reason: str) -> None:
    planner = Stamping()
    batcher = Batcher(planner)
    answers = batcher.plan([asked(1.0), bad, asked(3.0)])
    assert [answer.kind for answer in answers] == ["", "failures", ""]
    assert planner.batches == [2]
    assert not answers[1].spoils
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(answers[1].reason)


def test_what_makes_the_planner_fail_fails_alone_and_is_planned_for_alone_from_then_on() -> None:
    planner = Stamping()
    batcher = Batcher(planner)
    answers = batcher.plan([asked(1.0), asked(2.0, instruction="spoil"), asked(3.0, instruction="nan")])
    assert [answer.kind for answer in answers] == ["", "failures", "refused"]
    assert [answer.spoils for answer in answers] == [False, True, False]
    assert planner.batches == [3, 1, 1, 1]
    assert batcher.spoiled == 1
    assert stamps(batcher, asked(4.0), asked(5.0, instruction="spoil", alone=True), asked(6.0)) == [
        4.0,
        "failures",
        6.0,
    ]
    assert planner.batches[4:] == [1, 2]
    assert batcher.spoiled == 1


def test_a_planner_that_gives_too_few_is_asked_one_by_one() -> None:
    class Short(Stamping):
        def plan_batch(self, observations: Sequence[Observation]) -> list[LatentSubgoal]:
            found = super().plan_batch(observations)
            return found if len(found) == 1 else found[1:]

    assert stamps(Batcher(Short()), asked(1.0), asked(2.0)) == [1.0, 2.0]


def test_a_planner_that_may_remember_serves_one_robot_and_is_reset_for_each_episode() -> None:
    batcher = Batcher(KnownPlanner(SPEC))
    assert not batcher.serves_many
    asks = [asked(1.0), asked(2.0), asked(3.0, episode=1)]
    assert [stamps(batcher, each) for each in asks] == [[1.0], [2.0], [1.0]]


def test_it_is_reset_for_each_attempt_of_each_run_with_the_models_seed() -> None:
    planner = Remembering()
    batcher = Batcher(planner)
    asks = [
        asked(1.0),
        asked(2.0),
        asked(3.0, attempt=1),
        asked(4.0, attempt=2),
        asked(5.0, episode=1),
        asked(6.0, episode=1, run=("arm", "two")),  # another run of that name, at the same number
        asked(7.0, episode=1, run=("leg", "two")),
        asked(8.0, episode=1, run=("leg", "two")),
    ]
    assert [stamps(batcher, each) for each in asks] == [[1.0], [2.0], [1.0], [1.0], [1.0], [1.0], [1.0], [2.0]]
    assert planner.seeds == [attempt_seed(3, attempt) for attempt in (0, 1, 2, 0, 0, 0)]


def test_a_reset_that_fails_is_a_failed_plan_and_is_tried_again() -> None:
    planner = Remembering(bad_resets=2)
    batcher = Batcher(planner)
    answers = [batcher.plan([asked(stamp_s)])[0] for stamp_s in (1.0, 2.0, 3.0)]
    assert [answer.kind for answer in answers] == ["failures", "failures", ""]
    assert "the camera of the cabinet is off" in answers[0].reason
    assert planner.seeds == [3]


def seat(number: int) -> Seat:
    return Seat(robot=str(number), key="", embodiment=ARM, heard_s=0.0)


@given(robots=st.integers(1, 20), most=st.integers(1, 8), data=st.data())
def test_everybody_gets_a_turn(robots: int, most: int, data: st.DataObject) -> None:
    """Whoever waits is served before anybody else is served twice, however the others press."""
    seats = [seat(number) for number in range(robots)]
    waits = [0] * robots
    for batch in range(1, 40):
        for each in seats:
            if data.draw(st.booleans()):
                each.observation = b"new"
        chosen = choose(seats, most)
        assert len(chosen) == min(most, sum(each.observation is not None for each in seats))
        for number, each in enumerate(seats):
            if each in chosen:
                each.observation, each.served, waits[number] = None, batch, 0
            elif each.observation is not None:
                waits[number] += 1
        assert max(waits) <= -(-robots // most)


def test_sizes_are_averaged() -> None:
    sizes = Sizes()
    assert sizes.mean() == 0
    for size in (1, 1, 4):
        sizes.add(size)
    assert sizes.mean() == 2


@given(data=st.binary(max_size=80))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BridgeError):
        SensedCodec().decode(data)


def test_words_for_a_node_become_options_of_ray() -> None:
    assert placement("") == {}
    assert placement("role=planner") == {"label_selector": {"role": "planner"}}
    assert placement("10.0.0.7") == {"resources": {"node:10.0.0.7": 0.001}}
    assert placement("big_gpu") == {"resources": {"big_gpu": 0.001}}
    for wrong in ("=planner", "role="):
        with pytest.raises(ConfigError, match="a label is KEY=VALUE"):
            placement(wrong)
