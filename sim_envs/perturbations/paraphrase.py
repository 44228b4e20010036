"""The same instruction in other words."""

import re
from typing import Annotated, ClassVar, final

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

POLITE = (
    "please {task}",
    "{task} please",
    "can you {task}",
    "could you please {task}",
    "i want you to {task}",
    "i would like you to {task}",
    "now {task}",
    "go and {task}",
)
"""What goes around an instruction that is an order."""
DISTRACTIONS = (
    "there are other things around , leave them . {task}",
    "i have had a long day . {task}",
    "the light is not good in here , but {task}",
    "before we go home , {task}",
    "{task} . take all the time you need",
    "{task} , and mind what stands beside it",
)
"""What has nothing to do with the task."""
SYNONYMS = {
    "pick up": ("lift", "grab", "take"),
    "put": ("place", "set"),
    "place": ("put", "set"),
    "close": ("shut",),
    "push": ("shove", "move"),
    "turn on": ("switch on",),
    "turn off": ("switch off",),
    "touch": ("tap",),
    "transfer": ("hand over",),
    "insert": ("put in",),
}
"""For tasks without a grammar."""
_ORDER = re.compile(r"^(please|can|could|would|i|now|there|on|the|find|look|go|with|use|your)\b", re.IGNORECASE)
"""Begins a sentence that is polite already, or is none to put words before."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Paraphrase:
    """Words around an instruction, other words in it. What counts as success is as it was.

    A task's bare name (`walker: walk`) is no sentence, and stays.

    Where a suite has held-out phrasings of its own (the humanoid's), `held_out` asks for those instead of synonyms.
    """

    kind: ClassVar[str] = "paraphrase"
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the episodes whose instruction is changed."""
    held_out: bool = False
    """Instructions are drawn from the held-out split, where there is one; elsewhere synonyms are put in."""
    distraction: bool = False
    """Something is said beside, that has nothing to do with the task."""

    @property
    def is_nothing(self) -> bool:
        """Whether its strength is zero."""
        return not (self.share or self.held_out)

    def reworded(self, instruction: str, rng: np.random.Generator, *, has_held_out: bool) -> str:
        """The instruction in other words, or as it was. `has_held_out`: it was drawn from a held-out split already."""
        if rng.random() >= self.share or ":" in instruction:
            return instruction
        if self.held_out and not has_held_out:
            instruction = _with_synonyms(instruction, rng)
        if not (self.held_out and has_held_out) and not _ORDER.match(instruction):
            instruction = POLITE[int(rng.integers(len(POLITE)))].format(task=instruction)
        if self.distraction:
            instruction = DISTRACTIONS[int(rng.integers(len(DISTRACTIONS)))].format(task=instruction)
        return instruction


def _with_synonyms(instruction: str, rng: np.random.Generator) -> str:
    """With the first verb that has a synonym replaced."""
    for verb, others in SYNONYMS.items():
        pattern = rf"\b{verb}\b"
        if re.search(pattern, instruction, re.IGNORECASE):
            return re.sub(pattern, others[int(rng.integers(len(others)))], instruction, count=1, flags=re.IGNORECASE)
    return instruction
