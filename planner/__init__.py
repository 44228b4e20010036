"""System 2: the planner. Slow: looks at the scene and the words and emits latent subgoals.

Importing this package pulls in no torch and no transformers; its members do, when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualsys.planner.feature_planner import FeaturePlanner as FeaturePlanner
    from dualsys.planner.prefix_planner import PrefixPlanner as PrefixPlanner
    from dualsys.planner.scripted import NullPlanner as NullPlanner
    from dualsys.planner.scripted import ReplayPlanner as ReplayPlanner
    from dualsys.planner.scripted import ScriptedPlanner as ScriptedPlanner
    from dualsys.planner.skill_scorer import SkillScorer as SkillScorer
    from dualsys.planner.subtask_planner import SubtaskPlanner as SubtaskPlanner
    from dualsys.planner.vlm_planner import VLMPlanner as VLMPlanner

_HOME = {
    "FeaturePlanner": "dualsys.planner.feature_planner",
    "NullPlanner": "dualsys.planner.scripted",
    "PrefixPlanner": "dualsys.planner.prefix_planner",
    "ReplayPlanner": "dualsys.planner.scripted",
    "ScriptedPlanner": "dualsys.planner.scripted",
    "SkillScorer": "dualsys.planner.skill_scorer",
    "SubtaskPlanner": "dualsys.planner.subtask_planner",
    "VLMPlanner": "dualsys.planner.vlm_planner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
