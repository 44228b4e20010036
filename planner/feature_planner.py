"""`FeaturePlanner`: every hidden state of the prompt is a token of the subgoal. GR00T's cut.

images, words -> prompt -> vision-language model, cut short -> features (S, d) -> images first, padded -> (k, d)

The order of tokens is `image_order.py`'s.
"""

from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedTokenizerBase

from dualsys.checkpoint import TOKENIZER, Checkpoint, ModuleEntry
from dualsys.device import model_device
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError, InvalidObservation
from dualsys.messages import ImageArray, LatentSubgoal, Observation, TokenArray
from dualsys.planner.feature_backbones import FeatureBackbone, build_backbone
from dualsys.planner.feature_config import FeaturePlannerConfig
from dualsys.planner.feature_images import shown_image
from dualsys.planner.feature_prompt import Layout, batch_prompts, prompt_tokens
from dualsys.planner.image_order import images_first
from dualsys.planner.tokenization import load_tokenizer
from dualsys.weights import fill

WEIGHTS = "planner.safetensors"
_MOST_PROMPTS = 1000
"""Instructions whose tokens are kept."""


class FeaturePlanner:
    """Planner protocol over a backbone whose features are the subgoal."""

    def __init__(
        self, config: FeaturePlannerConfig, backbone: FeatureBackbone, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.config = config
        self.backbone = backbone
        self.tokenizer = tokenizer
        self._layout = Layout(
            config=config.prompt,
            image_token_id=config.backbone.image_token_id,
            image_tokens=(backbone.tokens_of(*config.images.shown),) * len(config.cameras),
            max_text_tokens=config.max_text_tokens,
            max_tokens=config.num_tokens,
        )
        self._prompts: dict[str, list[int]] = {}
        self._spec = SubgoalSpec(
            num_tokens=config.num_tokens,
            dim=config.backbone.width,
            max_age_s=config.max_age_s,
            schema_id=config.schema_id,
        )
        shortest = len(prompt_tokens("", tokenizer, self._layout))
        if shortest > config.num_tokens:
            raise ConfigError(
                f"num_tokens is {config.num_tokens}, but a prompt without any instruction has {shortest} tokens "
                f"({self.num_image_tokens} of images); set it to {shortest + config.max_text_tokens}"
            )

    @classmethod
    def build(cls, config: FeaturePlannerConfig, tokenizer: PreTrainedTokenizerBase) -> Self:
        """With fresh weights. Raises `ConfigError` where the prompt has no room in `num_tokens`."""
        backbone = cast(nn.Module, build_backbone(config.backbone, config.attention)).to(model_device()).eval()
        return cls(config, cast(FeatureBackbone, backbone), tokenizer)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """From an opened checkpoint. Raises `CheckpointError` where the weights don't fit the configuration."""
        entry = checkpoint.manifest.planner
        config = checkpoint.parse(FeaturePlannerConfig, entry.config, where="planner.config")
        planner = cls.build(config, load_tokenizer(checkpoint.folder / TOKENIZER))
        fill(planner.network, checkpoint.weights(entry), owner="planner")
        return planner

    def save(self, checkpoint: Checkpoint) -> ModuleEntry:
        """Write weights and tokenizer into a folder; returns the manifest's entry."""
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, checkpoint.folder / WEIGHTS)
        self.tokenizer.save_pretrained(str(checkpoint.folder / TOKENIZER))
        return ModuleEntry(name="features", config=self.config.model_dump(mode="json"), weights=WEIGHTS)

    @property
    def network(self) -> nn.Module:
        """What is trained and saved."""
        return cast(nn.Module, self.backbone)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """Shape and shelf life of what `plan` returns."""
        return self._spec

    @property
    def num_image_tokens(self) -> int:
        """How many of a subgoal's tokens, the first ones, are of images: the actor must be told."""
        return sum(self._layout.image_tokens)

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget: every subgoal comes from the newest images and the words."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Features of the newest images of its cameras and of the instruction.

        Raises:
            InvalidObservation: where an image is missing or is not `(h, w, 3)`, and for an instruction that holds the
                image token.
        """
        return self.plan_batch([observation])[0]

    @torch.inference_mode()
    def plan_batch(self, observations: Sequence[Observation]) -> list[LatentSubgoal]:
        """A subgoal for each of one or more observations; each as if it came alone. Raises as `plan` does."""
        images = [
            shown_image(self._image(seen, camera), self.config.images)
            for seen in observations
            for camera in self.config.cameras
        ]
        rows = [self._prompt(observation.instruction) for observation in observations]
        prompts = batch_prompts(rows, self._pad)
        device = next(self.network.parameters()).device
        features_BSD = self.backbone(
            input_ids_BS=prompts.input_ids_BS.to(device),
            mask_BS=prompts.mask_BS.to(device),
            **self.backbone.pixels(torch.stack(images).to(device)),
        )
        is_image_BS = prompts.input_ids_BS == self._layout.image_token_id
        tokens_BKC, mask_BK = images_first(
            features_BSD.float().cpu(), is_image_BS, prompts.mask_BS, self.config.num_tokens
        )
        return [
            self._subgoal(tokens_KC, mask_K, observation)
            for tokens_KC, mask_K, observation in zip(tokens_BKC.numpy(), mask_BK.numpy(), observations, strict=True)
        ]

    def _subgoal(self, tokens_KC: TokenArray, mask_K: np.ndarray, observation: Observation) -> LatentSubgoal:
        stamps = [observation.image_stamps_s.get(camera, observation.stamp_s) for camera in self.config.cameras]
        return LatentSubgoal(
            tokens=tokens_KC,
            mask=mask_K,
            observation_stamp_s=min(observation.stamp_s, *stamps),
            producer="features",
            time_to_live_s=self._spec.max_age_s,
        )

    def _prompt(self, instruction: str) -> list[int]:
        if len(self._prompts) > _MOST_PROMPTS:
            self._prompts.clear()
        if instruction not in self._prompts:
            self._prompts[instruction] = prompt_tokens(instruction, self.tokenizer, self._layout)
        return self._prompts[instruction]

    @property
    def _pad(self) -> int:
        pad: Any = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    def _image(self, observation: Observation, camera: str) -> ImageArray:
        if camera not in observation.images:
            raise InvalidObservation(
                f"the planner looks through {camera!r}; the observation has {sorted(observation.images)}"
            )
        image = observation.images[camera]
        if image.ndim != 3 or image.shape[2] != 3:
            raise InvalidObservation(f"camera {camera!r} gave shape {image.shape}, expected (h, w, 3)")
        return image
