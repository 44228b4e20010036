"""Going on from a trained controller: what is carried over, frozen, adapted and merged."""

from pathlib import Path

import torch

from dualsys.app.training.adapters import Adapters
from dualsys.app.training.starting_weights import carry_over, carry_over_planner
from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
from dualsys.planner.tokenization import extended_tokenizer, load_tokenizer, train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner
from tests.unit.app.tiny_backbone import ARCHITECTURE

OLD, NEW = ["touch the red block", "touch the blue block"], ["hover above the red block"]


def make_planner(tokenizer: object, seed: int) -> VLMPlanner:
    torch.manual_seed(seed)
    config = VLMPlannerConfig(
        backbone="paligemma", architecture=ARCHITECTURE, readout=ReadoutConfig(num_tokens=2, dim=4, width=16)
    )
    return VLMPlanner.build(config, tokenizer)


def test_an_extended_tokenizer_says_old_sentences_as_before_and_new_words_in_one_token_each(tmp_path: Path) -> None:
    known = train_tokenizer(OLD)
    grown = extended_tokenizer(known, [*OLD, *NEW])
    for sentence in OLD:
        assert grown.encode(sentence) == known.encode(sentence)
    assert len(grown) == len(known) + 2
    (sentence,) = NEW
    assert len(grown.encode(sentence, add_special_tokens=False)) == len(sentence.split())
    assert len(known.encode(sentence, add_special_tokens=False)) > len(sentence.split())
    grown.save_pretrained(str(tmp_path))
    assert load_tokenizer(tmp_path).encode(sentence) == grown.encode(sentence)


def test_a_grown_planner_says_the_same_about_what_the_old_one_knew() -> None:
    known = make_planner(train_tokenizer(OLD), seed=0)
    grown = make_planner(extended_tokenizer(known.tokenizer, [*OLD, *NEW]), seed=1)
    pixels = torch.rand(2, 3, 16, 16) * 2 - 1
    before = grown.network(pixels, grown.prompt(OLD))
    carried = carry_over_planner(grown, known)
    assert carried.left_fresh == ()
    assert str(carried) == f"{len(known.network.state_dict())} tensors carried over, and room for 2 new words"
    with torch.no_grad():
        wanted, after = known.network(pixels, known.prompt(OLD)), grown.network(pixels, grown.prompt(OLD))
    assert not torch.allclose(before, wanted, atol=1e-2)
    torch.testing.assert_close(after, wanted)


def test_what_has_another_shape_stays_fresh() -> None:
    old = torch.nn.ModuleDict({"same": torch.nn.Linear(3, 2), "other": torch.nn.Linear(3, 2)})
    new = torch.nn.ModuleDict({"same": torch.nn.Linear(3, 2), "other": torch.nn.Linear(4, 2)})
    fresh = new["other"].weight.detach().clone()  # type: ignore[operator]
    result = carry_over(new, old)
    assert result.left_fresh == ("other.weight",)
    assert torch.equal(new["same"].weight, old["same"].weight)  # type: ignore[arg-type]
    assert torch.equal(new["other"].weight, fresh)  # type: ignore[arg-type]
    assert "fresh: other.weight" in str(result)


def test_merged_adapters_compute_what_the_adapted_module_does_in_the_plain_layout() -> None:
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.GELU(), torch.nn.Linear(5, 4))
    names = set(plain.state_dict())
    frozen = {name: value.clone() for name, value in plain.state_dict().items()}
    adapters = Adapters(plain, rank=2, whole=("2.bias",))
    trained = [(name, value) for name, value in plain.named_parameters() if value.requires_grad]
    assert all("lora_" in name or "2.bias" in name for name, _ in trained)
    optimizer = torch.optim.SGD([value for _, value in trained], lr=0.5)
    inputs = torch.randn(8, 6)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(plain(inputs).square().mean())
        optimizer.step()
    merged = adapters.merged()
    assert set(merged.state_dict()) == names
    torch.testing.assert_close(merged(inputs), plain(inputs))
    assert not torch.allclose(merged.state_dict()["0.weight"], frozen["0.weight"], atol=1e-4)
    torch.testing.assert_close(plain.state_dict()["0.base_layer.weight"], frozen["0.weight"])
