"""Steps in words: the head's words and likelihoods, and how they come into the planner's prompt."""

import copy
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint
from dualsys.errors import CheckpointError, ConfigError
from dualsys.messages import FloatArray, Observation, TokenArray
from dualsys.planner.language_head import LanguageHead
from dualsys.planner.subtask_config import SubtaskConfig
from dualsys.planner.subtask_planner import HEAD_CONFIG, HEAD_WEIGHTS, SubtaskPlanner, config_for, save_head
from dualsys.planner.tokenization import extended_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner
from dualsys.testing import check_planner
from tests.unit.planner.saved import saved
from tests.unit.planner.test_vlm_planner import image, make_planner

LONG = "touch the red one and then please tap the green block"
STEPS = ("touch the red block", "please tap the green one")


@pytest.fixture(scope="module")
def planner() -> VLMPlanner:
    return make_planner()


def head_for(planner: VLMPlanner, **changes: object) -> LanguageHead:
    torch.manual_seed(1)
    sizes = {"width": 32, "sense_width": 16, "num_heads": 2, "depth": 1, **changes}
    config = config_for(planner, state_size=2).model_copy(update=sizes)
    return LanguageHead(config, planner.network.backbone.word_embedding.weight, planner.tokenizer).eval()


@pytest.fixture(scope="module")
def taught(planner: VLMPlanner) -> LanguageHead:
    """A head that has learned one sentence by heart."""
    head = head_for(planner)
    optimizer = torch.optim.Adam(head.words.parameters(), lr=0.01)
    for _ in range(40):
        loss = head.loss([LONG] * 3, ["", *STEPS], [*STEPS, ""])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return head


def test_the_head_says_what_it_was_taught(taught: LanguageHead) -> None:
    assert [taught.next_step(LONG, before) for before in ("", *STEPS)] == [*STEPS, ""]


@pytest.mark.parametrize("change", [{"pad_token": "<eos>"}, {"pad_token": None}, {"bos_token": None}])
def test_a_head_learns_where_words_end_whatever_tokens_the_tokenizer_lacks(
    planner: VLMPlanner, change: dict[str, str | None]
) -> None:
    """Llama's pads with the end's token, Qwen's has none for a beginning."""
    head, said = head_for(planner), ([LONG] * 2, ["", STEPS[0]], ["", STEPS[1]])
    expected = head.loss(*said).item(), head.log_likelihoods(LONG, "", ["", *STEPS])
    tokenizer = copy.deepcopy(planner.tokenizer)
    for name, token in change.items():
        setattr(tokenizer, name, token)
    other = LanguageHead(head.config, head.words_VE, tokenizer).eval()
    other.load_state_dict(head.state_dict())
    found = other.loss(*said).item(), other.log_likelihoods(LONG, "", ["", *STEPS])
    if "bos_token" not in change:
        assert found[0] == pytest.approx(expected[0], abs=1e-6)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
    assert other.next_step(LONG, "") is not None


def test_what_it_says_is_what_it_finds_likeliest(taught: LanguageHead) -> None:
    logs = taught.log_likelihoods(LONG, STEPS[0], ["", STEPS[0], STEPS[1]])
    assert int(np.argmax(logs)) == 2
    assert np.exp(logs).sum() <= 1 + 1e-9, "different texts are exclusive: their probabilities add up to 1 at most"


def test_likelihood_is_the_sum_over_words(planner: VLMPlanner) -> None:
    """By hand: word after word through the decoder; and company in the batch changes nothing."""
    head = head_for(planner)
    ids = head.writing([STEPS[1]])[0]
    reading = head.reading([LONG], [STEPS[0]])
    with torch.inference_mode():
        read = head.words.read(head.words_VE[reading.ids_BS], reading.kind_BS, reading.place_BS)
        total = 0.0
        for count in range(1, len(ids)):
            logits = head.words.write(read, reading.kind_BS, head.words_VE[ids[None, :count]])[0, -1]
            total += float(logits.double().log_softmax(-1)[ids[count]])
    alone, among = (
        head.log_likelihoods(LONG, STEPS[0], steps)[-1] for steps in ([STEPS[1]], [STEPS[0] + " " + LONG, STEPS[1]])
    )
    assert alone == pytest.approx(total, abs=1e-4)
    assert among == pytest.approx(alone, abs=1e-4)


def test_padding_is_not_read(planner: VLMPlanner) -> None:
    head = head_for(planner)
    reading = head.reading([LONG, STEPS[0]], ["", ""])
    alone = head.reading([STEPS[0]], [""])
    written = head.words_VE[head.writing([STEPS[0]])[:, :-1]]
    both = head.words.write(head._read(reading), reading.kind_BS, written.expand(2, -1, -1))[1]
    single = head.words.write(head._read(alone), alone.kind_BS, written)[0]
    torch.testing.assert_close(both, single, atol=1e-4, rtol=1e-4)


def test_words_are_bounded_in_number_and_in_time(planner: VLMPlanner) -> None:
    head = head_for(planner, max_step_tokens=3)
    with torch.no_grad():
        head.words.out.bias[head._end] = -1e9  # never ends by itself
    said = head.next_step(LONG, "")
    assert said is not None
    assert len(planner.tokenizer.encode(said, add_special_tokens=False)) <= 6
    assert head_for(planner, max_seconds=1e-9).next_step(LONG, "") is None
    shipped = resources.files("dualsys") / "checkpoints" / "humanoid-table" / HEAD_CONFIG
    for config in (head.config, SubtaskConfig.model_validate_json(shipped.read_text(encoding="utf-8"))):
        assert config.max_seconds == 1.0, "bounded where nothing is said, too"


def test_words_come_back_from_their_tokens(planner: VLMPlanner) -> None:
    """Of words that a tokenizer learned later, too: such a token swallows the space before it."""
    head = head_for(planner)
    head.tokenizer = extended_tokenizer(planner.tokenizer, ["pick up the crate"])
    for text in (*STEPS, "pick up the red crate"):
        assert head._text(head._ids(text)) == text


def test_special_tokens_are_no_words(planner: VLMPlanner) -> None:
    """That of an image, in a prompt, would ask for one more image than there is."""
    head = head_for(planner)
    image_id = planner.tokenizer.convert_tokens_to_ids("<image>")
    assert head._text([image_id, *head._ids("red"), image_id]) == "red"


class Script(LanguageHead):
    """Words from a list; a step is done when the first joint says so."""

    def next_step(self, instruction: str, before: str) -> str | None:
        steps = [part.strip() for part in instruction.split(" and then ")]
        number = 0 if not before else steps.index(before) + 1
        return steps[number] if number < len(steps) else ""

    def progress(
        self, tokens_KC: TokenArray, state_X: FloatArray, velocity_X: FloatArray, since_s: float
    ) -> tuple[float, float]:
        return min(1.0, max(0.0, float(state_X[0]))), float(state_X[0])


def scripted(planner: VLMPlanner, **changes: object) -> SubtaskPlanner:
    config = config_for(planner, state_size=2).model_copy(update={"width": 32, "sense_width": 16, **changes})
    return SubtaskPlanner(planner, Script(config, planner.network.backbone.word_embedding.weight, planner.tokenizer))


def seen(stamp_s: float, done: float = 0.0, instruction: str = f"{STEPS[0]} and then {STEPS[1]}") -> Observation:
    return Observation(stamp_s=stamp_s, state=np.array([done, 0.0]), images={"head": image()}, instruction=instruction)


def begun(planner: VLMPlanner, **changes: object) -> SubtaskPlanner:
    """Which has found the first step's words behind a plan that was without."""
    subtasks = scripted(planner, **changes)
    assert subtasks.plan(seen(-0.2)).text == ""
    return subtasks


def test_nobody_waits_for_the_first_words_either(planner: VLMPlanner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an episode, or of another instruction: its first latent is of the sentence as it stands."""
    subtasks = scripted(planner)
    find, asked = subtasks.head.next_step, list[tuple[str, str]]()

    def noted(instruction: str, before: str) -> str | None:
        asked.append((instruction, before))
        return find(instruction, before)

    monkeypatch.setattr(subtasks.head, "next_step", noted)
    for instruction in (f"{STEPS[0]} and then {STEPS[1]}", f"{STEPS[1]} and then {STEPS[0]}"):
        observation = seen(0.0, instruction=instruction)
        first = subtasks.plan(observation)
        assert (first.text, first.progress, asked) == ("", None, [])
        np.testing.assert_array_equal(first.tokens, planner.plan(observation).tokens)
        subtasks.reflect()
        assert asked == [(instruction, "")]
        assert subtasks.plan(observation).text == instruction.split(" and then ")[0]
        assert len(asked) == 1
        subtasks.reset()
        asked.clear()


def test_words_that_were_late_are_tried_again(
    planner: VLMPlanner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    subtasks = scripted(planner)
    find, late = subtasks.head.next_step, iter([True, True, False])
    monkeypatch.setattr(subtasks.head, "next_step", lambda *told: None if next(late) else find(*told))
    assert [subtasks.plan(seen(0.2 * i)).text for i in range(4)] == ["", "", "", STEPS[0]]
    assert subtasks.late_words == 2
    assert [record.getMessage() for record in caplog.records] == [
        "words of the next step were late and dropped, 1 times so far: over 1 s of the processor's time"
    ]


def test_a_done_step_is_followed_by_the_next_in_the_next_prompt(planner: VLMPlanner) -> None:
    subtasks = begun(planner, patience_s=0.6)
    plans = [subtasks.plan(seen(0.2 * i, done)) for i, done in enumerate([0.2, 0.9, 0.3, 0.9, 0.1, 0.1])]
    # At 0.2 s the step is too young to be done; at 0.6 s it is, and the observation after it has the new words.
    assert [plan.text for plan in plans] == [STEPS[0]] * 4 + [STEPS[1]] * 2
    assert [plan.progress for plan in plans] == [0.0, 0.2, 0.9, 0.3, 0.0, 0.1]
    for plan in plans:
        told = planner.plan(seen(0.0, instruction=plan.text))
        np.testing.assert_array_equal(plan.tokens, told.tokens)


def test_so_many_in_a_row_must_be_sure(planner: VLMPlanner) -> None:
    subtasks = begun(planner, patience_s=0.0, in_a_row=2)
    plans = [subtasks.plan(seen(0.2 * i, done)) for i, done in enumerate([0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9])]
    assert [plan.text for plan in plans] == [STEPS[0]] * 4 + [STEPS[1]] * 3, "the last step stays"


def test_reflecting_early_or_late_gives_the_same(planner: VLMPlanner) -> None:
    said = []
    for early in (True, False):
        subtasks = scripted(planner, patience_s=0.0)
        run = []
        for i in range(5):
            plan = subtasks.plan(seen(0.2 * i, 0.9))
            if early:
                subtasks.reflect()
                subtasks.reflect()  # nothing is left: once is enough
            run.append((plan.text, plan.progress))
        said.append(run)
    assert said[0] == said[1]
    assert [text for text, _ in said[0]] == ["", STEPS[0], *[STEPS[1]] * 3]


def test_reset_and_other_words_begin_anew(planner: VLMPlanner) -> None:
    subtasks = begun(planner, patience_s=0.0)
    assert [subtasks.plan(seen(0.2 * i, 1.0)).text for i in range(2)] == list(STEPS)
    assert [subtasks.plan(seen(0.4, instruction=STEPS[1])).text for _ in range(2)] == ["", STEPS[1]]
    subtasks.reset()
    assert [subtasks.plan(seen(0.6)).text for _ in range(2)] == ["", STEPS[0]]
    for _ in range(2):
        plain = subtasks.plan(seen(0.8, instruction=""))
        assert (plain.text, plain.progress) == ("", None)


def test_the_planner_conforms(planner: VLMPlanner, taught: LanguageHead) -> None:
    joints = (Joint(name="a", lower=-1, upper=1), Joint(name="b", lower=-1, upper=1))
    camera = CameraSpec(name="head", height=32, width=32)
    arm = EmbodimentSpec(name="arm", joints=joints, state_names=("a", "b"), cameras=(camera,))
    check_planner(SubtaskPlanner(planner, taught), arm, instruction=LONG)


def test_a_head_is_kept_beside_a_planner_that_stays_as_it_was(
    planner: VLMPlanner, taught: LanguageHead, tmp_path: Path
) -> None:
    checkpoint = saved(planner, tmp_path / "c")
    with pytest.raises(CheckpointError, match="no language head"):
        SubtaskPlanner.from_checkpoint(checkpoint)
    digest = checkpoint.module_digest(checkpoint.manifest.planner)
    save_head(taught, checkpoint.folder)
    assert (checkpoint.folder / HEAD_WEIGHTS).stat().st_mode & 0o777 == 0o644
    opened = SubtaskPlanner.from_checkpoint(Checkpoint.open(checkpoint.folder))
    assert [opened.plan(seen(0.0, instruction=LONG)).text for _ in range(2)] == ["", STEPS[0]]
    assert Checkpoint.open(checkpoint.folder).module_digest(checkpoint.manifest.planner) == digest
    np.testing.assert_array_equal(
        VLMPlanner.from_checkpoint(checkpoint).plan(seen(0.0)).tokens, planner.plan(seen(0.0)).tokens
    )
    (checkpoint.folder / HEAD_CONFIG).write_text(taught.config.model_copy(update={"width": 64}).model_dump_json())
    with pytest.raises(CheckpointError, match=HEAD_WEIGHTS):
        SubtaskPlanner.from_checkpoint(checkpoint)


def test_other_cuts_are_refused(planner: VLMPlanner, taught: LanguageHead) -> None:
    features = make_planner()
    features.config = features.config.model_copy(update={"cut": "features"})
    with pytest.raises(ConfigError, match="cut `readout`"):
        SubtaskPlanner(features, taught)


def test_a_config_refuses_what_means_nothing() -> None:
    with pytest.raises(ValueError, match="sure"):
        SubtaskConfig(vocabulary_size=1, embedding_width=1, token_dim=1, state_size=1, sure=2.0)


def test_observations_are_left_as_they_are(planner: VLMPlanner) -> None:
    first = seen(0.0)
    before = replace(first)
    scripted(planner).plan(first)
    assert first.instruction == before.instruction
