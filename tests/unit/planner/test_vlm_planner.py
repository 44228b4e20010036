"""The VLM planner on transformers' real PaliGemma with a tiny configuration."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForImageTextToText

from dualsys.checkpoint import Checkpoint, write_manifest
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import CheckpointError, ConfigError, InvalidObservation, SpecMismatch
from dualsys.messages import Observation
from dualsys.planner.backbone import Backbone
from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
from dualsys.planner.preprocessing import build_prompt, images_to_pixels
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner
from tests.unit.planner.saved import saved

SMALL: dict[str, Any] = {
    "projection_dim": 32,
    "vision_config": {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 256,
    },
}
SENTENCES = ["touch the red block", "please tap the green one, if you can"]


def make_planner(exit_layer: int | None = None) -> VLMPlanner:
    torch.manual_seed(0)
    config = VLMPlannerConfig(
        backbone="paligemma",
        architecture=SMALL,
        exit_layer=exit_layer,
        readout=ReadoutConfig(num_tokens=3, dim=8, num_heads=2),
    )
    return VLMPlanner.build(config, train_tokenizer(SENTENCES))


def image(seed: int = 0, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def look(instruction: str = SENTENCES[0], picture: np.ndarray | None = None) -> Observation:
    picture = image() if picture is None else picture
    return Observation(
        stamp_s=2.0, state=np.zeros(1), images={"head": picture}, image_stamps_s={"head": 1.9}, instruction=instruction
    )


def test_a_subgoal_has_the_spec_s_shape_and_the_image_s_stamp() -> None:
    planner = make_planner()
    subgoal = planner.plan(look())
    assert subgoal.tokens.shape == (planner.subgoal_spec.num_tokens, planner.subgoal_spec.dim) == (3, 8)
    assert subgoal.tokens.dtype == np.float32
    assert subgoal.observation_stamp_s == 1.9


def test_it_reads_both_pixels_and_words() -> None:
    planner = make_planner()
    base = planner.plan(look()).tokens
    assert np.array_equal(base, planner.plan(look()).tokens)
    assert not np.allclose(base, planner.plan(look(picture=image(1))).tokens, atol=1e-4)
    assert not np.allclose(base, planner.plan(look(instruction=SENTENCES[1])).tokens, atol=1e-4)


def test_a_batch_gives_what_its_observations_give_alone_though_words_and_pictures_differ_in_length() -> None:
    planner = make_planner(exit_layer=2)
    seen = [
        look(),
        look(SENTENCES[1], image(1, 48)),
        look("tap", image(2)),
        look(" ".join(SENTENCES * 9), image(3, 20)),  # cut at the longest that is read
    ]
    alone = [planner.plan(observation) for observation in seen]
    for order in ([0, 1, 2, 3], [3, 0], [2, 1, 0, 3, 1]):
        batch = planner.plan_batch([seen[index] for index in order])
        for index, subgoal in zip(order, batch, strict=True):
            np.testing.assert_allclose(subgoal.tokens, alone[index].tokens, rtol=1e-4, atol=1e-5)
            assert subgoal.observation_stamp_s == alone[index].observation_stamp_s
    with pytest.raises(InvalidObservation, match="looks through 'head'"):
        planner.plan_batch([seen[0], Observation(stamp_s=0.0, state=np.zeros(1))])


@pytest.mark.parametrize("layer", [1, 2])
def test_early_exit_gives_the_bits_of_the_full_run(layer: int) -> None:
    planner = make_planner()
    pixels = images_to_pixels(image()[None], 32)
    prompt = planner.prompt([SENTENCES[0]])
    model: Any = planner.network.backbone.model
    full = model.model(
        pixel_values=pixels,
        input_ids=prompt.input_ids_BS,
        attention_mask=prompt.mask_BS,
        token_type_ids=torch.zeros_like(prompt.input_ids_BS),
        output_hidden_states=True,
    )
    early = Backbone(planner.network.backbone.model, exit_layer=layer)
    calls = []
    handle = early._decoder().layers[layer].register_forward_hook(lambda *_: calls.append(1))
    assert torch.equal(early(pixels, prompt.input_ids_BS, prompt.mask_BS), full.hidden_states[layer])
    handle.remove()
    assert not calls, "layers after the exit must not run"


def test_gradients_flow_through_an_early_exit() -> None:
    planner = make_planner(exit_layer=1)
    planner.network(images_to_pixels(image()[None], 32), planner.prompt(SENTENCES[:1])).square().sum().backward()
    model: Any = planner.network.backbone.model
    used = model.get_decoder().layers
    assert used[0].mlp.up_proj.weight.grad is not None
    assert used[1].mlp.up_proj.weight.grad is None


def test_padding_does_not_change_a_subgoal() -> None:
    planner = make_planner()
    pixels = images_to_pixels(np.stack([image(), image(1)]), 32)
    with torch.inference_mode():
        together = planner.network(pixels, planner.prompt(SENTENCES))
        alone = planner.network(pixels[:1], planner.prompt(SENTENCES[:1]))
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=2e-6)


def test_the_prompt_is_paligemma_s() -> None:
    tokenizer = train_tokenizer(SENTENCES)
    head = make_planner().network.backbone.prompt_head(tokenizer)
    prompt = build_prompt(SENTENCES, tokenizer, head=head, max_text_tokens=64)
    first = prompt.input_ids_BS[0][prompt.mask_BS[0].bool()].tolist()
    assert first[:16] == [3] * 16
    assert first[16] == tokenizer.bos_token_id
    assert tokenizer.decode(first[17:]) == f" {SENTENCES[0]} \n"
    assert set(prompt.input_ids_BS[0][~prompt.mask_BS[0].bool()].tolist()) == {tokenizer.pad_token_id}


def test_unseen_words_survive_the_tokenizer() -> None:
    tokenizer = train_tokenizer(SENTENCES)
    words = "Poussez le cube écarlate"
    assert str(tokenizer.decode(tokenizer.encode(words, add_special_tokens=False))).strip() == words


def test_images_of_another_size_are_resized_and_scaled() -> None:
    flat = np.full((1, 50, 70, 3), 255, np.uint8)
    pixels = images_to_pixels(flat, 32)
    assert pixels.shape == (1, 3, 32, 32)
    torch.testing.assert_close(pixels, torch.ones_like(pixels))
    assert float(images_to_pixels(np.zeros((1, 32, 32, 3), np.uint8), 32).max()) == -1.0


def test_what_it_cannot_see_is_refused() -> None:
    planner = make_planner()
    with pytest.raises(InvalidObservation, match="looks through 'head'"):
        planner.plan(Observation(stamp_s=0.0, state=np.zeros(1)))
    with pytest.raises(InvalidObservation, match=r"shape \(32, 32\)"):
        planner.plan(look(picture=image()[:, :, 0]))


def test_a_checkpoint_brings_back_the_same_bits(tmp_path: Path) -> None:
    planner = make_planner()
    again = VLMPlanner.from_checkpoint(saved(planner, tmp_path / "c"))
    assert np.array_equal(planner.plan(look()).tokens, again.plan(look()).tokens)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    checkpoint = saved(make_planner(), tmp_path / "c")
    config = {**checkpoint.manifest.planner.config, "readout": {"num_tokens": 3, "dim": 8, "depth": 3, "num_heads": 2}}
    entry = checkpoint.manifest.planner.model_copy(update={"config": config})
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update={"planner": entry}))
    with pytest.raises(CheckpointError, match=r"missing: readout\.blocks\.2"):
        VLMPlanner.from_checkpoint(Checkpoint.open(checkpoint.folder))


def test_a_pretrained_folder_is_one_line_of_configuration(tmp_path: Path) -> None:
    """`google/paligemma-3b-pt-224` in the same layout, small: transformers' own files, read by name."""
    tokenizer = train_tokenizer(SENTENCES)
    text = {**SMALL["text_config"], "vocab_size": len(tokenizer)}
    config = AutoConfig.for_model("paligemma", **{**SMALL, "text_config": text, "image_token_id": 3})
    auto_class: Any = AutoModelForImageTextToText
    model = auto_class.from_config(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    planner = VLMPlanner.build(VLMPlannerConfig(backbone=str(tmp_path), readout=ReadoutConfig(num_tokens=2, dim=4)))
    backbone: Any = planner.network.backbone.model
    loaded = backbone.get_decoder().layers[0].mlp.up_proj.weight
    assert torch.equal(loaded, model.get_decoder().layers[0].mlp.up_proj.weight)
    assert planner.plan(look()).tokens.shape == (2, 4)
    checkpoint = saved(planner, tmp_path / "checkpoint")
    for file in tmp_path.iterdir():
        if file.is_file():
            file.unlink()
    again = VLMPlanner.from_checkpoint(checkpoint)
    assert np.array_equal(planner.plan(look()).tokens, again.plan(look()).tokens)


SPOILT = "model.language_model.layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda weights: weights.pop(SPOILT), rf"1 of its weights are missing or of another shape: {SPOILT}"),
        (lambda weights: weights.update({SPOILT: torch.ones(2, 2)}), rf"missing or of another shape: {SPOILT}"),
        (None, "could not be loaded: .*header"),
    ],
    ids=["missing", "of another shape", "cut short"],
)
def test_a_pretrained_folder_whose_weights_are_not_whole_is_refused(
    spoil: Callable[[dict[str, torch.Tensor]], Any] | None, message: str, tmp_path: Path
) -> None:
    """transformers draws at random what isn't there, and goes on."""
    planner, file = make_planner(), tmp_path / "model.safetensors"
    model: Any = planner.network.backbone.model
    model.save_pretrained(tmp_path)
    planner.tokenizer.save_pretrained(str(tmp_path))
    if spoil is None:
        file.write_bytes(file.read_bytes()[:1000])
    else:
        # Under the names of the class in memory, which it reads, too.
        weights = {name: value.contiguous() for name, value in model.state_dict().items() if "lm_head" not in name}
        spoil(weights)
        save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=message):
        VLMPlanner.build(VLMPlannerConfig(backbone=str(tmp_path)))


def test_a_tokenizer_without_padding_pads_with_what_is_masked() -> None:
    planner = make_planner()
    looked = [look("touch the red block"), look("go")]
    expected = [subgoal.tokens for subgoal in planner.plan_batch(looked)]
    planner.tokenizer.pad_token = None
    found = [subgoal.tokens for subgoal in planner.plan_batch(looked[::-1])][::-1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"backbone": "paligema", "architecture": SMALL}, "Did you mean 'paligemma'"),
        ({"backbone": "florence2", "architecture": SMALL}, "is not supported: it is an encoder-decoder"),
        ({"backbone": "/nowhere/at/all"}, "could not be loaded"),
        ({"backbone": "paligemma", "architecture": SMALL, "exit_layer": 9}, "has 3 layers"),
    ],
)
def test_backbones_that_cannot_be_built_say_why(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VLMPlanner.build(VLMPlannerConfig(**config), train_tokenizer(SENTENCES))


def test_tokens_of_another_training_are_another_contract() -> None:
    planner = make_planner()
    other = planner.config.model_copy(update={"schema_id": "another/run"})
    with pytest.raises(SpecMismatch, match="another/run"):
        planner.subgoal_spec.require_same(
            VLMPlanner.build(other, planner.tokenizer).subgoal_spec, ours="this", theirs="that"
        )


def test_a_configuration_with_an_unknown_key_is_a_checkpoint_error(tmp_path: Path) -> None:
    checkpoint = saved(make_planner(), tmp_path / "c")
    entry = checkpoint.manifest.planner
    entry = entry.model_copy(update={"config": {**entry.config, "surprise": 1}})
    write_manifest(checkpoint.folder, checkpoint.manifest.model_copy(update={"planner": entry}))
    with pytest.raises(CheckpointError, match=r"planner\.config does not fit: surprise"):
        VLMPlanner.from_checkpoint(Checkpoint.open(checkpoint.folder))


def test_a_device_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALSYS_DEVICE", "cuda:7")
    with pytest.raises(ConfigError, match=r"DUALSYS_DEVICE='cuda:7'.*it has cpu"):
        make_planner()
    monkeypatch.setenv("DUALSYS_DEVICE", "cpu")
    assert make_planner().network.backbone.device == torch.device("cpu")


def test_specs_follow_the_readout() -> None:
    assert make_planner().subgoal_spec == SubgoalSpec(num_tokens=3, dim=8)
