"""Relative actions of LeRobot's policies: a step before the policy takes the state away, one behind it adds it again.

    policy_preprocessor.json     relative_actions_processor {enabled, exclude_joints, action_names}
    policy_postprocessor.json    absolute_actions_processor {enabled}

Action `i` is relative to state `i`, but for those with a word of `exclude_joints` in their name; without names none is
excluded (LeRobot's `RelativeActionsProcessorStep`). Statistics of actions are of what the policy learns: the step
comes before the normaliser.
"""

from collections.abc import Mapping
from typing import Any

from dualsys.app.importing.lerobot_steps import ABSOLUTE, RELATIVE, STEPS_BEHIND_FILE, STEPS_FILE, LerobotSteps
from dualsys.app.importing.relative import RelativeActions
from dualsys.errors import CheckpointError


def relative_actions(
    steps: LerobotSteps, config: Mapping[str, Any], *, states: int, actions: int
) -> RelativeActions | None:
    """A policy's; None where all of its actions are positions.

    Args:
        steps: Its own.
        config: Its config.json.
        states: How many its robot has.
        actions: The same.

    Raises:
        CheckpointError: files contradict each other, or make no sense.
    """
    step = next((steps.config(name) for name in RELATIVE if name in steps.before), {})
    files = {
        f"{STEPS_FILE}: {RELATIVE[0]}": bool(step.get("enabled")),
        f"{STEPS_BEHIND_FILE}: {ABSOLUTE}": bool(steps.config(ABSOLUTE).get("enabled")),
        "config.json: use_relative_actions": bool(config.get("use_relative_actions", step.get("enabled"))),
    }
    if len(set(files.values())) > 1:
        told = ", ".join(f"{name} {'on' if on else 'off'}" for name, on in files.items())
        raise CheckpointError(f"whether actions are relative isn't clear ({told}): copy the original folder again")
    if not step.get("enabled"):
        return None
    if states < actions:
        raise CheckpointError(f"{actions} actions are relative to the state, which has {states} numbers")
    stays = _excluded(step, actions)
    to = tuple(None if stay else number for number, stay in enumerate(stays))
    if all(stays):
        return None
    return RelativeActions(to=to, told=f"{actions - sum(stays)} of {actions}")


def _excluded(step: Mapping[str, Any], actions: int) -> list[bool]:
    words, names = step.get("exclude_joints") or [], step.get("action_names")
    if not _are_words(words) or not (names is None or _are_words(names)):
        raise CheckpointError(f"{STEPS_FILE}: exclude_joints and action_names should be lists of names")
    asked = [word.lower() for word in words if word]
    found = [any(word in name.lower() for word in asked) for name in (names or [])[:actions]]
    return found + [False] * (actions - len(found))


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
