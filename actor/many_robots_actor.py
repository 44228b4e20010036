"""`ManyRobotActor`: what is trained and kept for several robots; `for_robot` gives the `FlowActor` of one.

A checkpoint of several robots names all of them (`Manifest.robots`), keeps the statistics of each, and is opened for
one: `FlowActor.from_checkpoint` takes that of the manifest's `embodiment`.
"""

from collections.abc import Sequence
from typing import Self

from safetensors.torch import save_file
from torch import nn

from dualsys.actor.config import FlowActorConfig
from dualsys.actor.experts import name_of
from dualsys.actor.flow_actor import WEIGHTS, FlowActor
from dualsys.actor.many_robots import ManyRobotExpert
from dualsys.actor.normalization import StatisticsByRobot
from dualsys.checkpoint import STATISTICS, Checkpoint, ModuleEntry
from dualsys.device import model_device
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import SpecMismatch, unknown_name
from dualsys.weights import fill


class ManyRobotActor:
    """One expert, and what each of its robots is and is scaled by."""

    def __init__(
        self,
        expert: ManyRobotExpert,
        *,
        robots: Sequence[EmbodimentSpec],
        subgoal_spec: SubgoalSpec,
        statistics: StatisticsByRobot,
    ) -> None:
        """Raises `SpecMismatch` where expert, robots and statistics don't fit."""
        sizes = tuple((robot.name, robot.num_states, robot.num_actions) for robot in robots)
        if expert.config.robots != sizes:
            raise SpecMismatch(f"the expert is of the robots {expert.config.robots}, asked for are {sizes}")
        scaled = tuple((name, own.state.width, own.action.width) for name, own in statistics.robots.items())
        if scaled != sizes:
            raise SpecMismatch(f"statistics are of {scaled} (robot, states, actions), the robots are {sizes}")
        self.expert = expert
        self.config: FlowActorConfig = expert.config
        self.robots = tuple(robots)
        self.subgoal_spec = subgoal_spec
        self.statistics = statistics

    @classmethod
    def build(
        cls,
        config: FlowActorConfig,
        *,
        robots: Sequence[EmbodimentSpec],
        subgoal_spec: SubgoalSpec,
        statistics: StatisticsByRobot,
    ) -> Self:
        """With fresh weights; the robots' names and sizes are written into the configuration."""
        sizes = [[robot.name, robot.num_states, robot.num_actions] for robot in robots]
        told = FlowActorConfig.model_validate(config.model_dump() | {"robots": sizes})
        expert = ManyRobotExpert(told, num_subgoal_tokens=subgoal_spec.num_tokens, subgoal_dim=subgoal_spec.dim)
        return cls(expert.to(model_device()), robots=robots, subgoal_spec=subgoal_spec, statistics=statistics)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """Of all robots of an opened checkpoint. Raises `CheckpointError` where a part doesn't fit."""
        manifest = checkpoint.manifest
        actor = cls.build(
            checkpoint.parse(FlowActorConfig, manifest.actor.config, where="actor.config"),
            robots=manifest.robots,
            subgoal_spec=manifest.subgoal,
            statistics=checkpoint.parse(StatisticsByRobot, checkpoint.read_text(STATISTICS), where=STATISTICS),
        )
        fill(actor.expert, checkpoint.weights(manifest.actor), owner="actor")
        return actor

    def for_robot(self, name: str) -> FlowActor:
        """The actor of one robot, with the weights of now. Raises `SpecMismatch` for an unknown one."""
        names = [robot.name for robot in self.robots]
        if name not in names:
            raise SpecMismatch(unknown_name("robot", name, names) + " Train an actor for it: dualsys train --help")
        index = names.index(name)
        return FlowActor(
            self.expert.of_robot(index),
            embodiment=self.robots[index],
            subgoal_spec=self.subgoal_spec,
            statistics=self.statistics.robots[name],
        )

    def with_expert(self, expert: nn.Module) -> Self:
        """The same over other weights of the same architecture."""
        assert isinstance(expert, ManyRobotExpert)
        return type(self)(expert, robots=self.robots, subgoal_spec=self.subgoal_spec, statistics=self.statistics)

    def save(self, checkpoint: Checkpoint) -> ModuleEntry:
        """Write weights and statistics of all robots into a folder; returns the manifest's entry."""
        folder = checkpoint.folder
        save_file({name: value.contiguous() for name, value in self.expert.state_dict().items()}, folder / WEIGHTS)
        (folder / STATISTICS).write_text(self.statistics.model_dump_json(indent=2) + "\n")
        return ModuleEntry(name=name_of(self.config), config=self.config.model_dump(mode="json"), weights=WEIGHTS)

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The first robot, which a checkpoint is of where none is asked for."""
        return self.robots[0]

    @property
    def horizon(self) -> int:
        """Rows in a chunk."""
        return self.config.horizon

    @property
    def dt_s(self) -> float:
        """Time between rows."""
        return self.config.dt_s
