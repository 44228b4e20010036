"""`PrefixPlanner`: one is in a batch what it is alone, and its prompts and pictures are the peers'."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from dualsys.checkpoint import Checkpoint, Manifest, ModuleEntry
from dualsys.embodiment import CameraSpec
from dualsys.errors import ConfigError, InvalidObservation
from dualsys.messages import LatentSubgoal
from dualsys.planner.prefix_config import PrefixImages, PrefixPlannerConfig, StateConfig
from dualsys.planner.prefix_images import image_to_square
from dualsys.planner.prefix_network import PrefixNetwork
from dualsys.planner.prefix_planner import PrefixPlanner
from dualsys.planner.prefix_prompt import normalized_state, prompt_text, prompt_tokens, state_bins
from dualsys.planner.tokenization import train_tokenizer
from dualsys.testing import check_planner, fake_embodiment

ARM = fake_embodiment(2).model_copy(
    update={"cameras": tuple(CameraSpec(name=name, height=24, width=36) for name in ("head", "wrist"))}
)
STATE = StateConfig(offset=(0.0,) * ARM.num_states, scale=(0.5,) * ARM.num_states, padded=8)
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "patch_size": 8,
    "image_size": 32,
}
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "vocab_size": 400,
}
PALIGEMMA = {"projection_dim": 16, "vision_config": {**VISION, "projection_dim": 16, "vision_use_head": False}}
SETTINGS: dict[str, dict[str, Any]] = {
    "pi0": {"family": "paligemma", "architecture": {**PALIGEMMA, "text_config": {**TEXT, "model_type": "gemma"}}},
    "pi05": {
        "family": "paligemma",
        "architecture": {**PALIGEMMA, "text_config": {**TEXT, "model_type": "gemma"}},
        "prompt": "words-and-state",
        "state": STATE,
        "max_text_tokens": 80,
    },
    "smolvla": {
        "family": "smolvlm",
        "architecture": {
            "vision_config": VISION,
            "text_config": {**TEXT, "model_type": "llama", "pad_token_id": 0},
            "scale_factor": 2,
            "image_token_id": 3,
        },
        "num_layers": 2,
        "begin": False,
        "scale_embeddings": True,
        "image_frame": ((5, 6), (5,)),
        "state": STATE,
        "state_token": True,
        "padded_length": 64,
        "images": PrefixImages(resize="pad-before"),
    },
}
each_family = pytest.mark.parametrize("family", SETTINGS)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(["pick up the red cube", "Task: , State: 0 1 2 3 4 5 6 7 8 9 128;\nAction: "])


def config(family: str, **changes: Any) -> PrefixPlannerConfig:
    settings = {"cameras": ("head", "wrist"), "optional_cameras": ("wrist",), "max_text_tokens": 16}
    return PrefixPlannerConfig(**{**settings, **SETTINGS[family], **changes})


def planner(family: str, tokenizer: PreTrainedTokenizerBase, **changes: Any) -> PrefixPlanner:
    torch.manual_seed(0)
    return PrefixPlanner.build(config(family, **changes), tokenizer)


def manifest(made: PrefixPlanner, entry: ModuleEntry) -> Manifest:
    return Manifest(
        format=1,
        name="prefix",
        embodiment=ARM,
        subgoal=made.subgoal_spec,
        planner=entry,
        actor=ModuleEntry(name="null"),
        versions={},
    )


def counting(subgoal: LatentSubgoal) -> np.ndarray:
    assert subgoal.keys is not None
    return subgoal.keys[:, :, subgoal.mask]


@each_family
def test_one_is_in_a_batch_what_it_is_alone(family: str, tokenizer: PreTrainedTokenizerBase) -> None:
    made, rng = planner(family, tokenizer), np.random.default_rng(0)
    first = ARM.fake_observation(rng, instruction="pick up the red cube")
    second = ARM.fake_observation(rng, instruction="pick")
    blind = replace(first, images={"head": first.images["head"]})
    for together, alone in zip(made.plan_batch([first, second, blind]), (first, second, blind), strict=True):
        np.testing.assert_allclose(counting(together), counting(made.plan(alone)), rtol=0, atol=1e-5)
    masks = [subgoal.mask for subgoal in made.plan_batch([first, second, blind])]
    assert all(mask is not None for mask in masks)
    counts = [int(np.sum(mask)) for mask in masks if mask is not None]
    assert counts[2] == counts[0] - made.config.image_tokens
    assert counts[1] < counts[0]


def test_the_state_is_in_the_prefix_where_it_is_told(tokenizer: PreTrainedTokenizerBase) -> None:
    seen = ARM.fake_observation(np.random.default_rng(0), instruction="pick")
    moved = replace(seen, state=seen.state + 0.2)
    for family, told in (("pi0", False), ("pi05", True), ("smolvla", True)):
        made = planner(family, tokenizer)
        ours, other = counting(made.plan(seen)), counting(made.plan(moved))
        assert (ours.shape == other.shape and np.allclose(ours, other)) != told
    made = planner("smolvla", tokenizer)
    ours, other = counting(made.plan(seen)), counting(made.plan(moved))
    # Nothing before the state's token sees it.
    np.testing.assert_array_equal(ours[:, :, :-1], other[:, :, :-1])


def test_a_missing_camera_is_refused_unless_it_may_be_missing(tokenizer: PreTrainedTokenizerBase) -> None:
    made, seen = planner("pi0", tokenizer), ARM.fake_observation(np.random.default_rng(0))
    with pytest.raises(InvalidObservation, match="looks through 'head'"):
        made.plan(replace(seen, images={"wrist": seen.images["wrist"]}))
    with pytest.raises(InvalidObservation, match="is told 2 states"):
        planner("smolvla", tokenizer).plan(replace(seen, state=np.zeros(5)))


@each_family
def test_it_is_saved_and_read(family: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    made = planner(family, tokenizer)
    entry = made.save(Checkpoint(folder=tmp_path, manifest=manifest(made, ModuleEntry(name="null"))))
    again = PrefixPlanner.from_checkpoint(Checkpoint(folder=tmp_path, manifest=manifest(made, entry)))
    assert again.config == made.config
    seen = ARM.fake_observation(np.random.default_rng(0), instruction="pick up")
    np.testing.assert_array_equal(counting(again.plan(seen)), counting(made.plan(seen)))


@pytest.mark.parametrize("family", ["pi0", "pi05"])
def test_the_original_precision_is_openpis(family: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """`to_bfloat16_for_selected_params`: patches, their places and the decoder's norms stay wide, nothing else."""
    made, wide = planner(family, tokenizer), planner(family, tokenizer)
    wide.network.load_state_dict(made.network.state_dict())
    made.use_original_precision()
    kept = {name for name, weight in made.network.named_parameters() if weight.dtype == torch.float32}
    vision, decoder = "model.vision_tower.embeddings.", "model.language_model."
    norms = {
        f"{decoder}layers.{layer}.{norm}.weight"
        for layer in range(TEXT["num_hidden_layers"])
        for norm in ("input_layernorm", "post_attention_layernorm")
    }
    patches = {f"{vision}patch_embedding.{part}" for part in ("weight", "bias")}
    assert kept == {*norms, *patches, f"{vision}position_embedding.weight", f"{decoder}norm.weight"}
    assert {weight.dtype for weight in made.network.parameters()} == {torch.float32, torch.bfloat16}
    seen: dict[str, torch.dtype] = {}
    tower: Any = made.network.model.vision_tower
    tower.embeddings.patch_embedding.register_forward_hook(lambda _, __, out: seen.update(patches=out.dtype))
    tower.encoder.register_forward_hook(lambda _, __, out: seen.update(tower=out.last_hidden_state.dtype))
    observation = replace(ARM.fake_observation(np.random.default_rng(0)), instruction="pick up the red cube")
    found, exact = (counting(each.plan(observation)) for each in (made, wide))
    assert seen == {"patches": torch.float32, "tower": torch.bfloat16}
    size = np.sqrt(np.mean(exact**2))
    assert 0.0 < np.sqrt(np.mean((found - exact) ** 2)) / size < 0.05
    check_planner(made, ARM, instruction="pick up the red cube")


def test_no_other_planner_has_an_original_precision(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ConfigError, match=r"of the pi family; a smolvlm plans in float32. Leave --planner-precision"):
        planner("smolvla", tokenizer).use_original_precision()


def test_states_are_told_in_openpis_bins() -> None:
    assert state_bins(np.array([-1.0, 0.0, 1.0, 0.999, -1.1, 0.004])) == [0, 128, 255, 255, -1, 128]
    told = normalized_state(np.array([0.5, -0.25]), STATE)
    np.testing.assert_array_equal(told, [1.0, -0.5, 0, 0, 0, 0, 0, 0])
    text = prompt_text(" pick_up\nit ", told[:3], config("pi05"))
    assert text == "Task: pick up it, State: 255 64 128;\nAction: "


def test_prompts_begin_and_end_as_the_peers(tokenizer: PreTrainedTokenizerBase) -> None:
    newline = tokenizer.encode("\n", add_special_tokens=False)
    tokens = prompt_tokens(prompt_text("pick up", None, config("pi0")), tokenizer, config("pi0"))
    words = tokenizer.encode("pick up", add_special_tokens=False)
    assert tokens == [tokenizer.bos_token_id, *words, *newline]
    short = config("pi0", max_text_tokens=2)
    assert prompt_tokens(prompt_text("pick up", None, short), tokenizer, short) == tokens[:2]
    tokens = prompt_tokens(prompt_text("pick up", None, config("smolvla")), tokenizer, config("smolvla"))
    assert tokens == tokenizer.encode("pick up\n", add_special_tokens=False)


def test_pictures_are_shown_whole_on_black() -> None:
    white = np.full((24, 36, 3), 255, dtype=np.uint8)
    around = image_to_square(white, 32, PrefixImages(resize="pad-around"))
    before = image_to_square(white, 32, PrefixImages(resize="pad-before"))
    stretched = image_to_square(white, 32, PrefixImages(resize="stretch"))
    assert (stretched == 1.0).all()
    rows = (around[0] == 1.0).all(dim=1)
    assert rows.sum() == 21  # 24 * 32 / 36, cut to a whole number
    assert rows[5:26].all()
    assert (around[:, ~rows] == -1.0).all()
    assert (before[0] == 1.0).all(dim=1)[-21:].all()
    assert (before[:, :-21] == -1.0).all()
    square = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    shown = image_to_square(square, 32, PrefixImages())
    np.testing.assert_allclose(shown.numpy().transpose(1, 2, 0), square / 127.5 - 1.0, atol=1e-6)


def test_a_config_that_cant_be_is_refused() -> None:
    with pytest.raises(ValueError, match="`state` must say"):
        config("smolvla", state=None)
    with pytest.raises(ValueError, match="names others"):
        config("pi0", optional_cameras=("tail",))
    with pytest.raises(ConfigError, match="num_layers is 9, the smolvlm's decoder has 3"):
        PrefixNetwork(config("smolvla", num_layers=9))
    spec = config("smolvla").subgoal_spec
    assert (spec.num_tokens, spec.dim) == (64, 0)
    assert spec.prefix is not None
    assert (spec.prefix.layers, spec.prefix.heads, spec.prefix.head_dim) == (2, 1, 8)
