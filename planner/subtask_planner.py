"""`SubtaskPlanner`: a long instruction, one step after the other, in the planner's own words.

    observation  -> latent of the present step's words -> emitted          plan(): nobody waits for words
                    latent, state -> progress; done?  -> the next words    reflect(): for the next observation's prompt

The latent is of the step, not of the whole sentence, whose end it would be cut from; that of a new instruction's first
observation alone is of the sentence as it stands, since words for it are yet to be found. Which step is on is
remembered, and forgotten with `reset` or another instruction: so it is one robot's, and plans no batches of several.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, final

import numpy as np
from safetensors.torch import load_file, save_file

from dualsys.checkpoint import Checkpoint
from dualsys.embodiment import SubgoalSpec
from dualsys.errors import CheckpointError, ConfigError, InvalidObservation
from dualsys.messages import FloatArray, LatentSubgoal, Observation, TokenArray
from dualsys.planner.language_head import LanguageHead
from dualsys.planner.subtask_config import SubtaskConfig
from dualsys.planner.vlm_planner import VLMPlanner

HEAD_WEIGHTS, HEAD_CONFIG = "subtasks.safetensors", "subtasks.json"
"""Beside the planner's weights, which don't change."""
_LONGEST_GAP_S = 2.0
"""States further apart tell no velocity."""
_TOLD = [10**power for power in range(12)]
"""Numbers of dropped words that are logged: the more there were, the seldomer."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Thought:
    """What `plan` leaves for later."""

    observation_s: float
    state: FloatArray
    tokens: TokenArray


@final
class SubtaskPlanner:
    """Planner protocol over a `VLMPlanner` and a language head. Registered as `subtasks`.

    Args:
        planner: Makes the latents.
        head: Makes the words, and tells progress.

    Raises:
        ConfigError: the planner's cut is no readout, which is what the head senses progress from.
    """

    def __init__(self, planner: VLMPlanner, head: LanguageHead) -> None:
        if planner.config.cut != "readout":
            raise ConfigError(f"subtasks need the cut `readout`, the planner has {planner.config.cut!r}")
        self.planner, self.head = planner, head.eval()
        self.steps_said: list[str] = []
        """Steps of the present instruction so far, in order."""
        self.late_words = 0
        """Times that words were dropped because they took longer than `SubtaskConfig.max_seconds`."""
        self._instruction = ""
        self._is_last = False
        """Whether no words are to be found any more."""
        self._since_s: float | None = None
        """Stamp of the first observation that was planned with the step's words."""
        self._sure_in_a_row = 0
        self._progress = 0.0
        self._thought: _Thought | None = None
        self._before: _Thought | None = None

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """From an opened checkpoint that has a head. Raises `CheckpointError` where it has none or it doesn't fit."""
        planner = VLMPlanner.from_checkpoint(checkpoint)
        if not (checkpoint.folder / HEAD_CONFIG).is_file():
            raise CheckpointError(
                f"checkpoint {checkpoint.folder.name!r} has no language head ({HEAD_CONFIG}); train one beside it: "
                "dualsys subtasks --help"
            )
        config = checkpoint.parse(SubtaskConfig, checkpoint.read_text(HEAD_CONFIG), where=HEAD_CONFIG)
        head = fresh_head(config, planner)
        problem = ""
        try:
            missing, unexpected = head.load_state_dict(load_file(checkpoint.folder / HEAD_WEIGHTS), strict=False)
            problem = ", ".join([*missing[:3], *unexpected[:3]])
        except (OSError, RuntimeError) as error:
            problem = str(error)
        if problem:
            raise CheckpointError(f"{HEAD_WEIGHTS} of {checkpoint.folder.name!r} don't fit {HEAD_CONFIG}: {problem}")
        return cls(planner, head)

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """The planner's."""
        return self.planner.subgoal_spec

    def reset(self, *, seed: int = 0) -> None:
        """Forget which step is on."""
        self.planner.reset(seed=seed)
        self._forget("")

    def plan(self, observation: Observation) -> LatentSubgoal:
        """Subgoal of the step that is on; its text and progress are those of the observations before.

        Before a step has words it is of the whole instruction, without text and progress.

        Raises:
            InvalidObservation: the camera's image is missing, or the state is of another length than the head's.
        """
        if observation.state.shape != (self.head.config.state_size,):
            raise InvalidObservation(
                f"the language head reads {self.head.config.state_size} states, got shape {observation.state.shape}"
            )
        self.reflect()
        if observation.instruction != self._instruction:
            self._forget(observation.instruction)
        step = self.steps_said[-1] if self.steps_said else ""
        subgoal = self.planner.plan(replace(observation, instruction=step) if step else observation)
        if not step:
            return subgoal
        if self._since_s is None:
            self._since_s = observation.stamp_s
        self._thought = _Thought(
            observation_s=observation.stamp_s, state=np.array(observation.state), tokens=subgoal.tokens
        )
        return replace(subgoal, text=step, progress=self._progress)

    def reflect(self) -> None:
        """Find the first step's words; or judge progress from the last plan and, its step done, find the next's."""
        if not self.steps_said and not self._is_last:
            self._say_next()
            return
        thought, self._thought = self._thought, None
        if thought is None or self._since_s is None:
            return
        behind, done = self.head.progress(
            thought.tokens, thought.state, self._velocity(thought), thought.observation_s - self._since_s
        )
        self._before = thought
        config = self.head.config
        old_enough = thought.observation_s - self._since_s >= config.patience_s
        self._sure_in_a_row = self._sure_in_a_row + 1 if done >= config.sure and old_enough else 0
        self._progress = float(np.clip(behind, 0.0, 1.0))
        if self._sure_in_a_row >= config.in_a_row and not self._is_last:
            self._say_next()

    def _velocity(self, thought: _Thought) -> FloatArray:
        before = self._before
        if before is None or not 0.0 < thought.observation_s - before.observation_s <= _LONGEST_GAP_S:
            return np.zeros_like(thought.state)
        return (thought.state - before.state) / (thought.observation_s - before.observation_s)

    def _say_next(self) -> None:
        before = self.steps_said[-1] if self.steps_said else ""
        words = self.head.next_step(self._instruction, before) if self._instruction.strip() else ""
        if words is None:  # it is tried again behind the next plan
            self.late_words += 1
            if self.late_words in _TOLD:
                _LOG.warning(
                    "words of the next step were late and dropped, %d times so far: over %g s of the processor's time",
                    self.late_words,
                    self.head.config.max_seconds,
                )
            return
        if not words or words in self.steps_said:  # said before: going round in circles is worse than staying
            self._is_last = True
            return
        self.steps_said.append(words)
        self._since_s, self._sure_in_a_row, self._progress, self._before = None, 0, 0.0, None

    def _forget(self, instruction: str) -> None:
        self._instruction = instruction
        self.steps_said = []
        self._is_last = False
        self._since_s, self._sure_in_a_row, self._progress = None, 0, 0.0
        self._thought = self._before = None


def fresh_head(config: SubtaskConfig, planner: VLMPlanner) -> LanguageHead:
    """An untrained head over a planner's words."""
    return LanguageHead(config, planner.network.backbone.word_embedding.weight, planner.tokenizer)


def config_for(planner: VLMPlanner, *, state_size: int) -> SubtaskConfig:
    """Sizes of a head for a planner."""
    words_VE = planner.network.backbone.word_embedding.weight
    return SubtaskConfig(
        vocabulary_size=words_VE.shape[0],
        embedding_width=words_VE.shape[1],
        token_dim=planner.subgoal_spec.dim,
        state_size=state_size,
    )


def save_head(head: LanguageHead, folder: Path) -> None:
    """Write a head beside its planner's weights."""
    save_file({name: value.contiguous() for name, value in head.state_dict().items()}, folder / HEAD_WEIGHTS)
    (folder / HEAD_WEIGHTS).chmod(0o644)  # as the weights beside it: safetensors writes for the owner alone
    (folder / HEAD_CONFIG).write_text(head.config.model_dump_json(indent=2) + "\n")
