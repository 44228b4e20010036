"""What LeRobot runs before a policy and behind it, read from its two files; what nothing here does is refused.

    policy_preprocessor.json     names, batch, words, tokenizer, relative actions, normaliser, device
    policy_postprocessor.json    unnormaliser, absolute actions, device

States are normalised by the first, actions are turned back by the second. Folders before LeRobot 0.4 have neither.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from dualsys.errors import CheckpointError

Policy: TypeAlias = Literal["pi0", "pi05", "smolvla"]
Step: TypeAlias = Mapping[str, Any]
STEPS_FILE = "policy_preprocessor.json"
"""Of what LeRobot runs before a policy."""
STEPS_BEHIND_FILE = "policy_postprocessor.json"
"""Of what it runs behind it."""
VISUAL = "observation.images."
"""Before a camera's name."""
STATE = "observation.state"
NORMALIZER, UNNORMALIZER = "normalizer_processor", "unnormalizer_processor"
RELATIVE = ("relative_actions_processor", "delta_actions_processor")
"""Names of one step, of now and of LeRobot 0.5.1."""
ABSOLUTE = "absolute_actions_processor"
_RENAME = "rename_observations_processor"
_CHANGE_NOTHING = ("to_batch_processor", "device_processor")
_NEWLINES = ("pi0_new_line_processor", "smolvla_new_line_processor")
_WORDS: dict[Policy, tuple[str, ...]] = {
    "pi0": _NEWLINES,
    "pi05": ("pi05_prepare_state_tokenizer_processor_step",),
    "smolvla": _NEWLINES,
}
"""What makes a policy's prompt of an instruction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LerobotSteps:
    """Of one folder, by the names that LeRobot registers them under."""

    folder: Path
    before: Mapping[str, Step] = field(default_factory=dict)
    behind: Mapping[str, Step] = field(default_factory=dict)
    are_there: bool = False
    """Whether the folder has them."""

    @classmethod
    def read(cls, folder: Path, policy: Policy) -> Self:
        """Both files'. Raises `CheckpointError` for one without the other, and for steps that nothing here does."""
        there = [name for name in (STEPS_FILE, STEPS_BEHIND_FILE) if (folder / name).is_file()]
        if not there:
            return cls(folder=folder)
        for name in (STEPS_FILE, STEPS_BEHIND_FILE):
            if name not in there:
                raise CheckpointError(f"{folder} has {there[0]} without {name}; copy it, too")
        words = _WORDS[policy]
        before = _known(folder / STEPS_FILE, (_RENAME, *words, "tokenizer_processor", NORMALIZER, *RELATIVE))
        behind = _known(folder / STEPS_BEHIND_FILE, (UNNORMALIZER, ABSOLUTE))
        _require(folder / STEPS_FILE, before, words, f"without it the prompt isn't {policy}'s")
        _require(folder / STEPS_FILE, before, (NORMALIZER,), "states would go in as they are")
        _require(folder / STEPS_BEHIND_FILE, behind, (UNNORMALIZER,), "nothing would turn actions back")
        found = cls(folder=folder, before=before, behind=behind, are_there=True)
        found._require_states()
        return found

    def config(self, name: str) -> Step:
        """How a step of either file is set; empty where there is none."""
        return _config(self.before.get(name) or self.behind.get(name) or {})

    def state_file(self, name: str) -> Path | None:
        """Where a step's tensors are. Raises `CheckpointError` for a place outside of the folder."""
        told = (self.before.get(name) or self.behind.get(name) or {}).get("state_file")
        if not told:
            return None
        if Path(str(told)).name != str(told):
            raise CheckpointError(f"{self.folder}: {name} names a file outside of its folder: {told}")
        return self.folder / str(told)

    def seen_as(self) -> dict[str, str]:
        """Of pictures that the policy knows under another name: from its name to the robot's.

        Raises:
            CheckpointError: names that make no sense, that are of no cameras, or of which two become one.
        """
        where = f"{self.folder}/{STEPS_FILE}: rename_map"
        told = self.config(_RENAME).get("rename_map") or {}
        if not isinstance(told, Mapping) or not all(isinstance(name, str) for name in told.values()):
            raise CheckpointError(f"{where} is {told!r}, no names and other names")
        changed = {old: new for old, new in told.items() if old != new}
        if others := sorted({name for pair in changed.items() for name in pair if not name.startswith(VISUAL)}):
            raise CheckpointError(f"{where} has {', '.join(others)}; only cameras ({VISUAL}*) may be called otherwise")
        found = {new: old for old, new in changed.items()}
        if len(found) < len(changed):
            raise CheckpointError(f"{where}: two of {', '.join(sorted(changed))} become one")
        return found

    def _require_states(self) -> None:
        """That its normaliser leaves no state out."""
        told = self.config(NORMALIZER)
        for name in ("features", "normalize_observation_keys"):
            listed = told.get(name)
            if isinstance(listed, Collection) and listed and STATE not in listed:
                raise CheckpointError(
                    f"{self.folder}/{STEPS_FILE}: {name} of {NORMALIZER} leaves {STATE} out: states would go in as "
                    "they are"
                )


def _known(path: Path, names: Collection[str]) -> dict[str, Step]:
    known = (*names, *_CHANGE_NOTHING)
    found: dict[str, Step] = {}
    for step in _steps(path):
        name = str(step.get("registry_name") or step.get("class"))
        if name not in known and _config(step).get("enabled") is not False:
            raise CheckpointError(
                f"{path}: nothing here does what its step {name!r} does, so what goes in or comes out would be other "
                f"numbers; known are {', '.join(known)}. Take it out where it changes neither"
            )
        if name in found and name not in _CHANGE_NOTHING:
            raise CheckpointError(f"{path} has the step {name!r} twice; one can be imported")
        found[name] = step
    return found


def _require(path: Path, steps: Mapping[str, Step], names: Collection[str], why: str) -> None:
    if not any(name in steps for name in names):
        raise CheckpointError(f"{path} has no step {' or '.join(names)}: {why}. Copy the original folder again")


def _config(step: Step) -> Step:
    return dict(step.get("config") or {})


def _steps(path: Path) -> list[Step]:
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        return [dict(step) for step in raw["steps"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no processor of LeRobot's; copy it again") from error
