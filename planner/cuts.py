"""Where a vision-language model is cut from its actor: what of its work is the subgoal.

    readout    learned queries read the hidden states     k x d      any actor of tokens; k = 1 is Helix's pooled vector
    features   the hidden states themselves               S x D      GR00T
    prefix     keys and values of each layer that runs    L x 2 x S  the pi family

Shape legend: B batch, S longest prompt, D hidden width, L layers, N heads of keys, H their width, K C of a subgoal.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualsys.embodiment import SubgoalSpec
from dualsys.messages import TokenArray
from dualsys.planner.backbone import Backbone
from dualsys.planner.config import VLMPlannerConfig
from dualsys.planner.image_order import images_first
from dualsys.planner.preprocessing import Prompt


class Latents(NamedTuple):
    """What subgoals of a batch carry."""

    tokens_BKC: TokenArray
    mask_BK: np.ndarray | None = None
    """False where a token is padding; None: all count."""
    keys_BLNKH: TokenArray | None = None
    values_BLNKH: TokenArray | None = None


def subgoal_spec(config: VLMPlannerConfig, backbone: Backbone, longest: int) -> SubgoalSpec:
    """Shape and shelf life of subgoals, from prompts of at most `longest` tokens. Raises `ConfigError`."""
    shared = {"max_age_s": config.max_age_s, "schema_id": config.schema_id}
    if config.cut == "readout":
        return SubgoalSpec(num_tokens=config.readout.num_tokens, dim=config.readout.dim, **shared)
    if config.cut == "features":
        return SubgoalSpec(num_tokens=longest, dim=backbone.width, **shared)
    return SubgoalSpec(num_tokens=longest, dim=0, prefix=backbone.prefix_spec(), **shared)


def features(backbone: Backbone, pixels_BCHW: Tensor, prompt: Prompt, longest: int) -> Latents:
    """Hidden states: those of the picture, then those of words and marks, then zeros, which the mask leaves out."""
    hidden_BSD = backbone(pixels_BCHW, prompt.input_ids_BS, prompt.mask_BS)
    is_image_BS = prompt.input_ids_BS == backbone.image_token_id
    tokens_BKC, mask_BK = images_first(hidden_BSD, is_image_BS, prompt.mask_BS, longest)
    return Latents(tokens_BKC.float().cpu().numpy(), mask_BK.cpu().numpy())


def prefix(backbone: Backbone, pixels_BCHW: Tensor, prompt: Prompt, longest: int) -> Latents:
    """Keys, their positions turned in, and values of each layer, in the prompt's order; padding is masked."""
    keys, values = backbone.keys_values(pixels_BCHW, prompt.input_ids_BS, prompt.mask_BS)
    missing = longest - prompt.mask_BS.shape[1]
    keys_BLNKH, values_BLNKH = (
        F.pad(torch.stack(side, dim=1), (0, 0, 0, missing)).float().cpu().numpy() for side in (keys, values)
    )
    mask_BK = F.pad(prompt.mask_BS.bool(), (0, missing)).cpu().numpy()
    return Latents(np.zeros((*mask_BK.shape, 0), np.float32), mask_BK, keys_BLNKH, values_BLNKH)
