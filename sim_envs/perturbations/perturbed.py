"""An environment with perturbations on it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar, final

import gymnasium
import numpy as np

from dualsys.embodiment import EmbodimentSpec
from dualsys.errors import ConfigError
from dualsys.messages import FloatArray, Observation
from dualsys.protocols import Environment, Perturbable, Rewindable
from dualsys.sim_envs.perturbations.camera_pose import CameraPose
from dualsys.sim_envs.perturbations.change_of_mind import Askable, ChangeOfMind, Words
from dualsys.sim_envs.perturbations.draws import stream
from dualsys.sim_envs.perturbations.drop_out import DropOut
from dualsys.sim_envs.perturbations.edited_model import EditedModel
from dualsys.sim_envs.perturbations.friction import Friction
from dualsys.sim_envs.perturbations.lighting import Lighting
from dualsys.sim_envs.perturbations.mass import Mass
from dualsys.sim_envs.perturbations.paraphrase import Paraphrase
from dualsys.sim_envs.perturbations.presets import Perturbation, require_once
from dualsys.sim_envs.perturbations.pushes import Pushes, pushed
from dualsys.sim_envs.perturbations.senses import Memory, Senses
from dualsys.sim_envs.perturbations.sensor_noise import SensorNoise
from dualsys.sim_envs.perturbations.texture import Texture

_Kind = TypeVar("_Kind")
_OF_THE_MODEL = (Lighting, CameraPose, Texture, Friction, Mass)
_HANDED_ON = (
    "render",
    "render_camera",
    "camera_names",
    "privileged",
    "privileged_columns",
    "physics_state",
    "set_state",
    "simulation",
    "clearance",
    "another_instruction",
    "initial_states",
    "longest_s",
)
"""What an environment may offer beside the protocol, and what perturbations don't touch. Each is a member of the
wrapper where the environment has it and is none where it hasn't, so that `isinstance` of a protocol tells the truth."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerturbedSnapshot:
    """A moment of a perturbed environment."""

    inner: Any
    seed: int
    step: int
    words: Words
    memory: Memory


def truth_of(environment: Any) -> Any:
    """A task as its experts know it: beneath what perturbs it, and beneath gymnasium's wrappers."""
    return environment.truth if isinstance(environment, Perturbed) else getattr(environment, "unwrapped", environment)


@final
class Perturbed(gymnasium.Env[Any, FloatArray]):
    """Keeps the protocol of what it is put on, with all that that offers.

    At a reset the simulation is first set back as it was compiled, then the task resets it, then the perturbations draw
    and write: so an episode is the same whatever was played before, and is the unperturbed one where nothing is asked
    for. `info` tells what was drawn as `perturbed.<kind>.<what>`. Rewards, success and `privileged()` are the task's
    own. `truth` is the environment inside, which experts are built from.

    Args:
        inner: Any environment. To change its simulation it must be `dualsys.protocols.Perturbable`.
        perturbations: Each kind once; those of strength zero do nothing.
        seed: Of the first episode that is reset without one.
        has_held_out: Whether the environment was made with held-out phrasings.

    Raises:
        ConfigError: a kind is there twice, or needs something that the environment doesn't show.
    """

    def __init__(
        self,
        inner: Environment,
        perturbations: Sequence[Perturbation],
        *,
        seed: int = 0,
        has_held_out: bool = False,
    ) -> None:
        require_once(perturbations)
        self.inner = inner
        self.perturbations = tuple(each for each in perturbations if not each.is_nothing)
        self._require_what_they_need()
        self._has_held_out = has_held_out
        self._edited: EditedModel | None = None
        self._drawn: dict[str, float] = {}
        self._seed, self._resets, self._episode_seed, self._step = seed, 0, seed, 0
        self._words = Words(lasting=inner.instruction)
        self._senses = Senses(self._of(SensorNoise), self._of(DropOut), inner.embodiment, inner.control_dt_s)
        self._is_sensing_otherwise = self._of(SensorNoise) is not None or self._of(DropOut) is not None
        self._take_over()
        for name in _HANDED_ON:
            if hasattr(inner, name):
                setattr(self, name, getattr(inner, name))
        if isinstance(inner, Rewindable):
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def truth(self) -> Any:
        """The environment inside. `unwrapped` is this one: in gymnasium's words it is a task, and no wrapper of one."""
        return truth_of(self.inner)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """What it senses and takes."""
        return self.inner.embodiment

    @property
    def control_dt_s(self) -> float:
        """Simulated time of one `step`."""
        return self.inner.control_dt_s

    @property
    def instruction(self) -> str:
        """What counts in this episode, in other words where those are perturbed; `observe` has what is told now."""
        return self._words.lasting

    @property
    def success(self) -> bool:
        """Whether the task is solved."""
        return self.inner.success

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; perturbations are drawn anew, from the same seed the same."""
        self._undo()
        seen, info = self.inner.reset(seed=seed, options=options)
        self._episode_seed = seed if seed is not None else self._next_seed()
        self._step = 0
        self._words = self._said()
        self._senses.begin(self._episode_seed)
        self._edit()
        self._note()
        return self._seen(seen, anew=bool(self._drawn)), self._told(info)

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control step of the task, with a push if one is due."""
        with self._push():
            seen, reward, terminated, truncated, info = self.inner.step(action)
        self._step += 1
        self._note()
        return self._seen(seen, anew=False), reward, terminated, truncated, self._told(info)

    def observe(self) -> Observation:
        """The present moment as the policy is told it. Images render when first read, as the environment's do."""
        observation = replace(self.inner.observe(), instruction=self._words.at(self._step))
        return self._senses.told(observation, self._step) if self._is_sensing_otherwise else observation

    def close(self) -> None:
        """Set the simulation back and free the renderer. Idempotent."""
        self._undo()
        self.inner.close()

    def _snapshot(self) -> PerturbedSnapshot:
        """The present moment, whole."""
        return PerturbedSnapshot(
            inner=self._rewindable.snapshot(),
            seed=self._episode_seed,
            step=self._step,
            words=self._words,
            memory=self._senses.memory,
        )

    def _restore(self, snapshot: PerturbedSnapshot, *, restart_clock: bool = False) -> None:
        """Go back to a moment; pushes and failures then come as they came, whatever the clock says."""
        self._undo()
        self._rewindable.restore(snapshot.inner, restart_clock=restart_clock)
        self._episode_seed, self._step, self._words = snapshot.seed, snapshot.step, snapshot.words
        self._senses.recall(snapshot.seed, snapshot.memory)
        self._edit()

    @property
    def _rewindable(self) -> Rewindable:
        assert isinstance(self.inner, Rewindable)
        return self.inner

    def _next_seed(self) -> int:
        """Of an episode that was reset without one."""
        self._resets += 1
        if self._resets == 1:
            return self._seed
        return int(np.random.default_rng([self._seed, self._resets]).integers(2**31))

    def _of(self, kind: type[_Kind]) -> _Kind | None:
        return next((each for each in self.perturbations if isinstance(each, kind)), None)

    def _require_what_they_need(self) -> None:
        needy = [each.kind for each in self.perturbations if isinstance(each, (*_OF_THE_MODEL, Pushes))]
        if needy and not isinstance(self.inner, Perturbable):
            raise ConfigError(
                f"{type(self.inner).__name__} does not show its simulation, which {', '.join(needy)} would change; "
                "offer `simulation()` (dualsys.protocols.Perturbable), or ask for sensor-noise, drop-out or paraphrase"
            )
        if self._of(ChangeOfMind) is not None and not isinstance(self.inner, Askable):
            raise ConfigError(
                f"{type(self.inner).__name__} does not know what else could be asked for, which {ChangeOfMind.kind} "
                "would tell first; offer `another_instruction(rng)`, or leave it out"
            )

    def _simulation(self) -> tuple[Any, Any]:
        assert isinstance(self.inner, Perturbable)
        return self.inner.simulation()

    def _undo(self) -> None:
        if self._edited is not None:
            self._edited.undo()
        self._edited, self._drawn = None, {}

    def _edit(self) -> None:
        """Draw and write."""
        changes = [each for each in self.perturbations if isinstance(each, _OF_THE_MODEL)]
        if not changes:
            return
        model, data = self._simulation()
        self._edited = EditedModel(model, tuple(camera.name for camera in self.embodiment.cameras))
        for each in changes:
            drawn = each.change(self._edited, stream(self._episode_seed, each.kind))
            self._drawn |= {f"perturbed.{each.kind}.{name}": value for name, value in drawn.items()}
        self._edited.bring_up_to_date(data)

    def _push(self) -> AbstractContextManager[None]:
        pushes = self._of(Pushes)
        if pushes is None:
            return nullcontext()
        model, data = self._simulation()
        force = pushes.force_at(model, seed=self._episode_seed, step=self._step, dt_s=self.control_dt_s)
        return pushed(data, force)

    def _said(self) -> Words:
        """The episode's words; of both instructions the same ones."""
        lasting, change = self._reworded(self.inner.instruction), self._of(ChangeOfMind)
        if change is None:
            return Words(lasting=lasting)
        assert isinstance(self.inner, Askable)
        rng = stream(self._episode_seed, change.kind)
        first_steps = change.drawn_steps(rng, self.control_dt_s)
        first = self._reworded(self.inner.another_instruction(rng))
        return Words(lasting=lasting, first=first, first_steps=first_steps)

    def _reworded(self, instruction: str) -> str:
        words = self._of(Paraphrase)
        if words is None:
            return instruction
        rng = stream(self._episode_seed, words.kind)
        return words.reworded(instruction, rng, has_held_out=self._has_held_out)

    def _note(self) -> None:
        if self._is_sensing_otherwise:
            self._senses.note(self.inner.observe(), self._step)

    def _seen(self, seen: Any, *, anew: bool) -> Any:
        """Gymnasium's observation with what the policy is told; `anew`: pictures of before the simulation changed."""
        if not (anew or self._is_sensing_otherwise):
            return seen
        observation = self.inner.observe()
        if isinstance(seen, dict) and "images" in seen and not anew:
            observation = replace(observation, images=seen["images"])
        if self._is_sensing_otherwise:
            observation = self._senses.told(observation, self._step)
        if not isinstance(seen, dict):
            return observation.state if np.shape(seen) == observation.state.shape else seen
        told: dict[str, Any] = dict(seen)
        if "state" in seen:
            told["state"] = observation.state
        if "images" in seen:
            told["images"] = {name: observation.images[name] for name in seen["images"]}
        return told

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        words: dict[str, Any] = {"instruction": self.instruction} if "instruction" in info else {}
        if self._words.first:
            words[f"perturbed.{ChangeOfMind.kind}.first"] = self._words.first
            words[f"perturbed.{ChangeOfMind.kind}.after_s"] = round(self._words.first_steps * self.control_dt_s, 6)
        return {**info, **words, **self._drawn}

    def _take_over(self) -> None:
        """What gymnasium asks of an environment, where there is one inside."""
        for name in ("action_space", "observation_space", "metadata", "render_mode"):
            if hasattr(self.inner, name):
                setattr(self, name, getattr(self.inner, name))
