"""Every family of vision-language models through the one planner: transformers' real classes, tiny, random weights."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from dualsys.checkpoint import Checkpoint
from dualsys.errors import ConfigError
from dualsys.messages import LatentSubgoal, Observation
from dualsys.planner.backbone import Backbone, marks_of
from dualsys.planner.config import ReadoutConfig, VLMPlannerConfig
from dualsys.planner.families import FAMILIES, UNSUPPORTED, family_of
from dualsys.planner.preprocessing import images_to_pixels
from dualsys.planner.tiny_architectures import LAYERS, TINY, VARIANTS, tiny_architecture
from dualsys.planner.tokenization import train_tokenizer
from dualsys.planner.vlm_planner import VLMPlanner
from tests.unit.planner.saved import saved

SENTENCES = ["touch the red block", "please tap the green one, if you can"]
READOUT = ReadoutConfig(num_tokens=3, dim=8, width=32, depth=1, num_heads=2)
SIDE = 48
EVERY = pytest.mark.parametrize("name", list(TINY))
WITHOUT_KEYS = ("qwen3_5", "lfm2_vl")
"""Some of whose layers are no attention."""


def make(name: str, **changes: Any) -> VLMPlanner:
    torch.manual_seed(0)
    size = SIDE if family_of(VARIANTS.get(name, name)).takes_any_size else None
    config = VLMPlannerConfig(
        backbone=name,
        architecture=tiny_architecture(name, SIDE),
        image_size=size,
        readout=READOUT,
        max_text_tokens=12,
        **changes,
    )
    built = VLMPlanner.build(config, train_tokenizer(SENTENCES, marks=marks_of(name)))
    if name == "gemma3":  # whose fresh projector is zeros: blind until it has learned
        model: Any = built.network.backbone.model
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.1)
    return built


@cache
def planner(name: str) -> VLMPlanner:
    return make(name)


def picture(seed: int, size: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def seen(words: str = SENTENCES[0], seed: int = 0) -> Observation:
    return Observation(stamp_s=2.0, state=np.zeros(1), images={"head": picture(seed)}, instruction=words)


def run(name: str, backbone: Backbone, **options: Any) -> Any:
    """transformers' own run of the whole model on two prompts, one of them padded."""
    prompt = planner(name).prompt(SENTENCES)
    pixels = images_to_pixels(np.stack([picture(0), picture(1)]), SIDE)
    model: Any = backbone.model
    with torch.inference_mode():
        return model.model(**backbone._arguments(pixels, prompt.input_ids_BS, prompt.mask_BS), **options)


@EVERY
def test_early_exit_gives_the_bits_of_the_full_run(name: str) -> None:
    whole = planner(name).network.backbone
    full = run(name, whole, output_hidden_states=True, use_cache=False)
    prompt = planner(name).prompt(SENTENCES)
    pixels = images_to_pixels(np.stack([picture(0), picture(1)]), SIDE)
    with torch.inference_mode():
        for layer in range(1, LAYERS):
            early = Backbone(whole.model, exit_layer=layer, image_size=planner(name).config.image_size)
            assert torch.equal(early(pixels, prompt.input_ids_BS, prompt.mask_BS), full.hidden_states[layer])
        # Of the last layer, too, what it gives itself: transformers' last entry is behind the decoder's norm already.
        last = Backbone(whole.model, exit_layer=LAYERS, image_size=planner(name).config.image_size)
        hidden = last(pixels, prompt.input_ids_BS, prompt.mask_BS)
        decoder = whole._decoder()
        norm = decoder.embedding_norm if name == "lfm2_vl" else decoder.norm
        assert not torch.equal(hidden, full.hidden_states[LAYERS])
        assert torch.equal(norm(hidden), full.hidden_states[LAYERS])
        assert torch.equal(whole(pixels, prompt.input_ids_BS, prompt.mask_BS), full.last_hidden_state)


@EVERY
def test_keys_and_values_are_the_cache_s_or_there_are_none(name: str) -> None:
    whole = planner(name).network.backbone
    if name in WITHOUT_KEYS:
        with pytest.raises(ConfigError, match="keep no keys and values; take `readout` or `features`"):
            whole.prefix_spec()
        return
    cached = run(name, whole, use_cache=True, past_key_values=transformers.DynamicCache()).past_key_values
    early = Backbone(whole.model, exit_layer=2, image_size=planner(name).config.image_size)
    prompt = planner(name).prompt(SENTENCES)
    pixels = images_to_pixels(np.stack([picture(0), picture(1)]), SIDE)
    with torch.inference_mode():
        keys, values = early.keys_values(pixels, prompt.input_ids_BS, prompt.mask_BS)
    spec = early.prefix_spec()
    assert len(keys) == len(values) == spec.layers == 2
    for layer in range(2):
        assert keys[layer].shape == (2, spec.heads, prompt.mask_BS.shape[1], spec.head_dim)
        assert torch.equal(keys[layer], cached.layers[layer].keys)
        assert torch.equal(values[layer], cached.layers[layer].values)


@pytest.mark.parametrize(
    ("published", "told"),
    [
        (
            {"global_head_dim": 64},
            r"keys are \(2, 32\) .* below layer 2 and \(2, 64\) in it; take an exit_layer of 2 or less",
        ),
        (
            {"num_kv_shared_layers": 1, "layer_types": ["sliding_attention", "full_attention", "full_attention"]},
            "layers 2 and up share keys and values of lower ones; take an exit_layer of 2 or less",
        ),
    ],
)
def test_gemma_4_gives_the_prefix_of_layers_that_are_alike(published: dict[str, Any], told: str) -> None:
    kwargs = tiny_architecture("gemma4", SIDE)
    kwargs["text_config"] |= published
    whole = VLMPlanner.build(
        VLMPlannerConfig(backbone="gemma4", architecture=kwargs, readout=READOUT, max_text_tokens=12),
        train_tokenizer(SENTENCES, marks=marks_of("gemma4")),
    ).network.backbone
    with pytest.raises(ConfigError, match=told):
        whole.prefix_spec()
    early = Backbone(whole.model, exit_layer=2)
    prompt = planner("gemma4").prompt(SENTENCES)
    pixels = images_to_pixels(np.stack([picture(0), picture(1)]), SIDE)
    with torch.inference_mode():
        keys, _ = early.keys_values(pixels, prompt.input_ids_BS, prompt.mask_BS)
    spec = early.prefix_spec()
    assert [tuple(layer.shape) for layer in keys] == [(2, spec.heads, prompt.mask_BS.shape[1], spec.head_dim)] * 2


@EVERY
def test_a_batch_gives_what_its_observations_give_alone_and_both_senses_count(name: str) -> None:
    observations = [seen(), seen(SENTENCES[1], 1), seen("tap", 2)]
    alone = [planner(name).plan(observation).tokens for observation in observations]
    together = planner(name).plan_batch(observations)
    for tokens, subgoal in zip(alone, together, strict=True):
        np.testing.assert_allclose(subgoal.tokens, tokens, atol=1e-5)
    assert not np.allclose(planner(name).plan(seen(seed=5)).tokens, alone[0], atol=1e-4), "blind"
    assert not np.allclose(planner(name).plan(seen(SENTENCES[1])).tokens, alone[0], atol=1e-4), "deaf"


@EVERY
def test_a_checkpoint_brings_back_the_same_bits(name: str, tmp_path: Path) -> None:
    again = VLMPlanner.from_checkpoint(saved(planner(name), tmp_path / "c"))
    assert np.array_equal(again.plan(seen()).tokens, planner(name).plan(seen()).tokens)


@EVERY
def test_a_family_s_name_alone_is_a_configuration(name: str) -> None:
    config = VLMPlannerConfig(backbone=name, readout=READOUT)
    built = VLMPlanner.build(config, train_tokenizer(SENTENCES, marks=marks_of(name)))
    assert built.network.backbone.num_image_tokens == 64
    assert built.config.architecture is not None, "a checkpoint of it is built the same when the tiny one has changed"


@EVERY
def test_the_backbone_can_be_frozen_or_tuned_in_part(name: str) -> None:
    backbone = make(name).network.backbone
    backbone.tune_last_layers(1)
    tuned = {key for key, value in backbone.named_parameters() if value.requires_grad}
    layers: Any = backbone._decoder().layers
    assert len(tuned) == len(list(layers[LAYERS - 1].parameters()))
    assert all(f"layers.{LAYERS - 1}." in key for key in tuned)
    with pytest.raises(ConfigError, match=f"tune_layers is 9, {LAYERS} layers"):
        backbone.tune_last_layers(9)


def sent(subgoal: LatentSubgoal) -> LatentSubgoal:
    from dualsys.bridge.wire import SubgoalCodec

    return SubgoalCodec().decode(SubgoalCodec().encode(subgoal))


@pytest.mark.parametrize("name", ["paligemma", "qwen3_vl", "gemma4", "qwen3_5"])
def test_features_are_the_hidden_states_the_picture_s_first(name: str) -> None:
    cut = make(name, cut="features")
    backbone, spec = cut.network.backbone, cut.subgoal_spec
    subgoal = sent(cut.plan(seen()))
    prompt = cut.prompt(SENTENCES[:1])
    with torch.inference_mode():
        hidden = backbone(images_to_pixels(picture(0)[None], SIDE), prompt.input_ids_BS, prompt.mask_BS)[0].numpy()
    is_image = prompt.input_ids_BS[0].numpy() == backbone.image_token_id
    assert subgoal.tokens.shape == (spec.num_tokens, spec.dim)
    assert subgoal.mask is not None
    assert subgoal.mask.sum() == len(is_image)
    images = backbone.num_image_tokens
    np.testing.assert_array_equal(subgoal.tokens[:images], hidden[is_image])
    np.testing.assert_array_equal(subgoal.tokens[images : len(is_image)], hidden[~is_image])
    assert not subgoal.tokens[len(is_image) :].any()


@pytest.mark.parametrize("name", ["paligemma", "smolvlm", "qwen3_vl", "gemma3"])
def test_a_prefix_crosses_the_bridge_as_keys_and_values(name: str) -> None:
    cut = make(name, cut="prefix", exit_layer=2)
    spec = cut.subgoal_spec
    assert spec.prefix is not None
    subgoals = [sent(subgoal) for subgoal in cut.plan_batch([seen(), seen("tap", 1)])]
    for subgoal, alone in zip(subgoals, [cut.plan(seen()), cut.plan(seen("tap", 1))], strict=True):
        shape = (spec.prefix.layers, spec.prefix.heads, spec.num_tokens, spec.prefix.head_dim)
        assert subgoal.keys is not None
        assert subgoal.values is not None
        assert alone.keys is not None
        assert subgoal.mask is not None
        assert subgoal.keys.shape == subgoal.values.shape == shape
        kept = subgoal.mask
        np.testing.assert_allclose(subgoal.keys[:, :, kept], alone.keys[:, :, kept], atol=1e-5)
    with pytest.raises(ConfigError, match="has no readout"):
        cut.network.look(images_to_pixels(picture(0)[None], SIDE), cut.prompt(SENTENCES[:1]))


PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "paligemma": ("SiglipImageProcessorPil", {"size": {"height": SIDE, "width": SIDE}}),
    "smolvlm": ("SmolVLMImageProcessorPil", {"do_image_splitting": False, "size": {"longest_edge": SIDE},
                                              "max_image_size": {"longest_edge": SIDE}}),
    "idefics3": ("Idefics3ImageProcessorPil", {"do_image_splitting": False, "size": {"longest_edge": SIDE},
                                                "max_image_size": {"longest_edge": SIDE}}),
    "qwen2_vl": ("Qwen2VLImageProcessorPil", {"patch_size": 6, "min_pixels": SIDE**2, "max_pixels": SIDE**2}),
    "qwen2_5_vl": ("Qwen2VLImageProcessorPil", {"patch_size": 6, "min_pixels": SIDE**2, "max_pixels": SIDE**2}),
    "qwen3_vl": ("Qwen2VLImageProcessorPil", {"patch_size": 6, "min_pixels": SIDE**2, "max_pixels": SIDE**2,
                                               "image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
    "gemma3": ("Gemma3ImageProcessorPil", {"size": {"height": SIDE, "width": SIDE}}),
    "gemma4": ("Gemma4ImageProcessorPil", {"patch_size": 6, "pooling_kernel_size": 2, "max_soft_tokens": 70}),
    "internvl": ("GotOcr2ImageProcessorPil", {"size": {"height": SIDE, "width": SIDE}, "crop_to_patches": False,
                                               "image_mean": [0.485, 0.456, 0.406],
                                               "image_std": [0.229, 0.224, 0.225]}),
    "llava": ("CLIPImageProcessorPil", {"size": {"shortest_edge": SIDE},
                                         "crop_size": {"height": SIDE, "width": SIDE}}),
    "mistral3": ("PixtralImageProcessorPil", {"patch_size": {"height": 12, "width": 12},
                                               "size": {"longest_edge": SIDE}}),
}  # fmt: skip
"""transformers' own preprocessing without torchvision. LFM2-VL has none: its layout is tested beside Gemma 4's."""


@pytest.mark.parametrize("name", list(PROCESSORS))
def test_pixels_are_those_of_the_family_s_processor(name: str) -> None:
    kind, options = PROCESSORS[name]
    shown = picture(0, 96 if name == "gemma4" else SIDE)  # what Gemma 4's fewest tokens are made of
    theirs = getattr(transformers, kind)(**options)(images=[Image.fromarray(shown)], return_tensors="pt")
    prompt = planner(name).prompt(SENTENCES[:1])
    ours = planner(name).network.backbone._arguments(images_to_pixels(shown[None], len(shown)), *prompt)
    shared = [key for key in theirs if key in ours]
    assert "pixel_values" in shared
    for key in shared:
        mine, value = ours[key], theirs[key]
        if name == "gemma4":
            value = value[:, : mine.shape[1]]  # behind the picture it is padding
        torch.testing.assert_close(mine.reshape(value.shape).to(value.dtype), value, rtol=0, atol=2e-6)


def test_what_is_not_supported_says_why() -> None:
    assert not set(UNSUPPORTED) & set(FAMILIES)
    for name, reason in UNSUPPORTED.items():
        with pytest.raises(ConfigError, match=f"'{name}' is not supported: {reason[:30]}"):
            family_of(name)
    with pytest.raises(ConfigError, match=r"Did you mean 'qwen3_vl'\?.*a family is added by a few lines"):
        family_of("qwen3-vl")
    with pytest.raises(ConfigError, match="no token '<\\|vision_start\\|>'"):
        VLMPlanner.build(VLMPlannerConfig(backbone="qwen3_vl"), train_tokenizer(SENTENCES))


@pytest.mark.parametrize(
    ("name", "size", "message"), [("qwen3_vl", 50, "use 48"), ("paligemma", 64, f"takes {SIDE}; leave it out")]
)
def test_a_size_of_picture_that_does_not_fit_is_refused(name: str, size: int, message: str) -> None:
    config = make(name).config.model_copy(update={"image_size": size})
    with pytest.raises(ConfigError, match=message):
        VLMPlanner.build(config, train_tokenizer(SENTENCES, marks=marks_of(name)))


def test_a_pretrained_folder_of_any_family_is_one_line(tmp_path: Path) -> None:
    model: Any = planner("smolvlm").network.backbone.model
    model.save_pretrained(tmp_path)
    planner("smolvlm").tokenizer.save_pretrained(str(tmp_path))
    built = VLMPlanner.build(VLMPlannerConfig(backbone=str(tmp_path), readout=READOUT))
    loaded: Any = built.network.backbone.model
    assert torch.equal(
        loaded.get_decoder().layers[0].mlp.up_proj.weight, model.get_decoder().layers[0].mlp.up_proj.weight
    )
    assert isinstance(saved(built, tmp_path / "c"), Checkpoint)


def llava(encoder: str, strategy: str, side: int = SIDE) -> Backbone:
    architecture = tiny_architecture("llava", side)
    architecture["vision_config"] |= {"model_type": encoder}
    architecture["vision_feature_select_strategy"] = strategy
    config = VLMPlannerConfig(backbone="llava", architecture=architecture, readout=READOUT)
    return VLMPlanner.build(config, train_tokenizer(SENTENCES)).network.backbone


@pytest.mark.parametrize(
    ("encoder", "strategy", "processor"),
    [
        ("clip_vision_model", "default", transformers.CLIPImageProcessorPil),
        ("siglip_vision_model", "full", transformers.SiglipImageProcessorPil),
    ],
)
def test_a_llava_is_shown_pictures_as_its_vision_encoder_was(encoder: str, strategy: str, processor: Any) -> None:
    shown, prompt = picture(0), planner("llava").prompt(SENTENCES[:1])
    theirs = processor(do_resize=False, do_center_crop=False)(images=[Image.fromarray(shown)], return_tensors="pt")
    backbone = llava(encoder, strategy)
    pixels = images_to_pixels(shown[None], SIDE)
    ours = backbone._arguments(pixels, *prompt)["pixel_values"]
    torch.testing.assert_close(ours, theirs["pixel_values"], rtol=0, atol=2e-6)
    with torch.inference_mode():
        assert backbone(pixels, *prompt).isfinite().all()


def test_a_rest_of_a_picture_that_makes_no_patch_is_left_unread() -> None:
    """As of SigLIP's 384 pixels by 14, which published LLaVAs have; other sizes are refused still."""
    backbone = llava("siglip_vision_model", "full", SIDE + 5)
    assert (backbone.image_size, backbone.num_image_tokens) == (
        SIDE + 5,
        planner("llava").network.backbone.num_image_tokens,
    )
    prompt = planner("llava").prompt(SENTENCES[:1])
    pixels = images_to_pixels(picture(0, SIDE + 5)[None], SIDE + 5)
    with torch.inference_mode():
        whole = backbone(pixels, *prompt)
        pixels[..., SIDE:, :] = pixels[..., :, SIDE:] = 0.0
        assert torch.equal(backbone(pixels, *prompt), whole)
    with pytest.raises(ConfigError, match=f"takes {SIDE + 5}; leave it out"):
        Backbone(backbone.model, exit_layer=None, image_size=SIDE)


@pytest.mark.parametrize(
    ("encoder", "strategy", "told"),
    [
        ("pixtral", "full", "vision encoder is 'pixtral'.*known for clip_vision_model, siglip_vision_model only"),
        ("siglip_vision_model", "default", "vision_feature_select_strategy 'default'.* as with 'full'"),
        ("clip_vision_model", "full", "vision_feature_select_strategy 'full'.* as with 'default'"),
    ],
)
def test_a_llava_whose_pictures_nobody_knows_is_refused(encoder: str, strategy: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        llava(encoder, strategy)


def test_what_a_picture_becomes_is_where_its_pixels_are() -> None:
    for name in TINY:
        backbone = planner(name).network.backbone
        config: Any = backbone.model
        made = backbone.family.pixels(torch.zeros(2, 3, SIDE, SIDE, device="meta"), config.config)
        assert {value.device.type for value in made.values()} == {"meta"}, name


def test_what_qwen3_vl_adds_behind_a_layer_is_not_in_its_output() -> None:
    """Deepstack: transformers' hidden states are without it, and so is what leaves early; the next layer reads it."""
    backbone = planner("qwen3_vl").network.backbone
    read: list[torch.Tensor] = []
    layer: Any = backbone._decoder().layers[1]
    handle = layer.register_forward_pre_hook(lambda _module, inputs: read.append(inputs[0]))
    try:
        full = run("qwen3_vl", backbone, output_hidden_states=True, use_cache=False)
    finally:
        handle.remove()
    is_image = planner("qwen3_vl").prompt(SENTENCES).input_ids_BS == backbone.image_token_id
    assert torch.equal(read[0][~is_image], full.hidden_states[1][~is_image])
    assert not torch.isclose(read[0][is_image], full.hidden_states[1][is_image]).all()
