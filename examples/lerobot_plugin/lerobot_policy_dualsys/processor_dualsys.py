"""What LeRobot does to observations and actions beside a policy: nothing here, the controller does it itself."""

from typing import Any

from lerobot.processor import PolicyProcessorPipeline
from lerobot.processor.converters import policy_action_to_transition, transition_to_policy_action

from lerobot_policy_dualsys.configuration_dualsys import DualsysConfig


def make_dualsys_pre_post_processors(config: DualsysConfig, dataset_stats: Any = None) -> tuple[Any, Any]:
    """Two pipelines without steps."""
    del config, dataset_stats
    before = PolicyProcessorPipeline(steps=[], name="policy_preprocessor")
    after = PolicyProcessorPipeline(
        steps=[],
        name="policy_postprocessor",
        to_transition=policy_action_to_transition,
        to_output=transition_to_policy_action,
    )
    return before, after
