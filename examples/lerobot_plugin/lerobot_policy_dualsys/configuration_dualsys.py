"""`--policy.type=dualsys` and its options."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig


@PreTrainedConfig.register_subclass("dualsys")
@dataclass
class DualsysConfig(PreTrainedConfig):  # type: ignore[misc]
    """A trained controller. It is not trained here: its weights are its own."""

    checkpoint: str = "humanoid-table"
    """Shipped name or folder."""
    server: str = ""
    """Address of a policy's server, `ws://HOST:PORT`, to ask for chunks; the checkpoint then tells the robot alone.
    Such as one of `dualsys policy serve` in an environment of its own, or of openpi."""
    server_keys: str = "dualsys"
    """Names that its policy has for states, cameras and words."""
    control_hz: float = 50.0
    """Steps of the environment in a second."""
    planner_hz: float = 5.0
    """Rate at which the planner is started."""
    planner_latency_s: float = 0.12
    """Simulated time from its start until its subgoal can be used."""
    actor_latency_s: float = 0.03
    """Simulated time from the actor's start until its chunk can be used."""
    first_seed: int = 0
    """Of the controller's noise in the first episode; the others follow."""
    device: str | None = "cpu"

    @property
    def observation_delta_indices(self) -> None:
        """One moment."""
        return None

    @property
    def action_delta_indices(self) -> None:
        """One action."""
        return None

    @property
    def reward_delta_indices(self) -> None:
        """None are read."""
        return None

    def get_optimizer_preset(self) -> None:
        """There is nothing to train."""
        raise NotImplementedError("a controller of dualsys is trained by `dualsys train`")

    def get_scheduler_preset(self) -> None:
        """There is nothing to train."""

    def validate_features(self) -> None:
        """The controller checks each observation itself."""
