"""`PrefixPlanner`: the subgoal is the cache of a vision-language model. The pi family's cut, and SmolVLA's.

    images, words (, state) -> PrefixNetwork -> keys and values of each layer, and which of them count

Its actor attends to them as if both were one model: the same actions, made where the actor is.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from dualsys.checkpoint import TOKENIZER, Checkpoint, ModuleEntry
from dualsys.device import model_device
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import InvalidObservation
from dualsys.messages import FloatArray, ImageArray, LatentSubgoal, Observation
from dualsys.planner.prefix_config import PrefixPlannerConfig
from dualsys.planner.prefix_images import image_to_square
from dualsys.planner.prefix_network import Prefix, PrefixNetwork
from dualsys.planner.prefix_precision import use_original_precision
from dualsys.planner.prefix_prompt import normalized_state, padded_prompts, prompt_text, prompt_tokens
from dualsys.planner.tokenization import load_tokenizer
from dualsys.weights import fill

WEIGHTS = "planner.safetensors"


class PrefixPlanner:
    """Planner protocol over a `PrefixNetwork` and a tokenizer."""

    def __init__(self, config: PrefixPlannerConfig, network: PrefixNetwork, tokenizer: PreTrainedTokenizerBase) -> None:
        self.config = config
        self.network = network.eval()
        self.tokenizer = tokenizer
        self._spec = config.subgoal_spec

    @classmethod
    def build(cls, config: PrefixPlannerConfig, tokenizer: PreTrainedTokenizerBase) -> Self:
        """With fresh weights."""
        return cls(config, PrefixNetwork(config).to(model_device()), tokenizer)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """From an opened checkpoint. Raises `CheckpointError` where the weights don't fit the configuration."""
        entry = checkpoint.manifest.planner
        config = checkpoint.parse(PrefixPlannerConfig, entry.config, where="planner.config")
        planner = cls.build(config, load_tokenizer(checkpoint.folder / TOKENIZER))
        fill(planner.network, checkpoint.weights(entry), owner="planner")
        return planner

    def use_original_precision(self) -> None:
        """Plan in bfloat16 where pi0's authors do, from now on. Raises `ConfigError` for another family."""
        use_original_precision(self.network)

    def save(self, checkpoint: Checkpoint) -> ModuleEntry:
        """Write weights and tokenizer into a folder; returns the manifest's entry."""
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, checkpoint.folder / WEIGHTS)
        self.tokenizer.save_pretrained(str(checkpoint.folder / TOKENIZER))
        return ModuleEntry(name="prefix", config=self.config.model_dump(mode="json"), weights=WEIGHTS)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """Shape and shelf life of what `plan` returns."""
        return self._spec

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget: every prefix comes from the newest images, words and state."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """The prefix of the newest images of its cameras, the instruction and, where it is told, the state.

        Raises:
            InvalidObservation: where an image is missing or is not `(h, w, 3)`, or the state has another length.
        """
        return self.plan_batch([observation])[0]

    @torch.inference_mode()
    def plan_batch(self, observations: Sequence[Observation]) -> list[LatentSubgoal]:
        """A prefix for each of one or more observations; each as if it came alone. Raises as `plan` does."""
        device = self.network.device
        images, seen = [], []
        for camera in self.config.cameras:
            found = [self._image(observation, camera) for observation in observations]
            size = self.config.image_size
            black = np.zeros((size, size, 3), dtype=np.uint8)
            shown = [image_to_square(black if image is None else image, size, self.config.images) for image in found]
            images.append(torch.stack(shown).to(device))
            seen.append(torch.tensor([image is not None for image in found], device=device))
        states = [self._state(observation) for observation in observations]
        tokens, told = self._prompts(observations, states)
        state_BX = None
        if self.config.state_token:
            state_BX = torch.from_numpy(np.stack([s for s in states if s is not None]).astype(np.float32)).to(device)
        prefix: Prefix = self.network(images, seen, tokens.to(device), told.to(device), state_BX)
        return self._subgoals(prefix, observations)

    def _prompts(
        self, observations: Sequence[Observation], states: Sequence[FloatArray | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [
            prompt_tokens(prompt_text(observation.instruction, state, self.config), self.tokenizer, self.config)
            for observation, state in zip(observations, states, strict=True)
        ]
        tokens, told = padded_prompts(rows, self.config.max_text_tokens)
        return torch.tensor(tokens), torch.tensor(told)

    def _subgoals(self, prefix: Prefix, observations: Sequence[Observation]) -> list[LatentSubgoal]:
        keys, values = (
            torch.stack(side, dim=1).float().cpu().numpy() for side in (prefix.keys_LBNSH, prefix.values_LBNSH)
        )
        masks = prefix.mask_BS.cpu().numpy()
        return [
            LatentSubgoal(
                tokens=np.zeros((self._spec.num_tokens, 0), dtype=np.float32),
                keys=keys[row],
                values=values[row],
                mask=masks[row],
                observation_stamp_s=self._stamp_s(observation),
                producer="prefix",
                time_to_live_s=self._spec.max_age_s,
            )
            for row, observation in enumerate(observations)
        ]

    def _stamp_s(self, observation: Observation) -> float:
        stamps = observation.image_stamps_s
        return min([observation.stamp_s, *(stamps[name] for name in self.config.cameras if name in stamps)])

    def _image(self, observation: Observation, camera: str) -> ImageArray | None:
        if camera not in observation.images:
            if camera in self.config.optional_cameras:
                return None
            raise InvalidObservation(
                f"the planner looks through {camera!r}; the observation has {sorted(observation.images)}"
            )
        image = observation.images[camera]
        if image.ndim != 3 or image.shape[2] != 3:
            raise InvalidObservation(f"camera {camera!r} gave shape {image.shape}, expected (h, w, 3)")
        return image

    def _state(self, observation: Observation) -> FloatArray | None:
        config = self.config.state
        if config is None:
            return None
        if observation.state.shape != (len(config.offset),):
            raise InvalidObservation(
                f"the planner is told {len(config.offset)} states; the observation has {observation.state.shape}"
            )
        return normalized_state(observation.state, config)
