"""LeRobot's side of `benchmarks.model_speed`: its pi0, pi0.5, SmolVLA and GR00T N1.7 at any size, weights random.

Runs where LeRobot is installed and dualsys is not. Reads `spec.json` and `inputs.safetensors` in the folder it is
given, writes the weights it drew to `weights.safetensors` in its own layout and the rows it samples from them to
`rows.safetensors`, says on a line of JSON what it built, then for every line it reads
(`{"part": "sample" | "whole", "calls": N}`) answers with the wall and processor seconds of each call.

`whole` is what its policy does for a chunk, from pictures and words as tensors; `sample` is the loop alone, on a prefix
that is kept. Its classes have the published sizes written into them; what is replaced here are these numbers.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Inputs = dict[str, Tensor]


class Parts(NamedTuple):
    """What is timed; both return rows `(1, A, U)`."""

    sample: Callable[[], Tensor]
    whole: Callable[[], Tensor]


def build_pi(spec: dict[str, Any], inputs: Inputs) -> tuple[Any, Callable[[], Parts]]:
    """pi0 or pi0.5."""
    from lerobot.policies.common.flow_matching import euler_integrate

    if spec["family"] == "pi0":
        from lerobot.policies.pi0 import modeling_pi0 as module
        from lerobot.policies.pi0.configuration_pi0 import PI0Config as Config

        model_class = module.PI0Pytorch
    else:
        from lerobot.policies.pi05 import modeling_pi05 as module
        from lerobot.policies.pi05.configuration_pi05 import PI05Config as Config

        model_class = module.PI05Pytorch
    sizes = {name: module.GemmaConfig(**spec[name]) for name in ("vlm", "expert")}

    def size_of(name: str) -> Any:
        return sizes["vlm" if name == "gemma_2b" else "expert"]

    paligemma, gemma = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM

    def sized_paligemma(config: Any) -> Any:
        config.text_config.vocab_size = config.image_token_index = config._vocab_size = spec["vocab"]
        for name, value in spec["vision"].items():
            setattr(config.vision_config, name, value)
        config.vision_config.projection_dim = config.projection_dim = spec["vlm"]["width"]
        return paligemma(config=config)

    def sized_gemma(config: Any) -> Any:
        config.vocab_size = spec["vocab"]
        return gemma(config=config)

    side = spec["vision"]["image_size"]
    config = Config(
        paligemma_variant="gemma_2b",
        action_expert_variant="gemma_300m",
        dtype="float32",
        chunk_size=spec["chunk"],
        n_action_steps=spec["chunk"],
        max_action_dim=spec["max_dim"],
        max_state_dim=spec["max_dim"],
        num_inference_steps=spec["steps"],
        image_resolution=(side, side),
        device=spec["device"],
    )
    with (
        mock.patch.object(module, "get_gemma_config", size_of),
        mock.patch.object(module, "PaliGemmaForConditionalGenerationWithPiGemma", sized_paligemma),
        mock.patch.object(module, "PiGemmaForCausalLM", sized_gemma),
    ):
        model = model_class(config)

    def parts() -> Parts:
        images, masks = _cameras(inputs)
        words = (inputs["tokens"], inputs["token_mask"])
        state = (inputs["state"],) if spec["family"] == "pi0" else ()

        def whole() -> Tensor:
            rows: Tensor = model.sample_actions(images, masks, *words, *state, noise=inputs["noise"])
            return rows

        embedded, pad, attends = model.embed_prefix(images, masks, *words)
        mask = module.prepare_attention_masks_4d(module.make_att_2d_masks(pad, attends))
        model.paligemma_with_expert.paligemma.model.language_model.config._attn_implementation = "eager"
        _, kept = model.paligemma_with_expert.forward(
            attention_mask=mask,
            position_ids=torch.cumsum(pad, dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[embedded, None],
            use_cache=True,
        )
        given = {"state": inputs["state"]} if spec["family"] == "pi0" else {}

        def sample() -> Tensor:
            rows: Tensor = euler_integrate(
                lambda x, t: model.denoise_step(**given, prefix_pad_masks=pad, past_key_values=kept, x_t=x, timestep=t),
                inputs["noise"],
                spec["steps"],
            )
            return rows

        return Parts(sample, whole)

    return model, parts


def build_smolvla(spec: dict[str, Any], inputs: Inputs) -> tuple[Any, Callable[[], Parts]]:
    """SmolVLA, its language model from a configuration instead of the hub."""
    from lerobot.policies.common.flow_matching import euler_integrate
    from lerobot.policies.smolvla import modeling_smolvla as module
    from lerobot.policies.smolvla import smolvlm_with_expert
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from transformers import SmolVLMConfig

    architecture = json.loads(json.dumps(spec["vlm"]))
    tokenizer = SimpleNamespace(fake_image_token_id=1, global_image_token_id=2)
    config = SmolVLAConfig(
        chunk_size=spec["chunk"],
        n_action_steps=spec["chunk"],
        max_action_dim=spec["max_dim"],
        max_state_dim=spec["max_dim"],
        num_steps=spec["steps"],
        num_vlm_layers=spec["num_vlm_layers"],
        load_vlm_weights=False,
        device=spec["device"],
    )
    with (
        mock.patch.object(
            smolvlm_with_expert.AutoConfig, "from_pretrained", return_value=SmolVLMConfig(**architecture)
        ),
        mock.patch.object(
            smolvlm_with_expert.AutoProcessor, "from_pretrained", return_value=SimpleNamespace(tokenizer=tokenizer)
        ),
    ):
        model = module.VLAFlowMatching(config)

    def parts() -> Parts:
        images, masks = _cameras(inputs)
        told = (images, masks, inputs["tokens"], inputs["token_mask"], inputs["state"])

        def whole() -> Tensor:
            rows: Tensor = model.sample_actions(*told, noise=inputs["noise"])
            return rows

        embedded, pad, attends = model.embed_prefix(*told[:4], state=inputs["state"])
        _, kept = model.vlm_with_expert.forward(
            attention_mask=module.make_att_2d_masks(pad, attends),
            position_ids=torch.cumsum(pad, dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[embedded, None],
            use_cache=True,
        )

        def sample() -> Tensor:
            rows: Tensor = euler_integrate(
                lambda x, t: model.denoise_step(prefix_pad_masks=pad, past_key_values=kept, x_t=x, timestep=t),
                inputs["noise"],
                spec["steps"],
            )
            return rows

        return Parts(sample, whole)

    return model, parts


def build_groot(spec: dict[str, Any], inputs: Inputs) -> tuple[Any, Callable[[], Parts]]:
    """GR00T N1.7; its loop alone begins behind the head's own attention over the features."""
    from lerobot.policies.groot import groot_n1_7 as module
    from transformers import Qwen3VLConfig
    from transformers.feature_extraction_utils import BatchFeature

    architecture = json.loads(json.dumps(spec["qwen3vl"]))
    with mock.patch.object(module, "_cosmos_reason2_qwen3_vl_config", return_value=Qwen3VLConfig(**architecture)):
        model = module.GR00TN17(module.GR00TN17Config(**spec["head"]), load_backbone_weights=False)
    head = model.action_head

    def parts() -> Parts:
        names = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw")
        seen = {name: inputs[name] for name in names}
        acting = BatchFeature(data={"state": inputs["state"][:, None], "embodiment_id": inputs["embodiment_id"]})

        def noise(*_: Any, **__: Any) -> Tensor:
            return inputs["noise"].clone()

        def whole() -> Tensor:
            with mock.patch.object(torch, "randn", noise):
                rows: Tensor = head.get_action(model.backbone(dict(seen)), acting)["action_pred"]
            return rows

        kept = model.backbone(dict(seen))
        features = head._encode_features(kept, acting)

        def sample() -> Tensor:
            with mock.patch.object(torch, "randn", noise):
                made = head.get_action_with_features(
                    backbone_features=features.backbone_features,
                    state_features=features.state_features,
                    embodiment_id=acting.embodiment_id,
                    backbone_output=kept,
                    action_input=acting,
                )
            rows: Tensor = made["action_pred"]
            return rows

        return Parts(sample, whole)

    return model, parts


BUILDERS = {"pi0": build_pi, "pi05": build_pi, "smolvla": build_smolvla, "groot_n1_7": build_groot}


def randomised(model: Any) -> None:
    """What begins at zero or one would hide differences."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))


def timed(call: Callable[[], Tensor], calls: int, device: str) -> dict[str, list[float]]:
    """Wall and processor seconds of each call."""
    wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
    wall_s, cpu_s = [], []
    for _ in range(calls):
        wait()
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        wait()
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
    return {"wall_s": wall_s, "cpu_s": cpu_s}


def _cameras(inputs: Inputs) -> tuple[list[Tensor], list[Tensor]]:
    names = sorted(name for name in inputs if name.startswith("image_") and name != "image_grid_thw")
    return [inputs[name] for name in names], [inputs[name.replace("image_", "seen_")] for name in names]


@torch.inference_mode()
def main(folder: Path, threads: int) -> None:
    """Build, write, then measure as told until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    torch.set_num_threads(threads)
    spec = json.loads((folder / "spec.json").read_text())
    device = spec["device"]
    inputs = {name: value.to(device) for name, value in load_file(folder / "inputs.safetensors").items()}
    torch.set_default_dtype(torch.float32)
    model, make_parts = BUILDERS[spec["family"]](spec, inputs)
    model = model.to(device=device, dtype=torch.float32).eval()
    randomised(model)
    # Tied weights are written under each of their names.
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    parts = make_parts()
    rows = {"sample": parts.sample().cpu()}
    if spec["whole"]:
        rows["whole"] = parts.whole().cpu()
    save_file(rows, folder / "rows.safetensors")
    told = {
        "parameters": sum(value.numel() for value in model.parameters()),
        "versions": {name: version(name) for name in ("lerobot", "torch", "transformers")},
        "python": sys.version.split()[0],
    }
    print(json.dumps(told), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(timed(getattr(parts, asked["part"]), asked["calls"], device)), file=answers, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with spec.json and inputs.safetensors")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    main(options.folder, options.threads)
