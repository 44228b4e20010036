"""The mask of a decoder, the same under every backend of transformers' attention.

Shape legend: B batch, S prompt length.
"""

import torch
from torch import Tensor


def causal_mask(mask_BS: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention's scores, `(B, 1, S, S)`: the lowest number where a token must not be read.

    A token in front of which all is padding has nothing to read. Left to itself, transformers lets it read something
    else under each of its backends, and GR00T's actors read such tokens, too, in a batch of unequal prompts.
    """
    length = mask_BS.shape[1]
    earlier_SS = torch.ones(length, length, dtype=torch.bool, device=mask_BS.device).tril()
    read_B1SS = earlier_SS & mask_BS.bool()[:, None, None, :]
    return torch.zeros_like(read_B1SS, dtype=dtype).masked_fill(~read_B1SS, torch.finfo(dtype).min)
