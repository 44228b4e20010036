"""GR00T N1.5, N1.6 and N1.7, as NVIDIA publishes them: sharded, with statistics of every robot they were trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from dualsys.actor.normalization import ControllerStatistics
from dualsys.app.importing.family import Modules, Published
from dualsys.app.importing.groot_sight import LEAST_SIDE
from dualsys.app.importing.groot_statistics import GrootRobot
from dualsys.app.importing.layouts.groot import Version, plan_groot
from dualsys.app.importing.layouts.groot_config import groot_actor_config, groot_backbone_config
from dualsys.app.importing.layouts.groot_published import groot_planner_config
from dualsys.app.importing.normalization import Normalization, PublishedStatistics
from dualsys.app.importing.relative import RelativeActions
from dualsys.app.importing.robot import Robot, Widths
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError, ConfigError
from dualsys.planner.feature_backbones import build_backbone
from dualsys.planner.feature_config import EagleConfig, FeaturePlannerConfig, Qwen3VLConfig

_ROOM_FOR_WORDS = 96
_ROOM_AROUND_IMAGE = 8
_TOKENIZERS: dict[Version, str] = {
    "n1_5": "nvidia/Eagle2-2B",
    "n1_6": "nvidia/Eagle-Block2A-2B-v2",
    "n1_7": "nvidia/Cosmos-Reason2-2B",
}
_OWN_BACKBONE: dict[Version, tuple[str, ...]] = {
    "n1_5": ("vision", "text"),
    "n1_6": ("vision", "text"),
    "n1_7": ("qwen3vl",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GrootFamily:
    """One of them."""

    published: Published
    version: Version
    robot: GrootRobot

    @property
    def layout(self) -> str:
        """As `--layout` names it."""
        return f"groot-{self.version.replace('_', '.')}"

    @property
    def rigid(self) -> bool:
        """One robot's of many, which its statistics tell."""
        return False

    def statistics(self, prefix: str) -> PublishedStatistics:
        """Of its robot. Raises `ConfigError` for a prefix: their names have none."""
        if prefix:
            raise ConfigError("--statistics-prefix is of LeRobot's and openpi's statistics; GR00T's robots have --tag")
        return self.robot.statistics

    def normalization(self) -> Normalization:
        """By smallest and largest value, or by quantiles: what its processor says."""
        processor = self.robot.processor
        return Normalization(
            state=processor.mode,
            action=processor.mode,
            epsilon=1e-8,
            flat_is_zero=True,
            clips=processor.clips,
            parts=self.robot.parts,
        )

    def widths(self, statistics: PublishedStatistics) -> Widths:
        """Of its robot's statistics."""
        state, action = statistics.of("state", "min"), statistics.of("action", "min")
        head = self._head
        return Widths(
            name=self.robot.tag or self.published.folder.resolve().name,
            states=int(head.get("max_state_dim", 64)) if state is None else state.size,
            actions=int(head.get("max_action_dim", head.get("action_dim", 32))) if action is None else action.size,
            cameras=self.robot.cameras or (CameraSpec(name="head", height=256, width=256),),
        )

    def relative(self) -> RelativeActions | None:
        """What its processor says."""
        return self.robot.relative

    def tokenizer(self) -> str:
        """Of its vision-language model."""
        return self.published.get("model_name", "") or _TOKENIZERS[self.version]

    def modules(self, robot: Robot, statistics: ControllerStatistics) -> Modules:
        """A planner of features and the transformer that reads them."""
        if robot.missing:
            raise CheckpointError(
                f"GR00T looks through {', '.join(robot.cameras)}, of which {robot.embodiment.name!r} lacks "
                f"{', '.join(robot.missing)}; say which of its cameras stand for them: --cameras NAME ..."
            )
        self._require_projectors()
        planner = self._planner(robot)
        with torch.device("meta"):
            backbone = build_backbone(planner.backbone, "sdpa")
        each = backbone.tokens_of(*planner.images.shown)
        room = each * len(robot.cameras) + _ROOM_FOR_WORDS + _ROOM_AROUND_IMAGE * len(robot.cameras)
        planner = planner.model_copy(update={"num_tokens": room})
        actor = groot_actor_config(
            self._head,
            self.version,
            robot=self.robot.category,
            num_subgoal_tokens=room,
            num_image_tokens=each * len(robot.cameras),
        )
        rows = self.robot.processor.rows(actor.horizon)
        if rows < actor.horizon:
            actor = actor.model_copy(update={"kept_rows": rows})
        names = self.published.weights.tensors
        halves = plan_groot(names, self.version)
        return Modules(
            planner_name="features",
            planner=planner,
            actor_name="dit",
            actor=actor,
            halves=halves,
            tied=tuple(sorted(name for name in names if "lm_head" in name and name not in halves.read)),
            notes=(f"projectors of robot {self.robot.category} ({self.robot.tag or 'no tag'})", *self.robot.notes),
        )

    @property
    def _head(self) -> Mapping[str, Any]:
        head: Any = self.published.config.get("action_head_cfg") or self.published.config.get("head")
        return cast(Mapping[str, Any], head if isinstance(head, Mapping) else self.published.config)

    def _require_projectors(self) -> None:
        there = int(self._head.get("max_num_embodiments") or 32)
        if self.robot.category >= there:
            raise CheckpointError(
                f"projectors of robot {self.robot.tag or 'no tag'!r} are number {self.robot.category}, by "
                f"embodiment_id.json or, without it, NVIDIA's own list of N1.5; there are {there} "
                "(max_num_embodiments): give the embodiment_id.json that it was trained with"
            )

    def _planner(self, robot: Robot) -> FeaturePlannerConfig:
        """Of the published size, unless config.json describes the vision-language model itself."""
        config = self.published.config
        own = all(isinstance(config.get(name), Mapping) for name in _OWN_BACKBONE[self.version])
        planner = self._described(robot) if own else groot_planner_config(self.version, cameras=robot.cameras)
        sight = self.robot.processor.sight
        if sight is None:
            return planner
        seen = [camera for camera in robot.embodiment.cameras if camera.name in robot.cameras]
        images = sight.images_of(seen, step=_step(planner.backbone), least=0 if own else LEAST_SIDE)
        prompt = planner.prompt.model_copy(update={"formalize": sight.formalize})
        return planner.model_copy(update={"images": images, "prompt": prompt})

    def _described(self, robot: Robot) -> FeaturePlannerConfig:
        config = self.published.config
        sees = groot_planner_config("n1_5" if self.version == "n1_6" else self.version, cameras=robot.cameras)
        backbone = groot_backbone_config(config, self.version)
        side = int(config["vision"].get("image_size", 224)) if self.version == "n1_5" else sees.images.size
        images = sees.images.model_copy(update={"size": int(config.get("shown_size", side))})
        return sees.model_copy(update={"backbone": backbone, "images": images, "schema_id": f"groot-{self.version}/1"})


def _step(backbone: EagleConfig | Qwen3VLConfig) -> int:
    """Pixels of a side that become one token."""
    if isinstance(backbone, EagleConfig):
        return int(backbone.vision["patch_size"])
    vision = backbone.architecture["vision_config"]
    return int(vision["patch_size"] * vision["spatial_merge_size"])
