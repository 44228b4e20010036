import numpy as np
import pytest

from dualsys.sim_envs.perturbations.paraphrase import DISTRACTIONS, POLITE, SYNONYMS, Paraphrase


def reworded(words: Paraphrase, instruction: str, *, has_held_out: bool = False) -> set[str]:
    return {words.reworded(instruction, np.random.default_rng(seed), has_held_out=has_held_out) for seed in range(300)}


def test_an_order_is_asked_politely() -> None:
    asked = {form.format(task="open the drawer") for form in POLITE}
    assert reworded(Paraphrase(share=1.0), "open the drawer") == asked


def test_what_is_a_polite_sentence_already_stays_one() -> None:
    assert reworded(Paraphrase(share=1.0), "please open the drawer") == {"please open the drawer"}


def test_a_tasks_bare_name_stays() -> None:
    assert reworded(Paraphrase(share=1.0, held_out=True, distraction=True), "walker: walk") == {"walker: walk"}


def test_synonyms_take_the_place_of_held_out_words() -> None:
    said = reworded(Paraphrase(share=1.0, held_out=True), "pick up the milk")
    assert all("pick up" not in each and each.endswith(("the milk", "the milk please")) for each in said)
    assert len(said) == len(SYNONYMS["pick up"]) * len(POLITE)


def test_words_of_a_held_out_split_are_left_alone() -> None:
    words = Paraphrase(share=1.0, held_out=True)
    assert reworded(words, "pick up the milk", has_held_out=True) == {"pick up the milk"}
    aside = Paraphrase(share=1.0, held_out=True, distraction=True)
    expected = {each.format(task="pick up the milk") for each in DISTRACTIONS}
    assert reworded(aside, "pick up the milk", has_held_out=True) == expected


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_only_a_share_of_the_episodes_is_reworded(share: float) -> None:
    words = Paraphrase(share=share)
    changed = [
        words.reworded("open it", np.random.default_rng(seed), has_held_out=False) != "open it" for seed in range(1000)
    ]
    assert abs(np.mean(changed) - share) < 0.05
