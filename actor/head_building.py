"""A head from its configuration, for a robot and a planner's subgoals."""

from torch import nn

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.head_config import ActConfig, DiffusionConfig, HeadConfig, RegressionConfig, TokensConfig
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import ConfigError


def build_head(config: HeadConfig, *, embodiment: EmbodimentSpec, subgoal_spec: SubgoalSpec) -> nn.Module:
    """With fresh weights. Raises `ConfigError` for what a head can't do."""

    def trunk() -> ActionExpert:
        return ActionExpert(
            config.shape,
            num_actions=embodiment.num_actions,
            num_states=embodiment.num_states,
            num_subgoal_tokens=subgoal_spec.num_tokens,
            subgoal_dim=subgoal_spec.dim,
        )

    match config:
        case RegressionConfig():
            from dualsys.actor.regression_head import RegressionHead

            return RegressionHead(config, trunk())
        case DiffusionConfig():
            from dualsys.actor.diffusion_head import DiffusionHead, TransformerDenoiser, UNetDenoiser

            if config.unet is None:
                return DiffusionHead(config, TransformerDenoiser(config, trunk()))
            denoiser = UNetDenoiser(
                config,
                num_actions=embodiment.num_actions,
                num_states=embodiment.num_states,
                subgoal=(subgoal_spec.num_tokens, subgoal_spec.dim),
            )
            return DiffusionHead(config, denoiser)
        case ActConfig():
            from dualsys.actor.act_head import ActHead
            from dualsys.actor.act_network import ActNetwork

            _refuse_vision(config, "act")
            if config.latent_dim > config.horizon * embodiment.num_actions:
                raise ConfigError(f"latent_dim {config.latent_dim} exceeds the numbers of a chunk")
            network = ActNetwork(
                config,
                num_actions=embodiment.num_actions,
                num_states=embodiment.num_states,
                subgoal_dim=subgoal_spec.dim,
            )
            return ActHead(config, network)
        case TokensConfig():
            from dualsys.actor.token_head import TokenHead

            _refuse_vision(config, "tokens")
            return TokenHead(
                config,
                num_actions=embodiment.num_actions,
                num_states=embodiment.num_states,
                num_subgoal_tokens=subgoal_spec.num_tokens,
                subgoal_dim=subgoal_spec.dim,
            )
    raise ConfigError(f"there is no head of {type(config).__name__}")


def _refuse_vision(config: HeadConfig, name: str) -> None:
    if config.vision is not None:
        raise ConfigError(f"the head {name!r} reads state and subgoal alone; leave out shape.vision")
