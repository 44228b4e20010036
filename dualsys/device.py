"""Where models run: one word for every process of a run.

`DUALSYS_DEVICE` names a torch device (`cpu`, `cuda`, `cuda:1`); unset, models run on CUDA where there is one, else on
the processor. An environment variable, because it must reach the planner's process wherever it is started, on another
machine too, where another answer is right.
"""

import os
from typing import TYPE_CHECKING

from dualsys.errors import ConfigError

if TYPE_CHECKING:
    import torch

VARIABLE = "DUALSYS_DEVICE"


def model_device() -> "torch.device":
    """Device that models are put on. Raises `ConfigError` where `DUALSYS_DEVICE` names none that is here."""
    import torch

    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise ConfigError(f"{VARIABLE}={asked!r} is no device of this machine; it has {', '.join(found)}") from error
    return device
