"""Folders as publishers lay them out, around the fixtures' small weights; sizes that they name stand in config.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dualsys.planner.feature_config import EAGLE_PROMPT
from dualsys.planner.tokenization import train_tokenizer

FIXTURES = Path(__file__).parent / "fixtures"
WORDS = ("put the red cube on the blue plate", "touch the green ball", *([EAGLE_PROMPT.before, EAGLE_PROMPT.after] * 9))
WIDTH = 8


def raw_weights(name: str) -> dict[str, Tensor]:
    return load_file(FIXTURES / f"{name}.weights.safetensors")


def told(name: str) -> dict[str, Any]:
    return dict(json.loads((FIXTURES / f"{name}.json").read_text()))


def numbers(seed: int) -> dict[str, np.ndarray]:
    """Statistics of a quantity, none of them trivial."""
    generator = np.random.default_rng(seed)
    mean, std = generator.normal(size=WIDTH), generator.uniform(0.5, 2.0, WIDTH)
    low, high = mean - 2 * std, mean + 3 * std
    return {"mean": mean, "std": std, "min": low, "max": high, "q01": low + 0.1, "q99": high - 0.2}


def tokenizer_folder(folder: Path, words: tuple[str, ...] = WORDS, *, vocabulary: int = 360) -> Path:
    train_tokenizer(words, vocabulary_size=vocabulary).save_pretrained(str(folder))
    return folder


def lerobot_folder(folder: Path, name: str, *, key: str = "") -> Path:
    """As LeRobot writes one: `model.` in front, processors with statistics, pi's embedding under the head's name.

    `key` stands before the statistics' names, as some published ones have it.
    """
    config = told(name)
    folder.mkdir()
    weights = raw_weights(name)
    head = "paligemma_with_expert.paligemma.lm_head.weight"
    if head in weights:
        weights[head] = weights.pop("paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight")
    save_file({f"model.{key}": value.contiguous() for key, value in weights.items()}, folder / "model.safetensors")
    cameras = {f"observation.images.{camera}": {"type": "VISUAL", "shape": [3, 28, 28]} for camera in ("top", "wrist")}
    state = {"observation.state": {"type": "STATE", "shape": [WIDTH]}}
    action = {"action": {"type": "ACTION", "shape": [WIDTH]}}
    described = {**config, "type": config["policy"], "input_features": {**cameras, **state}, "output_features": action}
    (folder / "config.json").write_text(json.dumps({**described, **config.get("over", {})}))
    _processors(folder, config["policy"], "QUANTILES" if config["policy"] == "pi05" else "MEAN_STD", key)
    return folder


WORDS_STEP = {
    "pi0": "pi0_new_line_processor",
    "pi05": "pi05_prepare_state_tokenizer_processor_step",
    "smolvla": "smolvla_new_line_processor",
}


def _processors(folder: Path, policy: str, mode: str, key: str) -> None:
    """Every step that LeRobot 0.6.1 writes, and statistics of all of a dataset's columns, as it keeps them."""
    stored = {
        f"{key}{feature}.{kind}": torch.from_numpy(value).float()
        for feature, seed in (("observation.state", 1), ("action", 2))
        for kind, value in numbers(seed).items()
    }
    kinds = ("mean", "std", "count")
    stored |= {f"{column}.{kind}": torch.ones(1) for column in ("timestamp", "index") for kind in kinds}
    normal = {"eps": 1e-8, "norm_map": {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode}}
    words = {"max_length": 5, "tokenizer_name": "nowhere/none", "padding_side": "right"}
    before: dict[str, dict[str, Any]] = {
        "rename_observations_processor": {"rename_map": {}},
        "to_batch_processor": {},
        WORDS_STEP[policy]: {},
        "tokenizer_processor": words,
        "device_processor": {"device": "cpu", "float_dtype": None},
        "normalizer_processor": normal,
    }
    behind = {"unnormalizer_processor": normal, "device_processor": {"device": "cpu", "float_dtype": None}}
    for file, steps in (("policy_preprocessor", before), ("policy_postprocessor", behind)):
        written = [{"registry_name": name, "config": config} for name, config in steps.items()]
        for number, step in enumerate(written):
            if "normalizer" in str(step["registry_name"]):
                step["state_file"] = f"{file}_step_{number}_{step['registry_name']}.safetensors"
                save_file(stored, folder / str(step["state_file"]))
        (folder / f"{file}.json").write_text(json.dumps({"name": file, "steps": written}))


def change_step(folder: Path, name: str, **config: Any) -> None:
    """Settings of one of LeRobot's steps otherwise."""
    for path in folder.glob("policy_*.json"):
        stored = json.loads(path.read_text())
        for step in stored["steps"]:
            if step["registry_name"] == name:
                step["config"] |= config
        path.write_text(json.dumps(stored))


def openpi_folder(folder: Path, name: str) -> Path:
    """As openpi's converter writes one."""
    config = told(name)
    (folder / "assets" / "robot").mkdir(parents=True)
    save_file(raw_weights(name), folder / "model.safetensors")
    sizes = {key: config[key] for key in ("vlm", "expert", "vision", "vocab")}
    sizes |= {"action_dim": WIDTH, "action_horizon": config["chunk"], "steps": config["steps"]}
    (folder / "config.json").write_text(json.dumps(sizes))
    stats = {"state": numbers(1), "actions": numbers(2)}
    plain = {what: {kind: value.tolist() for kind, value in kinds.items()} for what, kinds in stats.items()}
    (folder / "assets" / "robot" / "norm_stats.json").write_text(json.dumps({"norm_stats": plain}))
    return folder


def groot_folder(folder: Path, name: str) -> Path:
    """As NVIDIA publishes one: in shards with an index, statistics by robot and part."""
    folder.mkdir()
    names = sorted(weights := raw_weights(name))
    half = len(names) // 2
    places: dict[str, str] = {}
    for index, some in enumerate((names[:half], names[half:]), start=1):
        file = f"model-0000{index}-of-00002.safetensors"
        save_file({key: weights[key] for key in some}, folder / file)
        places |= dict.fromkeys(some, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    (folder / "config.json").write_text(json.dumps(told(name) if "n1_7" in name else {**told(name), "shown_size": 28}))
    parts = {}
    for what, seed in (("state", 1), ("action", 2)):
        kinds = numbers(seed)
        arm, hand = slice(0, 6), slice(6, WIDTH)
        parts[what] = {
            part: {kind: value[where].tolist() for kind, value in kinds.items()}
            for part, where in (("arm", arm), ("hand", hand))
        }
    if "n1_7" in name:
        (folder / "statistics.json").write_text(json.dumps({"gr1": {**parts, "relative_action": {}}}))
        processor = {"processor_class": "Gr00tN1d7Processor", "processor_kwargs": groot_processor_words()}
        (folder / "processor_config.json").write_text(json.dumps(processor))
        (folder / "embodiment_id.json").write_text(json.dumps({"gr1": 1}))
    else:
        (folder / "experiment_cfg").mkdir()
        video = {"video": {"head": {"resolution": [28, 28], "channels": 3, "fps": 20}}}
        metadata = {"gr1": {"statistics": parts, "modalities": video}}
        (folder / "experiment_cfg" / "metadata.json").write_text(json.dumps(metadata))
        (folder / "embodiment_id.json").write_text(json.dumps({"gr1": 1}))
    return folder


def groot_processor_words() -> dict[str, Any]:
    """`processor_kwargs` with every name that N1.7's processor saves, of pictures as small as the fixture's."""
    plain = {"sin_cos_embedding_keys": None, "mean_std_embedding_keys": None, "action_configs": None}
    joints = {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None}
    now = {"delta_indices": [0], **plain}
    return {
        "modality_configs": {
            "gr1": {
                "video": {**now, "modality_keys": ["head"]},
                "state": {**now, "modality_keys": ["arm", "hand"]},
                "action": {
                    **plain,
                    "delta_indices": list(range(told("lerobot_groot_n1_7")["head"]["action_horizon"])),
                    "modality_keys": ["arm", "hand"],
                    "action_configs": [dict(joints), dict(joints)],
                },
                "language": {**now, "modality_keys": ["annotation.human.task_description"]},
            }
        },
        "image_crop_size": [29, 29],
        "image_target_size": [32, 32],
        "use_albumentations": True,
        "random_rotation_angle": None,
        "color_jitter_params": None,
        "shortest_image_edge": 32,
        "crop_fraction": 0.95,
        "letter_box_transform": False,
        "model_name": "nvidia/Cosmos-Reason2-2B",
        "model_type": "qwen",
        "formalize_language": True,
        "max_state_dim": 132,
        "max_action_dim": 132,
        "max_action_horizon": 40,
        "use_percentiles": True,
        "use_mean_std": False,
        "clip_outliers": True,
        "apply_sincos_state_encoding": False,
        "use_relative_action": True,
        "exclude_state": False,
        "state_dropout_prob": 0.2,
    }


def hollow_weights(file: Path, names: dict[str, Tensor], prefix: str = "") -> None:
    """A file of full size whose numbers are holes: nothing of it is on the disk but the header."""
    header: dict[str, Any] = {}
    end = 0
    for name, value in names.items():
        begin, end = end, end + 2 * value.numel()
        header[f"{prefix}{name}"] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        out.truncate(8 + len(text) + end)


def lerobot_words(policy: str, **more: Any) -> dict[str, Any]:
    """config.json as LeRobot's hub folders have it: sizes by name alone."""
    cameras = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
    seen = {f"observation.images.{camera}": {"type": "VISUAL", "shape": [3, 224, 224]} for camera in cameras}
    return {
        "type": policy,
        "n_obs_steps": 1,
        "input_features": {**seen, "observation.state": {"type": "STATE", "shape": [32]}},
        "output_features": {"action": {"type": "ACTION", "shape": [32]}},
        "chunk_size": 50,
        "n_action_steps": 50,
        "max_state_dim": 32,
        "max_action_dim": 32,
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"},
        **more,
    }
