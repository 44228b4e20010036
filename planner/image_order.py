"""The order of hidden states in a subgoal: the picture's tokens, then words and marks, then padding, which is zeros.

Whoever reads a subgoal knows by a token's place what it is of. An actor's attention doesn't mind the order.

Shape legend: B batch, S prompt length, D width, K tokens of a subgoal.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def images_first(hidden_BSD: Tensor, is_image_BS: Tensor, mask_BS: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Tokens `(B, K, D)` and the mask `(B, K)` of those that count; each kind stays in the prompt's order.

    Args:
        hidden_BSD: In the prompt's order.
        is_image_BS: True where a token is of a picture.
        mask_BS: 0 where a prompt is padding.
        length: K, at least S.
    """
    rank_BS = torch.where(is_image_BS, 0, 1) + 2 * (1 - mask_BS)
    order_BS = torch.argsort(rank_BS, dim=1, stable=True)
    counts_BS = mask_BS.gather(1, order_BS).bool()
    ordered_BSD = hidden_BSD.gather(1, order_BS[..., None].expand_as(hidden_BSD)).masked_fill(~counts_BS[..., None], 0)
    missing = length - ordered_BSD.shape[1]
    return F.pad(ordered_BSD, (0, 0, 0, missing)), F.pad(counts_BS, (0, missing))
