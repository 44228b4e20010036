"""Whatever goes wrong with a published checkpoint is one line that names it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from transformers.utils import logging

from dualsys.config import describe_invalid
from dualsys.errors import CheckpointError, DualsysError

_THEIRS = {
    "positions": "add_pos_embed",
    "context_norm": "use_vlln",
    "num_future_tokens": "num_target_vision_tokens",
    "time_cutoff": "noise_s",
    "time_alpha": "noise_beta_alpha",
    "state_dropout": "state_dropout_prob",
    "state_noise": "state_additive_noise_scale",
    "depth": "diffusion_model_cfg.num_layers",
    "context_depth": "vl_self_attention_cfg.num_layers",
    "image_token_id": "image_token",
    "norm_eps": "rms_norm_eps",
}
"""What publishers call what `sizes.py` doesn't judge, by our names; other fields are called alike."""


@contextmanager
def understood(checkpoint: Path) -> Iterator[None]:
    """Raise `CheckpointError` that names the checkpoint for whatever else is raised on the way.

    Files of others are handed to classes of others, which raise what they like where a value makes no sense.
    """
    try:
        with _quiet():
            yield
    except CheckpointError as error:
        if str(checkpoint) in str(error):
            raise
        raise CheckpointError(f"{checkpoint}: {error}") from error
    except DualsysError:
        raise
    except ValidationError as error:
        told = describe_invalid(error, names=_THEIRS)
        raise CheckpointError(f"{checkpoint}: its configuration makes no sense: {told}") from error
    except OSError as error:
        if error.filename is not None:
            raise
        raise CheckpointError(f"{checkpoint} can't be read: {error}; copy the original folder again") from error
    except Exception as error:
        told = " ".join(str(error).split()) or "no word why"
        raise CheckpointError(
            f"{checkpoint}: its configuration can't be understood ({type(error).__name__}: {told}); copy the original "
            "folder again"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch and transformers say beside: of values that make no sense, the refusal says it."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
