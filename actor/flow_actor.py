"""`FlowActor`: the actor protocol over a flow-matching expert, or over another head (`heads.py`) for comparison."""

import logging
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dualsys.actor.backends import build_sampler, eager_sampler
from dualsys.actor.experts import ExpertConfig, FlowExpert, build_expert, config_of, name_of
from dualsys.actor.eye import shown_to_eye
from dualsys.actor.guidance import Now, Running, sample_guided
from dualsys.actor.head_config import HeadConfig
from dualsys.actor.heads import Head
from dualsys.actor.normalization import ControllerStatistics
from dualsys.actor.sampling import Array, EagerSampler, Moment, Sampler, SubgoalCache, on_device
from dualsys.actor.smoothing import smoothing_matrix
from dualsys.actor.subgoal_arrays import SubgoalArrays
from dualsys.checkpoint import STATISTICS, Checkpoint, ModuleEntry
from dualsys.device import model_device
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import SpecMismatch
from dualsys.messages import ActionChunk, ActionPrefix, Guidance, LatentSubgoal, Observation
from dualsys.weights import fill

_LOGGER = logging.getLogger(__name__)

WEIGHTS = "actor.safetensors"


class FlowActor:
    """Samples chunks from an expert. Same seed, state and subgoal give the same chunk to the bit."""

    def __init__(
        self,
        expert: FlowExpert | Head,
        *,
        embodiment: EmbodimentSpec,
        subgoal_spec: SubgoalSpec,
        statistics: ControllerStatistics,
        sampler: Sampler | None = None,
    ) -> None:
        cast(nn.Module, expert).eval()
        self.expert: Any = expert
        """A `FlowExpert` or a `Head`; training calls it as its own class wants to be called."""
        self.config: Any = expert.config
        self.statistics = statistics
        self._embodiment = embodiment
        self._subgoal_spec = subgoal_spec
        self._arrays = SubgoalArrays(subgoal_spec)
        self._eager: Sampler = eager_sampler(self.expert)
        self._sampler: Sampler = self._eager if sampler is None else sampler
        self._memories = SubgoalCache(self._sampler.remember)
        self._is_eager = sampler is None or (isinstance(sampler, EagerSampler) and sampler.expert is expert)
        self._guided_memories = self._memories if self._is_eager else SubgoalCache(self._eager.remember)
        self._guides = False
        """Whether any chunk was guided yet: then most will be."""
        self._generator = torch.Generator()
        self.reset()

    @classmethod
    def build(
        cls,
        config: ExpertConfig,
        *,
        embodiment: EmbodimentSpec,
        subgoal_spec: SubgoalSpec,
        statistics: ControllerStatistics,
    ) -> Self:
        """With fresh weights. Raises `SpecMismatch` where statistics, embodiment, subgoals and expert don't fit."""
        if len(statistics.state.mean) != embodiment.num_states or len(statistics.action.mean) != embodiment.num_actions:
            raise SpecMismatch(
                f"statistics are for {len(statistics.state.mean)} states and {len(statistics.action.mean)} actions, "
                f"embodiment {embodiment.name!r} has {embodiment.num_states} and {embodiment.num_actions}"
            )
        expert = build_expert(config, embodiment=embodiment, subgoal_spec=subgoal_spec)
        placed: Any = expert.to(model_device())
        actor = cls(placed, embodiment=embodiment, subgoal_spec=subgoal_spec, statistics=statistics)
        if len(statistics.action_rows) not in (0, actor.horizon):
            raise SpecMismatch(
                f"statistics are of {len(statistics.action_rows)} rows apart, a chunk has {actor.horizon}; they need "
                "as many, or none"
            )
        return actor

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """From an opened checkpoint. Raises `CheckpointError` where the weights don't fit the configuration."""
        manifest = checkpoint.manifest
        config = checkpoint.parse(config_of(manifest.actor.name), manifest.actor.config, where="actor.config")
        if manifest.robots:
            from dualsys.actor.many_robots_actor import ManyRobotActor

            return cast(Self, ManyRobotActor.from_checkpoint(checkpoint).for_robot(manifest.embodiment.name))
        actor = cls.build(
            config,
            embodiment=manifest.embodiment,
            subgoal_spec=manifest.subgoal,
            statistics=checkpoint.parse(ControllerStatistics, checkpoint.read_text(STATISTICS), where=STATISTICS),
        )
        fill(actor.expert, checkpoint.weights(manifest.actor), owner="actor")
        return actor

    def with_expert(self, expert: nn.Module) -> Self:
        """The same actor over other weights of the same architecture."""
        return type(self)(
            cast(FlowExpert | Head, expert),
            embodiment=self._embodiment,
            subgoal_spec=self._subgoal_spec,
            statistics=self.statistics,
        )

    def with_backend(self, backend: str, precision: str = "auto") -> Self:
        """The same actor, sampled by another engine, with the weights of now. See `dualsys.actor.backends`.

        Raises:
            ConfigError: an unknown backend or precision, or one whose rows differ from eager's.
            ExtraMissing: what it needs is not installed.
        """
        return type(self)(
            self.expert,
            embodiment=self._embodiment,
            subgoal_spec=self._subgoal_spec,
            statistics=self.statistics,
            sampler=build_sampler(self.expert, backend, precision, self._arrays.shape),
        )

    def save(self, checkpoint: Checkpoint) -> ModuleEntry:
        """Write weights and statistics into a folder; returns the manifest's entry."""
        folder = checkpoint.folder
        save_file({name: value.contiguous() for name, value in self.expert.state_dict().items()}, folder / WEIGHTS)
        (folder / STATISTICS).write_text(self.statistics.model_dump_json(indent=2) + "\n")
        return ModuleEntry(name=name_of(self.config), config=self.config.model_dump(mode="json"), weights=WEIGHTS)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The robot it drives."""
        return self._embodiment

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """What `act` accepts."""
        return self._subgoal_spec

    @property
    def horizon(self) -> int:
        """Rows in a chunk."""
        return int(getattr(self.config, "kept_rows", 0) or self.config.horizon)

    @property
    def dt_s(self) -> float:
        """Time between rows."""
        return float(self.config.dt_s)

    @property
    def guidances(self) -> frozenset[Guidance]:
        """Ways in which it continues the rows of a `prefix`; most change a flow while it is integrated."""
        if isinstance(self.config, HeadConfig):
            return frozenset({"roll-forward"})
        learned: frozenset[Guidance] = frozenset({"trained-prefix"} if self.config.max_prefix else ())
        return learned | {"identity", "jacobian", "freeze-and-ramp", "roll-forward"}

    def reset(self, *, seed: int = 0) -> None:
        """Seed the noise."""
        self._generator.manual_seed(seed)
        self._held_noise_AU = self._draw_noise()

    def prepare(self, subgoal: LatentSubgoal) -> None:
        """Make ready, ahead of `act`, what depends on a subgoal alone. `act` gives the same rows without.

        Raises:
            SpecMismatch: for a subgoal of another shape than the spec's.
        """
        memory = self._guided_memory if self._guides else self._memory
        memory(*self._arrays.read(subgoal))

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """Sample a chunk whose row 0 is meant for `observation.stamp_s`.

        With a `prefix` the chunk continues it, as its `guidance` says; see `dualsys.actor.guidance`.

        Raises:
            SpecMismatch: for a subgoal of another shape than the spec's, and a guidance that isn't in `guidances`.
        """
        if prefix is not None and prefix.guidance == "roll-forward":
            return self._rolled_forward(observation, subgoal, prefix)
        tokens_KC, mask_K = self._arrays.read(subgoal)
        used = subgoal if bool(mask_K.any()) else None
        moment = Moment(
            noise_AU=self._held_noise_AU if self.config.noise == "held" else self._draw_noise(),
            state_X=_widened(self.statistics.state.normalize(observation.state), self.expert.num_states),
            age_s=0.0 if used is None else used.age_s(observation.stamp_s),
            image_CHW=self._image(observation),
        )
        if prefix is None:
            rows_AU = self._sampler.sample(self._memory(tokens_KC, mask_K), moment).astype(np.float64)
        else:
            rows_AU = self._guided(tokens_KC, mask_K, moment, self._running(prefix, observation), prefix.guidance)
        rows_AU = rows_AU[: self.horizon]
        if self.config.smoothing_window:
            rows_AU = smoothing_matrix(self.horizon, self.config.smoothing_window) @ rows_AU
        return ActionChunk(
            rows=self.statistics.rows_denormalized(rows_AU[:, : self._embodiment.num_actions], observation.state),
            dt_s=self.dt_s,
            start_stamp_s=observation.stamp_s,
            subgoal_sequence=-1 if used is None else used.sequence,
            subgoal_epoch=0 if used is None else used.epoch,
            subgoal_age_s=float("inf") if used is None else used.age_s(observation.stamp_s),
        )

    def _rolled_forward(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix
    ) -> ActionChunk:
        """A chunk for when the prefix will have run, behind the prefix's own rows."""
        rows = min(prefix.inference_delay, len(prefix.rows) - 1)
        way = prefix.rows[rows] - prefix.rows[0]
        moved = self._embodiment.moved(observation.state, way)
        later = replace(
            observation,
            stamp_s=observation.stamp_s + rows * self.dt_s,
            state=self.statistics.carried(observation.state, moved, way),
        )
        chunk = self.act(later, subgoal)
        joined = np.concatenate([prefix.rows[:rows], chunk.rows])[: self.horizon]
        age_s = chunk.subgoal_age_s - rows * self.dt_s
        return replace(chunk, rows=joined, start_stamp_s=observation.stamp_s, subgoal_age_s=age_s)

    def _guided(
        self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_], moment: Moment, running: Running, guidance: Guidance
    ) -> npt.NDArray[np.float64]:
        """Normalised rows `(A, U)` that continue a prefix: eager, whatever the engine, since each step is changed."""
        if guidance not in self.guidances:
            offered = ", ".join(sorted(self.guidances))
            raise SpecMismatch(f"guidance {guidance!r} is none of this actor's: {offered}")
        if not self._guides and not self._is_eager:
            engine = type(self._sampler).__name__
            _LOGGER.warning("chunks with guidance %r are sampled eagerly, not by %s", guidance, engine)
        self._guides = True
        memory = self._guided_memory(tokens_KC, mask_K)
        now = Now(*on_device(moment, self._device))
        rows_BAU = sample_guided(self.expert, memory, now, running, guidance)
        rows_AU: npt.NDArray[np.float64] = rows_BAU[0].cpu().numpy().astype(np.float64)
        return rows_AU

    def _running(self, prefix: ActionPrefix, observation: Observation) -> Running:
        """A prefix as the expert makes rows: relative, where it does so, to the new chunk's observation."""
        rows_AU = prefix.rows[: self.horizon]
        padded_AU = np.concatenate([rows_AU, np.repeat(rows_AU[-1:], self.config.horizon - len(rows_AU), axis=0)])
        wide_AU = _widened(self.statistics.rows_normalized(padded_AU, observation.state), self.expert.num_actions)
        return Running(rows_BAU=self._here(wide_AU), told=len(rows_AU), delay=prefix.inference_delay)

    def _here(self, array: npt.NDArray[Any]) -> Tensor:
        """A batch of one, on the expert's device."""
        return torch.from_numpy(np.array(array))[None].to(self._device)

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.expert.device
        return device

    def _draw_noise(self) -> Array:
        """Drawn on the processor whatever the device, so that a seed means the same everywhere."""
        noise: Array = torch.randn(self.config.horizon, self.expert.num_actions, generator=self._generator).numpy()
        return noise

    def _memory(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        return self._memories.memory(self._sampler.version, tokens_KC, mask_K)

    def _guided_memory(self, tokens_KC: Array, mask_K: npt.NDArray[np.bool_]) -> Any:
        return self._guided_memories.memory(self._eager.version, tokens_KC, mask_K)

    def _image(self, observation: Observation) -> Array | None:
        if self.config.vision is None:
            return None
        return shown_to_eye(observation, self.config.vision)


def _widened(values: npt.NDArray[Any], width: int) -> Array:
    """`(..., width)` float32, with zeros behind: a narrow robot in an expert's places."""
    wide: Array = np.zeros((*values.shape[:-1], width), dtype=np.float32)
    wide[..., : values.shape[-1]] = values
    return wide
