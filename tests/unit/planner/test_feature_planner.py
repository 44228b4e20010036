"""Planners of feature tokens: Eagle and a cut Qwen3-VL, small, of transformers' own classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from einops import rearrange
from transformers import PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from dualsys.checkpoint import FORMAT, Checkpoint, Manifest, ModuleEntry, write_manifest
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError, ConfigError, InvalidObservation
from dualsys.messages import Observation
from dualsys.planner.causal_mask import causal_mask
from dualsys.planner.eagle import Eagle, join_patches
from dualsys.planner.feature_backbones import build_backbone
from dualsys.planner.feature_config import (
    EAGLE_PROMPT,
    QWEN3_VL_PROMPT,
    EagleConfig,
    FeaturePlannerConfig,
    ImagesConfig,
    Qwen3VLConfig,
)
from dualsys.planner.feature_images import area_weights, kept_shape, shown_image
from dualsys.planner.feature_planner import FeaturePlanner
from dualsys.planner.feature_prompt import formalized
from dualsys.planner.qwen3_vl import Qwen3VL
from dualsys.planner.tokenization import train_tokenizer
from dualsys.testing import fake_embodiment

WORDS = ["touch the red block", "tap the green one and then the blue one"]
TOKENIZER: PreTrainedTokenizerBase = train_tokenizer([*WORDS, "user assistant system You are a helpful"])
IMAGE = TOKENIZER.encode("<image>", add_special_tokens=False)[0]
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "vocab_size": 512,
}
VISION: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "patch_size": 8,
    "image_size": 32,
}
QWEN_VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_heads": 2,
    "num_position_embeddings": 16,
    "out_hidden_size": 32,
    "patch_size": 8,
    "deepstack_visual_indexes": [0],
}
EAGLE = EagleConfig(vision=VISION, text=TEXT, select_layer=2, image_token_id=IMAGE)
QWEN = Qwen3VLConfig(
    architecture={
        "image_token_id": IMAGE,
        "video_token_id": 509,
        "vision_start_token_id": 510,
        "vision_end_token_id": 511,
        "text_config": {
            **TEXT,
            "rope_scaling": {"mrope_interleaved": True, "mrope_section": [4, 2, 2], "rope_type": "default"},
        },
        "vision_config": QWEN_VISION,
    },
    select_layer=2,
)
ROBOT = fake_embodiment(2).model_copy(
    update={"cameras": (CameraSpec(name="head", height=40, width=48), CameraSpec(name="wrist", height=32, width=32))}
)

OPENCV = (
    [[140, 74, 187, 118], [154, 69, 60, 95], [121, 114, 159, 95], [185, 112, 89, 146]],
    [[167, 200, 109, 141], [108, 160, 152, 180], [122, 121, 184, 163], [207, 81, 203, 90]],
    [[169, 170, 161, 142], [148, 99, 77, 81], [112, 95, 71, 42], [63, 158, 145, 24]],
)


def config(kind: str, **changes: Any) -> FeaturePlannerConfig:
    return FeaturePlannerConfig(
        **{
            "backbone": EAGLE if kind == "eagle" else QWEN,
            "cameras": ("head", "wrist"),
            "images": ImagesConfig(size=32),
            "prompt": EAGLE_PROMPT if kind == "eagle" else QWEN3_VL_PROMPT,
            "num_tokens": 192,
            **changes,
        }
    )


def planner(kind: str, **changes: Any) -> FeaturePlanner:
    torch.manual_seed(0)
    return FeaturePlanner.build(config(kind, **changes), TOKENIZER)


def look(words: str = WORDS[0], seed: int = 0) -> Observation:
    return ROBOT.fake_observation(np.random.default_rng(seed), instruction=words)


@pytest.mark.parametrize("kind", ["eagle", "qwen3_vl"])
def test_a_batch_of_unequal_prompts_is_each_alone_and_padding_is_masked_zeros(kind: str) -> None:
    ours = planner(kind)
    seen = [look(WORDS[0], 0), look(WORDS[1], 1)]
    batch = ours.plan_batch(seen)
    for subgoal, observation in zip(batch, seen, strict=True):
        alone = ours.plan(observation)
        assert subgoal.mask is not None
        assert alone.mask is not None
        np.testing.assert_array_equal(subgoal.mask, alone.mask)
        np.testing.assert_allclose(subgoal.tokens, alone.tokens, atol=1e-4)
        assert not subgoal.tokens[~subgoal.mask].any()
    counts = [int(subgoal.mask.sum()) for subgoal in batch if subgoal.mask is not None]
    assert counts[0] < counts[1] < ours.config.num_tokens


@pytest.mark.parametrize(("kind", "each"), [("eagle", 16), ("qwen3_vl", 4)])
def test_tokens_of_images_come_first(kind: str, each: int) -> None:
    ours = planner(kind)
    assert ours.num_image_tokens == 2 * each
    before, after = look(seed=0), look(seed=0)
    after.images["wrist"][:] = 255 - after.images["wrist"]
    changed = (ours.plan(before).tokens != ours.plan(after).tokens).any(axis=1)
    assert not changed[:each].any()
    assert changed[each : 2 * each].all()


def test_the_prompt_is_the_originals() -> None:
    ours = planner("eagle")
    text = str(TOKENIZER.decode(ours._prompt("Touch the red block.")))
    pictures = "".join(f"<image {index}><img>{'<image>' * 16}</img>" for index in (1, 2))
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    expected = f"{system}<|im_start|>user\n{pictures}Touch the red block.<|im_end|>\n<|im_start|>assistant\n"
    assert text.replace(" ", "") == expected.replace(" ", "")
    assert formalized("Touch the RED block, now!") == "touch the red block now"


def test_long_instructions_are_cut_and_odd_ones_refused() -> None:
    ours = planner("qwen3_vl", max_text_tokens=4)
    assert len(ours._prompt("touch " * 100)) == len(ours._prompt("touch " * 50))
    with pytest.raises(InvalidObservation, match="holds the planner's image token"):
        planner("eagle").plan(look("<image>"))
    with pytest.raises(ConfigError, match=r"num_tokens is 10, but a prompt without any instruction has \d+ tokens"):
        planner("eagle", num_tokens=10)
    with pytest.raises(InvalidObservation, match="looks through 'wrist'"):
        planner("eagle").plan(
            Observation(stamp_s=0.0, state=np.zeros(4), images={"head": np.zeros((8, 8, 3), np.uint8)})
        )


@pytest.mark.parametrize("kind", ["eagle", "qwen3_vl"])
def test_saved_and_loaded_it_plans_the_same(kind: str, tmp_path: Path) -> None:
    ours = planner(kind)
    manifest = Manifest(
        format=FORMAT,
        name="features",
        embodiment=ROBOT,
        subgoal=ours.subgoal_spec,
        planner=ModuleEntry(name="features"),
        actor=ModuleEntry(name="hold"),
        versions={},
    )
    entry = ours.save(Checkpoint(folder=tmp_path, manifest=manifest))
    write_manifest(tmp_path, manifest.model_copy(update={"planner": entry}))
    loaded = FeaturePlanner.from_checkpoint(Checkpoint.open(tmp_path))
    np.testing.assert_array_equal(loaded.plan(look()).tokens, ours.plan(look()).tokens)
    narrower = {**entry.config, "backbone": {**entry.config["backbone"], "select_layer": 1}}
    write_manifest(tmp_path, manifest.model_copy(update={"planner": entry.model_copy(update={"config": narrower})}))
    with pytest.raises(CheckpointError, match="don't fit its config"):
        FeaturePlanner.from_checkpoint(Checkpoint.open(tmp_path))


def test_patches_are_joined_in_the_originals_orders() -> None:
    grid = torch.arange(4 * 6 * 3.0).reshape(4, 6, 3)
    flat = rearrange(grid, "h w v -> 1 (h w) v")
    shuffled = join_patches(flat, 4, 6, EAGLE.model_copy(update={"downsample": "shuffle"}))
    unshuffled = join_patches(flat, 4, 6, EAGLE.model_copy(update={"downsample": "unshuffle"}))
    corner = [grid[0, 0], grid[0, 1], grid[1, 0], grid[1, 1]]
    torch.testing.assert_close(shuffled[0, 0], torch.cat(corner))
    torch.testing.assert_close(unshuffled[0, 0], torch.stack(corner, dim=1).flatten())
    torch.testing.assert_close(shuffled[0, 4, :3], grid[2, 2])
    assert Eagle(EAGLE.model_copy(update={"downsample": "shuffle"})).tokens_of(32, 48) == 6


@torch.no_grad()
def test_siglip_2_of_the_same_weights_sees_what_siglip_sees() -> None:
    torch.manual_seed(0)
    one = Eagle(EAGLE).eval()
    two = Eagle(
        EAGLE.model_copy(
            update={
                "vision_kind": "siglip2",
                "vision": {k: v for k, v in VISION.items() if k != "image_size"} | {"num_patches": 16},
            }
        )
    ).eval()
    weights = one.state_dict()
    patch = "vision.embeddings.patch_embedding.weight"
    weights[patch] = rearrange(weights[patch], "v c p q -> v (p q c)")
    two.load_state_dict(weights)
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(two.look(pixels), one.look(pixels), atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["eagle", "qwen3_vl"])
def test_eager_and_sdpa_agree_on_padding_in_front_too(kind: str) -> None:
    backbone = EAGLE if kind == "eagle" else QWEN
    ids = torch.tensor([[41, 42, *[IMAGE] * (16 if kind == "eagle" else 4), 43, 44]])
    mask = torch.ones_like(ids)
    mask[:, :2] = 0
    features = []
    for attention in ("eager", "sdpa"):
        torch.manual_seed(0)
        model = build_backbone(backbone, attention)
        features.append(model(input_ids_BS=ids, mask_BS=mask, **model.pixels(torch.rand(1, 3, 32, 32))))
    torch.testing.assert_close(*features, atol=1e-5, rtol=1e-5)


def test_a_token_with_nothing_to_read_reads_everything_alike() -> None:
    mask = causal_mask(torch.tensor([[0, 1, 1]]), torch.float32)[0, 0]
    weights = torch.softmax(torch.randn(3, 3) + mask, dim=-1)
    torch.testing.assert_close(weights[0], torch.full((3,), 1 / 3))
    torch.testing.assert_close(weights[1], torch.tensor([0.0, 1.0, 0.0]))


@pytest.mark.parametrize(("before", "after"), [(12, 4), (10, 4), (7, 7), (5, 8)])
def test_an_area_resize_keeps_what_is_even_and_small_ones_keep_the_mean(before: int, after: int) -> None:
    weights = area_weights(before, after, blends=after > before)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    if after <= before:
        np.testing.assert_allclose(weights.sum(axis=0), after / before, rtol=1e-5)
    if before % after == 0:
        expected = np.kron(np.eye(after), np.full((1, before // after), after / before))
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_an_area_resize_is_opencvs() -> None:
    """`cv2.resize(picture, (4, 4), interpolation=cv2.INTER_AREA)` of opencv-python-headless 5.0.0.93."""
    rows = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    found = [_shown(picture) for picture in (rows[0], rows[1, :3], rows[2, :3, :3])]
    for picture, expected in zip(found, OPENCV, strict=True):
        np.testing.assert_allclose(picture, expected, atol=1)


def _shown(picture: np.ndarray) -> np.ndarray:
    shown = shown_image(picture, ImagesConfig(size=4, resample="area"))
    return ((shown[0] + 1) * 127.5).round().numpy()


def test_patches_of_qwen3_vl_are_those_of_its_own_processor() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    whole = {"shortest_edge": 1, "longest_edge": 10**7}
    theirs = Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3, size=whole
    )(images=[picture], return_tensors="pt")
    ours = Qwen3VL(QWEN).pixels(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1.0)
    torch.testing.assert_close(ours["patches_QE"], theirs["pixel_values"])
    torch.testing.assert_close(ours["grid_I3"], theirs["image_grid_thw"])


def test_images_are_cut_about_their_middle_and_span_minus_one_to_one() -> None:
    picture = np.zeros((40, 40, 3), dtype=np.uint8)
    picture[4:36, 4:36] = 255
    cut = shown_image(picture, ImagesConfig(size=16, crop=0.8))
    torch.testing.assert_close(cut, torch.ones(3, 16, 16))
    again = shown_image(picture, ImagesConfig(size=20, crop=0.8, resize_first=True, resample="area"))
    torch.testing.assert_close(again, torch.ones(3, 20, 20))
    assert shown_image(np.zeros((3, 5, 3), dtype=np.uint8), ImagesConfig(size=8)).min() == -1.0


@pytest.mark.parametrize("shape", [(10, 16), (16, 10), (16, 11)])
def test_black_bars_make_a_square(shape: tuple[int, int]) -> None:
    white = np.full((*shape, 3), 255, dtype=np.uint8)
    shown = shown_image(white, ImagesConfig(size=16, letterbox=True, resize_first=True, resample="area"))
    bars = (16 - min(shape)) // 2
    expected = torch.full((16, 16), -1.0)
    expected[slice(bars, bars + shape[0]) if shape[0] < 16 else slice(None)] = 1.0
    if shape[1] < 16:
        expected[:] = -1.0
        expected[:, bars : bars + shape[1]] = 1.0
    torch.testing.assert_close(shown, expected.expand(3, 16, 16))


@pytest.mark.parametrize(
    ("before", "shown"), [((480, 640), 352), ((540, 640), 288), ((512, 768), 384), ((64, 64), 256)]
)
def test_a_picture_in_its_own_form_is_shown_in_whole_steps(before: tuple[int, int], shown: int) -> None:
    """By GR00T N1.7's recipe and Qwen's processor: 480 by 640 is 256 by 341, 243 by 323, 256 by 340, 256 by 352."""
    config = ImagesConfig(size=256, crop=0.95, resize_first=True, resample="area")
    assert kept_shape(*before, config, step=32) == (256, shown)
    assert kept_shape(*before[::-1], config, step=32) == (shown, 256)
    half = np.zeros((*before, 3), dtype=np.uint8)
    half[:, before[1] // 2 :] = 255
    picture = shown_image(half, config.model_copy(update={"shape": (256, shown)}))
    assert picture.shape == (3, 256, shown)
    torch.testing.assert_close(picture[:, :, : shown // 2 - 4], torch.full((3, 256, shown // 2 - 4), -1.0))
    torch.testing.assert_close(picture[:, :, shown // 2 + 4 :], torch.full((3, 256, shown // 2 - 4), 1.0))


def test_the_last_resize_of_a_picture_in_its_own_form_is_qwens_own() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 43, 3), dtype=np.uint8)
    limits = {"shortest_edge": 1, "longest_edge": 10**7}
    theirs = Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3, size=limits
    )(images=[picture], return_tensors="pt")
    config = ImagesConfig(size=32, resize_first=True, resample="area")
    shape = kept_shape(32, 43, config, step=16)
    ours = Qwen3VL(QWEN).pixels(shown_image(picture, config.model_copy(update={"shape": shape}))[None])
    torch.testing.assert_close(ours["grid_I3"], theirs["image_grid_thw"])
    torch.testing.assert_close(ours["patches_QE"], theirs["pixel_values"], atol=1.01 / 127.5, rtol=0)
