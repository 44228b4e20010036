"""`DiTActor`: the actor protocol over a GR00T-like expert, for one of the robots that it has projectors for.

A `FlowActor` does the work, on a robot as wide as the expert's widest; here it is made wide and narrow again. The
padding is sampled with the rest, as in the originals, because the expert has learned to see it so.
"""

from dataclasses import replace
from typing import Self, cast

from safetensors.torch import load_file, save_file

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.backends import build_sampler
from dualsys.actor.dit_config import DiTConfig
from dualsys.actor.dit_expert import DiTExpert
from dualsys.actor.dit_robot import RobotDiT
from dualsys.actor.flow_actor import WEIGHTS, FlowActor
from dualsys.actor.normalization import ControllerStatistics
from dualsys.actor.padding import PaddedScale, PaddedStatistics, padded, padded_embodiment
from dualsys.actor.sampling import Sampler
from dualsys.checkpoint import STATISTICS, Checkpoint, ModuleEntry
from dualsys.device import model_device
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import CheckpointError, ConfigError, SpecMismatch
from dualsys.messages import ActionChunk, ActionPrefix, Guidance, LatentSubgoal, Observation


class DiTActor:
    """Samples chunks for one robot. Same seed, state and subgoal give the same chunk to the bit."""

    def __init__(
        self,
        expert: DiTExpert,
        *,
        embodiment: EmbodimentSpec,
        subgoal_spec: SubgoalSpec,
        statistics: ControllerStatistics,
        sampler: Sampler | None = None,
    ) -> None:
        config = expert.config
        _require_fit(config, embodiment, subgoal_spec, statistics)
        self.expert = expert
        self.config = config
        self.statistics = statistics
        self._embodiment = embodiment
        self._robot = RobotDiT(expert)
        wide = PaddedStatistics(
            state=PaddedScale(statistics.state, embodiment.num_states),
            action=PaddedScale(statistics.action, embodiment.num_actions),
        )
        self._flow = FlowActor(
            cast(ActionExpert, self._robot),
            embodiment=padded_embodiment(embodiment, states=config.max_states, actions=config.max_actions),
            subgoal_spec=subgoal_spec,
            statistics=cast(ControllerStatistics, wide),
            sampler=sampler,
        )

    @classmethod
    def build(
        cls,
        config: DiTConfig,
        *,
        embodiment: EmbodimentSpec,
        subgoal_spec: SubgoalSpec,
        statistics: ControllerStatistics,
    ) -> Self:
        """With fresh weights. Raises `SpecMismatch` where robot, subgoals, statistics and expert don't fit."""
        expert = DiTExpert(config).to(model_device())
        return cls(expert, embodiment=embodiment, subgoal_spec=subgoal_spec, statistics=statistics)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """From an opened checkpoint. Raises `CheckpointError` where the weights don't fit the configuration."""
        manifest = checkpoint.manifest
        actor = cls.build(
            checkpoint.parse(DiTConfig, manifest.actor.config, where="actor.config"),
            embodiment=manifest.embodiment,
            subgoal_spec=manifest.subgoal,
            statistics=checkpoint.parse(ControllerStatistics, checkpoint.read_text(STATISTICS), where=STATISTICS),
        )
        weights = {name: value.float() for name, value in load_file(checkpoint.weights(manifest.actor)).items()}
        try:
            actor.expert.load_state_dict(weights, strict=True)
        except RuntimeError as error:
            raise CheckpointError(
                f"actor weights of {checkpoint.folder.name!r} don't fit its config: {error}"
            ) from error
        return actor

    def with_backend(self, backend: str) -> Self:
        """The same actor, sampled by another engine, with the weights of now. See `dualsys.actor.backends`.

        Raises:
            ConfigError: an unknown backend, or one whose rows differ from eager's.
        """
        if backend.startswith("onnx"):
            raise ConfigError(f"actor backend {backend!r} has no graph of this expert; it has eager and compiled")
        return type(self)(
            self.expert,
            embodiment=self._embodiment,
            subgoal_spec=self.subgoal_spec,
            statistics=self.statistics,
            sampler=build_sampler(cast(ActionExpert, self._robot), backend),
        )

    def save(self, checkpoint: Checkpoint) -> ModuleEntry:
        """Write weights and statistics into a folder; returns the manifest's entry."""
        folder = checkpoint.folder
        save_file({name: value.contiguous() for name, value in self.expert.state_dict().items()}, folder / WEIGHTS)
        (folder / STATISTICS).write_text(self.statistics.model_dump_json(indent=2) + "\n")
        return ModuleEntry(name="dit", config=self.config.model_dump(mode="json"), weights=WEIGHTS)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The robot it drives."""
        return self._embodiment

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """What `act` accepts."""
        return self._flow.subgoal_spec

    @property
    def horizon(self) -> int:
        """Rows in a chunk."""
        return self.config.horizon

    @property
    def dt_s(self) -> float:
        """Time between rows."""
        return self.config.dt_s

    @property
    def guidances(self) -> frozenset[Guidance]:
        """Ways in which it continues the rows of a `prefix`; `freeze-and-ramp` is GR00T N1.7's own."""
        return self._flow.guidances

    def reset(self, *, seed: int = 0) -> None:
        """Seed the noise."""
        self._flow.reset(seed=seed)

    def prepare(self, subgoal: LatentSubgoal) -> None:
        """Make ready, ahead of `act`, what depends on a subgoal alone. Raises `SpecMismatch` as `act` does."""
        self._flow.prepare(subgoal)

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Sample a chunk whose row 0 is meant for `observation.stamp_s`; with a `prefix`, one that continues it.

        Raises:
            SpecMismatch: for a subgoal of another shape than the spec's, and a guidance that isn't in `guidances`.
        """
        wide = replace(observation, state=padded(observation.state, self.config.max_states))
        if prefix is not None:
            prefix = replace(prefix, rows=padded(prefix.rows, self.config.max_actions))
        chunk = self._flow.act(wide, subgoal, prefix)
        return replace(chunk, rows=chunk.rows[:, : self._embodiment.num_actions].copy())


def _require_fit(
    config: DiTConfig, embodiment: EmbodimentSpec, subgoal_spec: SubgoalSpec, statistics: ControllerStatistics
) -> None:
    if (subgoal_spec.num_tokens, subgoal_spec.dim) != (config.num_subgoal_tokens, config.context_width):
        raise SpecMismatch(
            f"the expert reads {config.num_subgoal_tokens} features of width {config.context_width}, subgoals carry "
            f"{subgoal_spec.num_tokens} of {subgoal_spec.dim}"
        )
    if config.state_history != 1:
        raise SpecMismatch(f"the expert reads {config.state_history} successive states; an actor is given one")
    told = len(statistics.state.mean), len(statistics.action.mean)
    if told != (embodiment.num_states, embodiment.num_actions):
        raise SpecMismatch(
            f"statistics are for {told[0]} states and {told[1]} actions, embodiment {embodiment.name!r} has "
            f"{embodiment.num_states} and {embodiment.num_actions}"
        )
