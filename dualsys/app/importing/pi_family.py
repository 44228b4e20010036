"""pi0 and pi0.5, as openpi's PyTorch port and LeRobot publish them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dualsys.actor.normalization import ControllerStatistics
from dualsys.app.importing.family import Modules, Published
from dualsys.app.importing.layouts.pi import PiVersion, plan_pi
from dualsys.app.importing.layouts.pi_config import (
    GEMMA_SIZES,
    IMAGE_TOKEN,
    SIGLIP,
    GemmaSize,
    pi_actor_config,
    pi_planner_config,
)
from dualsys.app.importing.lerobot_folder import LerobotFolder
from dualsys.app.importing.normalization import Normalization, PublishedStatistics
from dualsys.app.importing.published_statistics import read_openpi
from dualsys.app.importing.relative import RelativeActions
from dualsys.app.importing.robot import Robot, Widths
from dualsys.embodiment import CameraSpec
from dualsys.errors import CheckpointError, unknown_name
from dualsys.planner.prefix_config import StateConfig

_OPENPI_CAMERAS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
_OPENPI_EPSILON = 1e-6
_TOKENIZER = "google/paligemma-3b-pt-224"


@dataclass(frozen=True, slots=True, kw_only=True)
class PiFamily:
    """One of them."""

    published: Published
    version: PiVersion
    publisher: Literal["openpi", "lerobot"]
    padded_state: bool = False
    """Whether pi0.5's prompt tells the state with zeros up to the widest robot's, as LeRobot before 0.5 had it."""

    @property
    def layout(self) -> str:
        """As `--layout` names it."""
        return f"{self.publisher}-{self.version}"

    @property
    def rigid(self) -> bool:
        """LeRobot's folders are one robot's; openpi's tell the padded widths."""
        return self.publisher == "lerobot"

    def statistics(self, prefix: str) -> PublishedStatistics:
        """Those beside the weights."""
        if self.publisher == "openpi":
            return read_openpi(self.published.folder, prefix)
        return self._lerobot.statistics(prefix)

    def normalization(self) -> Normalization:
        """By mean and deviation in pi0, by quantiles in pi0.5, unless the folder tells otherwise."""
        default: Literal["mean-std", "quantiles"] = "mean-std" if self.version == "pi0" else "quantiles"
        if self.publisher == "openpi":
            return Normalization(state=default, action=default, epsilon=_OPENPI_EPSILON, always_added=True)
        return self._lerobot.normalization(default)

    def widths(self, statistics: PublishedStatistics) -> Widths:
        """Openpi's are those of its statistics."""
        if self.publisher == "lerobot":
            return self._lerobot.widths()
        kind = "mean" if self.version == "pi0" else "q01"
        state, action = statistics.of("state", kind), statistics.of("action", kind)
        cameras = tuple(CameraSpec(name=name, height=224, width=224) for name in _OPENPI_CAMERAS)
        widest = self.published.get("action_dim", 32)
        return Widths(
            name=self.published.folder.resolve().name,
            states=widest if state is None else state.size,
            actions=widest if action is None else action.size,
            cameras=cameras,
        )

    def relative(self) -> RelativeActions | None:
        """What LeRobot's steps say; openpi's checkpoints don't."""
        return self._lerobot.relative() if self.publisher == "lerobot" else None

    def tokenizer(self) -> str:
        """PaliGemma's."""
        return self._lerobot.tokenizer(_TOKENIZER) if self.publisher == "lerobot" else _TOKENIZER

    def modules(self, robot: Robot, statistics: ControllerStatistics) -> Modules:
        """A planner of prefixes and the expert that reads them."""
        published = self.published
        self._refuse()
        widest = published.get("max_action_dim", published.get("max_dim", published.get("action_dim", 32)))
        states = published.get("max_state_dim", widest)
        vlm, expert = self._size("paligemma_variant", "vlm"), self._size("action_expert_variant", "expert")
        text = 48 if self.version == "pi0" else 200
        planner = pi_planner_config(
            self.version,
            vlm=vlm,
            vision=dict(published.get("vision", SIGLIP)),
            vocabulary=published.get("vocab", IMAGE_TOKEN),
            cameras=robot.cameras,
            optional_cameras=robot.missing,
            state=self._state(statistics, states),
            max_text_tokens=self._lerobot.max_text_tokens(text) if self.publisher == "lerobot" else text,
            tidy=self.publisher == "openpi",
            schema_id=f"{self.version}/1",
        )
        steps = published.get("num_inference_steps", published.get("num_steps", published.get("steps", 10)))
        actor = pi_actor_config(
            self.version,
            vlm=vlm,
            expert=expert,
            horizon=published.get("chunk_size", published.get("action_horizon", published.get("chunk", 50))),
            max_actions=widest,
            max_states=states,
            num_inference_steps=steps,
            min_period=published.get("min_period", 4e-3),
            max_period=published.get("max_period", 4.0),
        )
        names = published.weights.tensors
        halves = plan_pi(names, self.version)
        return Modules(
            planner_name="prefix",
            planner=planner,
            actor_name="joint",
            actor=actor,
            halves=halves,
            tied=tuple(sorted(name for name in names if _is_tied(name) and name not in halves.read)),
            notes=self._notes(robot, planner.state),
        )

    @property
    def _lerobot(self) -> LerobotFolder:
        return LerobotFolder.of(self.published, self.version)

    def _state(self, statistics: ControllerStatistics, widest: int) -> StateConfig | None:
        if self.version == "pi0" or not self.published.get("discrete_state_input", True):
            return None
        # The robot's own numbers, as openpi and LeRobot since 0.5; LeRobot 0.4 told zeros up to the widest robot's.
        padded = widest if self.padded_state else len(statistics.state.mean)
        return StateConfig(offset=statistics.state.mean, scale=statistics.state.std, padded=padded)

    def _size(self, variant: str, section: str) -> GemmaSize:
        told: Any = self.published.config.get(section)
        if isinstance(told, Mapping):
            try:
                return GemmaSize(**told)
            except TypeError as error:
                raise CheckpointError(f"config.json: {section} must tell {', '.join(GemmaSize._fields)}") from error
        name = self.published.get(variant, "gemma_2b" if section == "vlm" else "gemma_300m")
        if name not in GEMMA_SIZES:
            raise CheckpointError(f"config.json: {variant}: {unknown_name('size', name, GEMMA_SIZES)}")
        return GEMMA_SIZES[name]

    def _refuse(self) -> None:
        self.published.refuse(
            "use_delta_joint_actions_aloha",
            "adapt_to_pi_aloha",
            fix="Aloha's adapted joints can't be imported: nothing here would turn them back",
        )

    def _notes(self, robot: Robot, state: StateConfig | None) -> tuple[str, ...]:
        missing = f"cameras that {robot.embodiment.name!r} doesn't have: {', '.join(robot.missing)}"
        found: tuple[str, ...] = (missing,) if robot.missing else ()
        if self.publisher == "openpi":
            told = "whether actions are relative to the state stands in openpi's code, not in the checkpoint"
            return (*found, f"{told}: look there")
        found += self._lerobot.notes()
        if state is None:
            return found
        if self.padded_state:
            told = f"the prompt tells {state.padded} numbers of the state, with zeros behind, as LeRobot 0.4 did"
            return (*found, told)
        told = f"the prompt tells the {robot.states} numbers of the state alone, as LeRobot does since 0.5"
        return (*found, f"{told}; if 0.4 trained the weights: --padded-state")


def _is_tied(name: str) -> bool:
    return ".paligemma." in name and "lm_head" in name
