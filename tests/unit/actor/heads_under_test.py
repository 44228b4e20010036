"""One small configuration of each head, fitted where it has to be."""

import numpy as np

from dualsys.actor.action_words import fit_fast
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.experts import ExpertConfig
from dualsys.actor.head_config import ActConfig, DiffusionConfig, RegressionConfig, TokensConfig, UNetConfig

SHAPE = FlowActorConfig(horizon=6, width=16, depth=2, num_heads=2, smoothing_window=0)


def every_head(num_actions: int) -> dict[str, ExpertConfig]:
    """By the name that a test is told by."""
    chunks = np.sin(np.random.default_rng(0).uniform(0, 6, (40, 1, num_actions)) + 0.2 * np.arange(6)[:, None])
    unet = UNetConfig(down_dims=(32, 64), groups=8, step_dim=32)
    return {
        "regression": RegressionConfig(shape=SHAPE),
        "diffusion": DiffusionConfig(shape=SHAPE),
        "diffusion with fresh noise": DiffusionConfig(shape=SHAPE, eta=1.0, prediction="v_prediction", clip=3.0),
        "unet": DiffusionConfig(shape=SHAPE, unet=unet, prediction="sample"),
        "act": ActConfig(shape=SHAPE, feed_forward=32, encoder_layers=1, vae_layers=1, latent_dim=4, kl_weight=1.0),
        "bins": TokensConfig(shape=SHAPE, bins=32),
        "fast": fit_fast(TokensConfig(shape=SHAPE, tokenizer="fast", scale=4.0, max_words=16), chunks),
    }
