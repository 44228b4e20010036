"""The usual mistakes in building these models, each made on purpose: the checks refuse it and say which it is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dualsys.actor.joint_expert import JointExpert
from dualsys.embodiment import CameraSpec, EmbodimentSpec, SubgoalSpec
from dualsys.errors import NotConforming
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal, Observation
from dualsys.planner.prefix_planner import PrefixPlanner
from dualsys.planner.tokenization import train_tokenizer
from dualsys.testing import ActorExample, PlannerExample, PoseActor, check_actor, check_planner, fake_embodiment
from tests.parity import pi_fixtures
from tests.unit.actor.joint_parts import ARM, joint_actor
from tests.unit.planner import test_families

WORDS = "touch the red block"


def robot(names: tuple[str, ...], side: int, states: int) -> EmbodimentSpec:
    cameras = tuple(CameraSpec(name=name, height=side, width=side) for name in names)
    return fake_embodiment(states).model_copy(update={"cameras": cameras})


def planner(name: str) -> PrefixPlanner:
    """Over a peer's weights, whose norms are random: what a mistake leaves is then as it is in a trained one."""
    fixture = pi_fixtures.load(name)
    return PrefixPlanner(pi_fixtures.planner_config(fixture), pi_fixtures.network(fixture), train_tokenizer([WORDS]))


@pytest.fixture(scope="module", params=["lerobot_pi0", "lerobot_smolvla_special"])
def right(request: pytest.FixtureRequest) -> tuple[str, PlannerExample, EmbodimentSpec]:
    """A fixture's name, and what a planner that is right gives for an observation."""
    known = planner(request.param)
    embodiment = robot(known.config.cameras, 20, pi_fixtures.load(request.param).config["max_dim"])
    seen = embodiment.fake_observation(np.random.default_rng(1), stamp_s=1.0, instruction="touch")  # leaves padding
    return request.param, PlannerExample(observation=seen, subgoal=known.plan(seen)), embodiment


class Misread:
    """A planner that is shown another observation than it is given."""

    def __init__(self, known: Any, change: Callable[[Observation], Observation]) -> None:
        self.known, self.change = known, change
        self.subgoal_spec = known.subgoal_spec
        self.reset = known.reset

    def plan(self, observation: Observation) -> LatentSubgoal:
        subgoal: LatentSubgoal = self.known.plan(self.change(observation))
        return subgoal


class Altered(Misread):
    """A planner whose subgoals are altered."""

    def __init__(self, known: Any, alter: Callable[[LatentSubgoal], LatentSubgoal]) -> None:
        super().__init__(known, lambda observation: observation)
        self.alter = alter

    def plan(self, observation: Observation) -> LatentSubgoal:
        return self.alter(super().plan(observation))


def bgr(observation: Observation) -> Observation:
    images = {name: np.ascontiguousarray(image[..., ::-1]) for name, image in observation.images.items()}
    return replace(observation, images=images)


def opposite(subgoal: LatentSubgoal) -> LatentSubgoal:
    assert subgoal.mask is not None
    return replace(subgoal, mask=~subgoal.mask)


def refuse_planner(made: Any, example: PlannerExample, embodiment: EmbodimentSpec, message: str) -> None:
    with pytest.raises(NotConforming, match=message):
        check_planner(made, embodiment, instruction=WORDS, examples=[example])


def test_a_planner_that_is_right_passes(right: tuple[str, PlannerExample, EmbodimentSpec]) -> None:
    name, example, embodiment = right
    check_planner(planner(name), embodiment, instruction=WORDS, other_instruction="touch", examples=[example])


@pytest.mark.parametrize("what", ["_words", "_see"])
def test_embeddings_that_are_scaled_twice_are_named(
    right: tuple[str, PlannerExample, EmbodimentSpec], what: str
) -> None:
    name, example, embodiment = right
    made = planner(name)
    once = getattr(made.network, what)

    def twice(*given: Any, **told: Any) -> torch.Tensor:
        value: torch.Tensor = once(*given, **told)
        scaled: torch.Tensor = value * value.shape[-1] ** 0.5
        return scaled

    setattr(made.network, what, twice)
    refuse_planner(made, example, embodiment, "right in layer 0 and wrong from layer 1 on: .* scaled twice")


def test_pictures_and_masks_that_are_read_otherwise_are_named(
    right: tuple[str, PlannerExample, EmbodimentSpec],
) -> None:
    name, example, embodiment = right
    known = planner(name)
    refuse_planner(Misread(known, bgr), example, embodiment, "reads pictures as BGR")
    refuse_planner(Altered(known, opposite), example, embodiment, "mask is the wrong way round")
    all_count = Altered(known, lambda subgoal: replace(subgoal, mask=np.ones(len(subgoal.tokens), np.bool_)))
    refuse_planner(all_count, example, embodiment, "mask is another at .* tokens: padding counts")


class FeatureToy:
    """Tokens of characters, `cumsum` over a batch's padded width where padding isn't masked."""

    subgoal_spec = SubgoalSpec(num_tokens=4, dim=9)

    def __init__(self, *, factor: float = 1.0, padded: bool = False) -> None:
        self.factor, self.padded = factor, padded

    def reset(self, *, seed: int = 0) -> None:
        del seed

    def plan(self, observation: Observation) -> LatentSubgoal:
        return self.plan_batch([observation])[0]

    def plan_batch(self, observations: list[Observation]) -> list[LatentSubgoal]:
        width = max(len(observation.instruction) for observation in observations)
        return [self._subgoal(observation, width) for observation in observations]

    def _subgoal(self, observation: Observation, width: int) -> LatentSubgoal:
        count = width if self.padded else len(observation.instruction)
        tokens = np.outer(np.arange(1.0, 5.0), np.arange(9.0)) * self.factor / (1 + count)
        return LatentSubgoal(tokens=tokens.astype(np.float32), observation_stamp_s=observation.stamp_s, producer="toy")


def test_features_that_are_scaled_and_padding_that_shows_are_named() -> None:
    arm = fake_embodiment(2)
    seen = arm.fake_observation(np.random.default_rng(0), instruction=WORDS)
    example = PlannerExample(observation=seen, subgoal=FeatureToy().plan(seen))
    check_planner(FeatureToy(), arm, instruction=WORDS, other_instruction="touch", examples=[example])
    with pytest.raises(NotConforming, match=r"3 times what is expected; the root of their width is 3: .* twice"):
        check_planner(FeatureToy(factor=3.0), arm, instruction=WORDS, examples=[example])
    for words, other in ((WORDS, "touch"), (WORDS, None), ("touch", None), ("", None)):
        with pytest.raises(NotConforming, match="is padding masked everywhere"):
            check_planner(FeatureToy(padded=True), arm, instruction=words, other_instruction=other)
    check_planner(FeatureToy(padded=True), arm, instruction=WORDS, other_instruction=WORDS)


def test_a_planner_of_closed_words_is_asked_for_others_that_it_knows() -> None:
    class Closed(FeatureToy):
        def plan(self, observation: Observation) -> LatentSubgoal:
            {WORDS: 0, "touch": 1}[observation.instruction]
            return super().plan(observation)

    check_planner(Closed(), fake_embodiment(2), instruction=WORDS, other_instruction="touch")
    with pytest.raises(NotConforming, match=r"KeyError .* on 'touch the', which was made of .* Give other_instruction"):
        check_planner(Closed(), fake_embodiment(2), instruction=WORDS)


def test_a_vision_language_model_that_reads_its_padding_is_found_without_other_words() -> None:
    made = test_families.make("paligemma")
    backbone: Any = made.network.backbone
    arguments = backbone._arguments

    def all_count(pixels: torch.Tensor, words: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
        return {**arguments(pixels, words, mask), "attention_mask": torch.ones_like(mask)}

    backbone._arguments = all_count
    with pytest.raises(NotConforming, match="is padding masked everywhere"):
        check_planner(made, robot(("head",), test_families.SIDE, 4), instruction=WORDS)


@pytest.fixture(scope="module", params=["pi0", "pi05", "smolvla"])
def recorded(request: pytest.FixtureRequest) -> tuple[str, ActorExample]:
    """What an actor that is right gives, with where its sampling began."""
    known = joint_actor(request.param)
    known.reset(seed=5)
    noise = known._held_noise_AU[:, : ARM.num_actions]
    seen = ARM.fake_observation(np.random.default_rng(2), stamp_s=1.0)
    told = known.subgoal_spec.fake_subgoal(np.random.default_rng(3), stamp_s=0.5)
    known.reset(seed=5)
    rows = known.act(seen, told).rows
    start = known.statistics.action.denormalize(noise.astype(np.float64))
    return request.param, ActorExample(observation=seen, subgoal=told, rows=rows, start=start, seed=5)


def refuse_actor(made: Any, example: ActorExample, message: str) -> None:
    with pytest.raises(NotConforming, match=message):
        check_actor(made, examples=[example])


def test_an_actor_that_is_right_passes(recorded: tuple[str, ActorExample]) -> None:
    family, example = recorded
    check_actor(joint_actor(family), examples=[example])


def test_flow_in_the_wrong_direction_is_named(recorded: tuple[str, ActorExample]) -> None:
    family, example = recorded
    made = joint_actor(family)
    other = JointExpert(made.config.model_copy(update={"time_direction": "to-data"}))
    other.load_state_dict(made.expert.state_dict())
    refuse_actor(made.with_expert(other), example, "flow time runs in the wrong direction")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (np.ones_like, "padding leaks into its actions"),
        (np.logical_not, "mask the wrong way round"),
    ],
)
def test_a_mask_that_is_ignored_or_inverted_is_named(
    recorded: tuple[str, ActorExample], read: Callable[[Any], Any], message: str
) -> None:
    made = joint_actor(recorded[0])
    arrays = made._arrays

    class Reading:
        def read(self, subgoal: LatentSubgoal | None) -> tuple[Any, Any]:
            values, mask = arrays.read(subgoal)
            return values, mask if subgoal is None or subgoal.mask is None else read(mask)

    made._arrays = Reading()  # type: ignore[assignment]
    with pytest.raises(NotConforming, match=message):
        check_actor(made)


@pytest.mark.parametrize("family", ["pi0", "smolvla"])
def test_a_mask_that_is_taken_for_a_length_is_named(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = JointExpert.remember

    def first(expert: JointExpert, subgoal_BPK: torch.Tensor, mask_BK: torch.Tensor) -> Any:
        ordered_BK, _ = mask_BK.sort(dim=-1, descending=True)
        return whole(expert, subgoal_BPK, ordered_BK)

    monkeypatch.setattr(JointExpert, "remember", first)
    with pytest.raises(NotConforming, match=r"leaves out between others: .* taken for a length"):
        check_actor(joint_actor(family))


def test_a_mask_whose_first_token_is_taken_for_granted_is_named() -> None:
    class Toy(PoseActor):
        def act(
            self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
        ) -> ActionChunk:
            chunk = super().act(observation, subgoal, prefix)
            return chunk if subgoal is None else replace(chunk, rows=chunk.rows + float(subgoal.tokens[0, 0]))

    toy = Toy(fake_embodiment(2), SubgoalSpec(num_tokens=4, dim=9), np.zeros(2))
    with pytest.raises(NotConforming, match="leaves out before the others: padding leaks"):
        check_actor(toy)


def test_words_that_are_scaled_twice_behind_a_readout_are_refused() -> None:
    """Not named: what a learned readout makes of them is no multiple of anything."""
    embodiment = robot(("head",), test_families.SIDE, 4)
    seen = embodiment.fake_observation(np.random.default_rng(1), stamp_s=1.0, instruction="touch")
    example = PlannerExample(observation=seen, subgoal=test_families.make("smolvlm").plan(seen))
    made = test_families.make("smolvlm")
    check_planner(made, embodiment, instruction=WORDS, examples=[example])
    embedding = made.network.backbone.word_embedding
    embedding.register_forward_hook(lambda _module, _given, out: out * out.shape[-1] ** 0.5)
    refuse_planner(made, example, embodiment, "numbers that are off by up to")


class Reordered:
    """An actor whose rows are changed."""

    def __init__(self, known: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.known, self.change = known, change
        self.embodiment, self.subgoal_spec = known.embodiment, known.subgoal_spec
        self.horizon, self.dt_s, self.reset = known.horizon, known.dt_s, known.reset

    def act(self, observation: Observation, subgoal: LatentSubgoal | None, prefix: Any = None) -> ActionChunk:
        chunk: ActionChunk = self.known.act(observation, subgoal, prefix)
        return replace(chunk, rows=self.change(chunk.rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows * 2.0 + 1.0, "statistics are applied twice"),
        (lambda rows: np.roll(rows, 1, axis=1), r"columns \[1, "),
        (lambda rows: np.roll(rows, 1, axis=0), "late by one"),
        (lambda rows: rows[::-1].copy(), "reverse order"),
        (lambda rows: rows + np.random.default_rng(0).normal(size=rows.shape), "off by up to"),
    ],
)
def test_rows_that_are_off_in_a_usual_way_are_named(
    recorded: tuple[str, ActorExample], change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    family, example = recorded
    refuse_actor(Reordered(joint_actor(family), change), example, message)


def test_rows_that_are_no_numbers_are_said_to_be_none(recorded: tuple[str, ActorExample]) -> None:
    family, example = recorded
    with pytest.raises(NotConforming, match="it gave rows that are not finite"):
        check_actor(joint_actor(family), examples=[example], sample=lambda told: told.rows * np.nan)
