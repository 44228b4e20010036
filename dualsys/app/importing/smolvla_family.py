"""SmolVLA, as LeRobot publishes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dualsys.actor.normalization import ControllerStatistics
from dualsys.app.importing.family import Modules, Published
from dualsys.app.importing.layouts.smolvla import plan_smolvla
from dualsys.app.importing.layouts.smolvla_config import SMOLVLM2_500M, smolvla_actor_config, smolvla_planner_config
from dualsys.app.importing.lerobot_folder import LerobotFolder
from dualsys.app.importing.normalization import Normalization, PublishedStatistics
from dualsys.app.importing.relative import RelativeActions
from dualsys.app.importing.robot import Robot, Widths
from dualsys.errors import CheckpointError
from dualsys.planner.prefix_config import StateConfig

_TOKENIZER = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
_SECTIONS = ("vision_config", "text_config", "scale_factor", "image_token_id", "tie_word_embeddings")
_FRAME = (49189, 49152)
"""SmolVLM2's fake image token and global image token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmolVLAFamily:
    """Its folder."""

    published: Published

    @property
    def layout(self) -> str:
        """As `--layout` names it."""
        return "lerobot-smolvla"

    @property
    def rigid(self) -> bool:
        """A folder is one robot's."""
        return True

    def statistics(self, prefix: str) -> PublishedStatistics:
        """Those beside the weights."""
        return self._lerobot.statistics(prefix)

    def normalization(self) -> Normalization:
        """By mean and deviation, unless the folder tells otherwise."""
        return self._lerobot.normalization("mean-std")

    def widths(self, statistics: PublishedStatistics) -> Widths:
        """Of config.json."""
        return self._lerobot.widths()

    def relative(self) -> RelativeActions | None:
        """What the folder's steps say; LeRobot's own SmolVLA has none."""
        return self._lerobot.relative()

    def tokenizer(self) -> str:
        """SmolVLM2's."""
        return self._lerobot.tokenizer(self.published.get("vlm_model_name", _TOKENIZER))

    def modules(self, robot: Robot, statistics: ControllerStatistics) -> Modules:
        """A planner of prefixes with the state's token, and the expert that reads them."""
        published = self.published
        self._refuse()
        widest = published.get("max_action_dim", published.get("max_dim", 32))
        states = published.get("max_state_dim", published.get("max_dim", 32))
        layers, vlm = published.get("num_vlm_layers", 16), self._vlm()
        planner = smolvla_planner_config(
            vlm=vlm,
            num_layers=layers,
            cameras=robot.cameras,
            state=StateConfig(offset=statistics.state.mean, scale=statistics.state.std, padded=states),
            prefix_length=published.get("prefix_length", -1),
            special_tokens=self._frame() if published.get("add_image_special_tokens", False) else None,
            optional_cameras=robot.missing,
            max_text_tokens=self._lerobot.max_text_tokens(48),
            schema_id="smolvla/1",
        )
        actor = smolvla_actor_config(
            vlm=vlm,
            num_layers=layers,
            num_expert_layers=published.get("num_expert_layers", -1),
            width_multiplier=published.get("expert_width_multiplier", 0.75),
            cross="cross" in published.get("attention_mode", "cross_attn"),
            self_attention_every=published.get("self_attn_every_n_layers", 2),
            horizon=published.get("chunk_size", published.get("chunk", 50)),
            max_actions=widest,
            max_states=states,
            num_inference_steps=published.get("num_steps", published.get("steps", 10)),
            min_period=published.get("min_period", 4e-3),
            max_period=published.get("max_period", 4.0),
        )
        names = published.weights.tensors
        halves = plan_smolvla(names, num_layers=layers)
        return Modules(
            planner_name="prefix",
            planner=planner,
            actor_name="joint",
            actor=actor,
            halves=halves,
            tied=tuple(sorted(name for name in names if _is_tied(name) and name not in halves.read)),
            notes=(
                "the state is a token of the prefix: it is as old as the planner's newest subgoal",
                *self._lerobot.notes(),
            ),
        )

    @property
    def _lerobot(self) -> LerobotFolder:
        return LerobotFolder.of(self.published, "smolvla")

    def _vlm(self) -> dict[str, Any]:
        """Of a language model that config.json describes; it names the published one only."""
        told = {name: self.published.config[name] for name in _SECTIONS if name in self.published.config}
        if isinstance(told.get("text_config"), Mapping):
            return told
        name = self.published.get("vlm_model_name", _TOKENIZER)
        if not name.startswith(_TOKENIZER.removesuffix("-Video-Instruct")):
            raise CheckpointError(
                f"config.json: vlm_model_name is {name!r}; only SmolVLM2-500M is known by name. Put the language "
                "model's own vision_config and text_config into config.json"
            )
        return SMOLVLM2_500M

    def _frame(self) -> tuple[int, int]:
        published = self.published
        return published.get("fake_image_token", _FRAME[0]), published.get("global_image_token", _FRAME[1])

    def _refuse(self) -> None:
        side = int(self._vlm()["vision_config"]["image_size"])
        shown = self.published.config.get("resize_imgs_with_padding", [side, side])
        if shown != [side, side]:
            raise CheckpointError(
                f"config.json: resize_imgs_with_padding is {shown}; only the vision model's own {side} pixels can be "
                "imported"
            )
        self.published.refuse(
            "adapt_to_pi_aloha",
            "use_delta_joint_actions_aloha",
            fix="Aloha's adapted joints can't be imported: nothing here would turn them back",
        )


def _is_tied(name: str) -> bool:
    return "vlm_with_expert.vlm.lm_head" in name
