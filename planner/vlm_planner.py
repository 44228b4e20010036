"""`VLMPlanner`: one planner over Hugging Face vision-language models (those of `families.FAMILIES`).

    image, words -> preprocessing -> backbone (early exit at layer k) -> readout -> LatentSubgoal (k x d)

The tiny planner that ships and `google/paligemma-3b-pt-224` are this same class with another configuration.
"""

from collections.abc import Sequence
from typing import Self, cast

import torch
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from dualsys.checkpoint import TOKENIZER, Checkpoint, ModuleEntry
from dualsys.device import model_device
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import ConfigError, InvalidObservation
from dualsys.messages import ImageArray, LatentSubgoal, Observation
from dualsys.planner import cuts
from dualsys.planner.backbone import Backbone, build_backbone
from dualsys.planner.backbone_name import require_backbone
from dualsys.planner.config import VLMPlannerConfig
from dualsys.planner.preprocessing import Prompt, build_prompt, images_to_pixels, longest_prompt
from dualsys.planner.readout import SubgoalReadout
from dualsys.planner.tokenization import load_tokenizer
from dualsys.weights import fill

WEIGHTS = "planner.safetensors"
_MOST_TEXTS = 10_000
"""Instructions whose tokens are kept: a training meets the same ones again and again."""


class PlannerNetwork(nn.Module):
    """Backbone and, for that cut, readout: what is trained and saved."""

    def __init__(self, backbone: Backbone, readout: SubgoalReadout | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.readout = readout

    def forward(self, pixels_BCHW: Tensor, prompt: Prompt) -> Tensor:
        """Subgoal tokens `(B, K, C)`."""
        return self.look(pixels_BCHW, prompt)[0]

    def look(self, pixels_BCHW: Tensor, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """Subgoal tokens `(B, K, C)`, and the hidden states of the present image `(B, P, D)` for training's helpers.

        Raises:
            ConfigError: where there is no readout.
        """
        if self.readout is None:
            raise ConfigError("this planner's cut has no readout, which is what is trained")
        hidden_BSD = self.backbone(pixels_BCHW, prompt.input_ids_BS, prompt.mask_BS)
        is_image_BS = prompt.input_ids_BS == self.backbone.image_token_id
        tokens_BKC = self.readout(hidden_BSD, prompt.mask_BS, is_image_BS)
        seen_BPD = rearrange(hidden_BSD[is_image_BS], "(b p) d -> b p d", b=hidden_BSD.shape[0])
        return tokens_BKC, seen_BPD[:, : self.backbone.num_image_tokens]


class VLMPlanner:
    """Planner protocol over a backbone, a readout and a tokenizer."""

    def __init__(self, config: VLMPlannerConfig, network: PlannerNetwork, tokenizer: PreTrainedTokenizerBase) -> None:
        self.config = config
        self.network = network.eval()
        self.tokenizer = tokenizer
        self._head = network.backbone.prompt_head(tokenizer, pictures=2 if config.goal_image else 1)
        place = len(network.backbone.picture_place(tokenizer))
        end = len(self._head) - (network.backbone.family.begins_behind_image and tokenizer.bos_token_id is not None)
        self._goal_place = slice(end - place, end)
        self._longest = longest_prompt(self._head, tokenizer, config.max_text_tokens)
        self._spec = cuts.subgoal_spec(config, network.backbone, self._longest)
        self._prompts: dict[tuple[str, ...], Prompt] = {}
        self._texts: dict[str, list[int]] = {}

    @classmethod
    def build(cls, config: VLMPlannerConfig, tokenizer: PreTrainedTokenizerBase | None = None) -> Self:
        """From a configuration: fresh weights, or a pretrained backbone with a fresh readout.

        Raises:
            ConfigError: for an unsupported or unavailable backbone.
            CheckpointError: where no tokenizer is given and the pretrained backbone has none.
        """
        if config.architecture is None:
            require_backbone(config.backbone)
        tokenizer = load_tokenizer(config.backbone) if tokenizer is None else tokenizer
        backbone = build_backbone(config, tokenizer)
        readout = None
        if config.cut == "readout":
            readout = SubgoalReadout(
                config.readout,
                hidden_width=backbone.width,
                num_image_tokens=backbone.num_image_tokens,
                goal_image=config.goal_image,
            )
        if config.architecture is None:  # a checkpoint of it then needs neither hub nor folder
            name, architecture = backbone.architecture()
            size = backbone.image_size if backbone.family.takes_any_size else None
            config = config.model_copy(update={"backbone": name, "architecture": architecture, "image_size": size})
        return cls(config, PlannerNetwork(backbone, readout).to(model_device()), tokenizer)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """From an opened checkpoint. Raises `CheckpointError` where the weights don't fit the configuration."""
        config = checkpoint.parse(VLMPlannerConfig, checkpoint.manifest.planner.config, where="planner.config")
        planner = cls.build(config, load_tokenizer(checkpoint.folder / TOKENIZER))
        tied = [name for name in planner.network.state_dict() if _is_tied(name)]
        fill(planner.network, checkpoint.weights(checkpoint.manifest.planner), owner="planner", tied=tied)
        return planner

    def with_network(self, network: nn.Module) -> Self:
        """The same planner over other weights of the same architecture."""
        return type(self)(self.config, cast(PlannerNetwork, network), self.tokenizer)

    def save(self, checkpoint: Checkpoint) -> ModuleEntry:
        """Write weights and tokenizer into a folder; returns the manifest's entry."""
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items() if not _is_tied(name)}
        save_file(weights, checkpoint.folder / WEIGHTS)
        self.tokenizer.save_pretrained(str(checkpoint.folder / TOKENIZER))
        return ModuleEntry(name="vlm", config=self.config.model_dump(mode="json"), weights=WEIGHTS)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """Shape and shelf life of what `plan` returns."""
        return self._spec

    def reset(self, *, seed: int = 0) -> None:
        """Nothing to forget: every subgoal comes from one image and its words."""

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Subgoal for the newest image of its camera and the instruction.

        Raises:
            InvalidObservation: where the camera's image is missing or is not `(h, w, 3)`.
        """
        return self.plan_batch([observation])[0]

    @torch.inference_mode()
    def plan_batch(self, observations: Sequence[Observation]) -> list[LatentSubgoal]:
        """A subgoal for each of one or more observations, whatever their images' sizes and the lengths of their words.

        Raises:
            InvalidObservation: where the camera's image is missing or is not `(h, w, 3)` in any of them.
        """
        images = [self._image(observation) for observation in observations]
        pixels_BCHW = self._pixels(images)
        prompt = self._prompt(tuple(observation.instruction for observation in observations))
        if self.config.goal_image:
            goals: list[ImageArray | None] = [observation.goal_image for observation in observations]
            shown = [image if goal is None else goal for image, goal in zip(images, goals, strict=True)]
            pixels_BCHW = torch.stack([pixels_BCHW, self._pixels(shown)], dim=1)
            prompt = self.with_goals(prompt, torch.tensor([goal is not None for goal in goals]))
        latents = self._latents(pixels_BCHW, prompt)
        return [self._subgoal(latents, row, observation) for row, observation in enumerate(observations)]

    def _pixels(self, images: Sequence[ImageArray]) -> Tensor:
        backbone = self.network.backbone
        return torch.cat([images_to_pixels(image[None], backbone.image_size, backbone.device) for image in images])

    def _latents(self, pixels_BCHW: Tensor, prompt: Prompt) -> cuts.Latents:
        if self.config.cut == "readout":
            return cuts.Latents(self.network(pixels_BCHW, prompt).cpu().numpy())
        cut = cuts.features if self.config.cut == "features" else cuts.prefix
        return cut(self.network.backbone, pixels_BCHW, prompt, self._longest)

    def _camera(self, observation: Observation) -> str:
        eyes = (self.config.camera, *self.config.other_cameras)
        return next((name for name in eyes if name in observation.images), self.config.camera)

    def _image(self, observation: Observation) -> ImageArray:
        camera = self._camera(observation)
        if camera not in observation.images:
            raise InvalidObservation(
                f"the planner looks through {camera!r}; the observation has {sorted(observation.images)}"
            )
        image = observation.images[camera]
        if image.ndim != 3 or image.shape[2] != 3:
            raise InvalidObservation(f"camera {camera!r} gave shape {image.shape}, expected (h, w, 3)")
        return image

    def _subgoal(self, latents: cuts.Latents, row: int, observation: Observation) -> LatentSubgoal:
        stamp_s = observation.image_stamps_s.get(self._camera(observation), observation.stamp_s)
        return LatentSubgoal(
            tokens=latents.tokens_BKC[row],
            mask=None if latents.mask_BK is None else latents.mask_BK[row],
            keys=None if latents.keys_BLNKH is None else latents.keys_BLNKH[row],
            values=None if latents.values_BLNKH is None else latents.values_BLNKH[row],
            observation_stamp_s=min(observation.stamp_s, stamp_s),
            producer="vlm",
            time_to_live_s=self._spec.max_age_s,
        )

    def prompt(self, instructions: Sequence[str]) -> Prompt:
        """Prompt of a batch of instructions, for training."""
        backbone = self.network.backbone
        if len(self._texts) > _MOST_TEXTS:
            self._texts.clear()
        prompt = build_prompt(
            instructions,
            self.tokenizer,
            head=self._head,
            max_text_tokens=self.config.max_text_tokens,
            known=self._texts,
        )
        return Prompt(prompt.input_ids_BS.to(backbone.device), prompt.mask_BS.to(backbone.device))

    def with_goals(self, prompt: Prompt, has_goal_B: Tensor) -> Prompt:
        """A prompt in which the goal's picture is masked where there is none."""
        mask_BS = prompt.mask_BS.clone()
        mask_BS[:, self._goal_place] *= has_goal_B.to(mask_BS)[:, None]
        return Prompt(prompt.input_ids_BS, mask_BS)

    def _prompt(self, instructions: tuple[str, ...]) -> Prompt:
        if instructions not in self._prompts:
            self._prompts = {instructions: self.prompt(instructions)}
        return self._prompts[instructions]


def _is_tied(name: str) -> bool:
    """The language head shares the embedding's storage and is not read: safetensors refuses shared storage."""
    return name.endswith("lm_head.weight")
