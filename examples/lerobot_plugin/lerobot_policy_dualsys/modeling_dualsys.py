"""A controller as a LeRobot policy: both systems, chunk policy and safety gate behind `select_action`.

Time is counted in steps of the environment, so the latencies in the config are those of the virtual clock.
"""

from typing import Any

import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from dualsys import Controller, Observation
from dualsys.actor.outside.openpi_actor import OpenPIActor
from dualsys.checkpoint import Checkpoint
from dualsys.settings import CoreConfig, TimingConfig
from lerobot_policy_dualsys.configuration_dualsys import DualsysConfig


class DualsysPolicy(PreTrainedPolicy):  # type: ignore[misc]
    """A controller for each environment of a batch."""

    config_class = DualsysConfig
    name = "dualsys"

    def __init__(self, config: DualsysConfig, **_: Any) -> None:
        super().__init__(config)
        self._controllers: list[Controller] = []
        self._episode = config.first_seed - 1
        self._step = 0

    def reset(self) -> None:
        """A new episode of every environment."""
        self._episode += 1
        self._step = 0
        for controller in self._controllers:
            controller.reset(seed=self._episode)

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """Commands `(b, nu)` for a batch of observations."""
        states = batch["observation.state"]
        while len(self._controllers) < len(states):
            self._controllers.append(self._new_controller())
        stamp_s = self._step / self.config.control_hz
        self._step += 1
        targets = []
        for row, controller in enumerate(self._controllers[: len(states)]):
            seen = Observation(
                stamp_s=stamp_s,
                state=states[row].double().cpu().numpy(),
                images={
                    camera.name: _picture(batch[f"observation.images.{camera.name}"][row])
                    for camera in controller.embodiment.cameras
                },
                instruction=batch["task"][row],
            )
            targets.append(torch.from_numpy(controller.step(seen).target.copy()))
        return torch.stack(targets)

    def predict_action_chunk(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """One row: how chunks are played is the controller's business."""
        return self.select_action(batch)[:, None]

    def get_optim_params(self) -> dict[str, Any]:
        """There is nothing to train."""
        return {}

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Any] | None]:
        """There is nothing to train."""
        raise NotImplementedError("a controller of dualsys is trained by `dualsys train`")

    def _new_controller(self) -> Controller:
        timing = TimingConfig(
            planner_hz=self.config.planner_hz,
            planner_latency_s=self.config.planner_latency_s,
            actor_latency_s=self.config.actor_latency_s,
            control_hz=self.config.control_hz,
        )
        if self.config.server:
            robot = Checkpoint.open(self.config.checkpoint).manifest.embodiment
            keys, dt_s = self.config.server_keys, 1 / self.config.control_hz
            actor = OpenPIActor(self.config.server, robot, keys=keys, dt_s=dt_s)
            controller = Controller(None, actor, timing=timing, core=CoreConfig(first_subgoal_wait_s=0.0))
        else:
            controller = Controller.from_checkpoint(self.config.checkpoint, timing=timing)
        controller.reset(seed=self._episode)
        return controller


def _picture(image: Tensor) -> Any:
    """`(3, h, w)` in [0, 1], as LeRobot has it, to `(h, w, 3)` uint8: what it was made from, to the bit."""
    return (image * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
