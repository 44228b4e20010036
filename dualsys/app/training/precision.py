"""Which arithmetic the networks train in on which device."""

from typing import Literal

import torch

from dualsys.errors import ConfigError


def precision_on(device: torch.device, asked: Literal["auto", "float32", "bfloat16"]) -> torch.dtype:
    """float32 or bfloat16. Raises `ConfigError` for bfloat16 on a processor."""
    if asked == "bfloat16" and device.type == "cpu":
        raise ConfigError(
            "--precision bfloat16 is for GPUs: on a processor without instructions for it a step was measured to take "
            "17 times as long; use --precision float32, or auto"
        )
    return torch.bfloat16 if asked == "bfloat16" or (asked == "auto" and device.type == "cuda") else torch.float32
