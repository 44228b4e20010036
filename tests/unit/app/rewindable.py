"""A cart on a rail that can be set back, a controller that only ever goes to one place, and an expert that asks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import dualsys
from dualsys.app.correct import CorrectConfig
from dualsys.app.execution_noise import ExecutionNoise
from dualsys.app.recording import Demonstrator
from dualsys.app.recording_pool import WorkplaceConfig
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, SubgoalSpec
from dualsys.messages import FloatArray, Observation
from dualsys.protocols import Environment
from dualsys.testing import KnownPlanner, PoseActor

EMBODIMENT = EmbodimentSpec(
    name="cart",
    joints=(Joint(name="x", lower=-10, upper=10, max_velocity=10, max_acceleration=200),),
    state_names=("x", "v", "goal"),
    cameras=(CameraSpec(name="head", height=16, width=16),),
)
SUBGOAL = SubgoalSpec(num_tokens=2, dim=4)
GOALS = (2.0, 4.0)
HABIT = 2.0
"""Where the controller goes, whatever is asked for."""
LIMIT = 60
HELD = 5
"""Steps that the cart must stay within `NEAR` of its goal."""
NEAR = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    goal: float
    x: float
    v: float
    steps: int
    held: int
    clock_s: float
    solved: bool


class Cart:
    """A damped mass on a spring to its target; solved once it has stayed at its goal, out of time after `LIMIT`."""

    embodiment = EMBODIMENT
    control_dt_s = 0.02

    def __init__(self) -> None:
        self.now = Moment(goal=GOALS[0], x=0.0, v=0.0, steps=0, held=0, clock_s=0.0, solved=False)

    @property
    def instruction(self) -> str:
        return f"roll to {self.now.goal:.0f}"

    @property
    def success(self) -> bool:
        return self.now.solved

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        rng = np.random.default_rng(seed)
        goal, x = GOALS[int(rng.integers(2))], float(rng.uniform(-0.5, 0.5))
        self.now = Moment(goal=goal, x=x, v=0.0, steps=0, held=0, clock_s=0.0, solved=False)
        return None, {}

    def step(self, action: FloatArray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        now = self.now
        v = now.v + 0.02 * (400.0 * (float(action[0]) - now.x) - 40.0 * now.v)
        x = now.x + 0.02 * v
        held = now.held + 1 if abs(x - now.goal) < NEAR else 0
        self.now = replace(
            now, x=x, v=v, steps=now.steps + 1, held=held, clock_s=now.clock_s + 0.02, solved=now.solved or held >= HELD
        )
        return None, 0.0, self.now.solved, self.now.steps >= LIMIT, {}

    def observe(self) -> Observation:
        now = self.now
        image = np.full((16, 16, 3), np.clip(128 + 25 * now.x, 0, 255), np.uint8)
        return Observation(
            stamp_s=now.clock_s,
            state=np.array([now.x, now.v, now.goal]),
            images={"head": image},
            instruction=self.instruction,
        )

    def privileged(self) -> Mapping[str, Any]:
        return {"target_position": np.array([self.now.goal, 0.0, 0.0]), "blocks": {}}

    def close(self) -> None:
        pass

    def snapshot(self) -> Moment:
        return self.now

    def restore(self, snapshot: Moment, *, restart_clock: bool = False) -> None:
        self.now = replace(snapshot, steps=0, held=0, clock_s=0.0) if restart_clock else snapshot


class CartExpert:
    """Asks for the goal in steps of at most one."""

    name = "CartExpert"

    def __init__(self, cart: Cart, push: float, reach: float = 10.0) -> None:
        self.cart, self.noise, self.reach = cart, ExecutionNoise(push, 0.02), reach

    def reset(self, *, seed: int) -> None:
        self.noise.reset(seed)

    def act(self) -> tuple[FloatArray, FloatArray]:
        goal = min(self.cart.now.goal, self.reach)
        target = np.array([np.clip(goal, self.cart.now.x - 1, self.cart.now.x + 1)])
        return target, self.noise.push(target)


def make_controller() -> dualsys.Controller:
    return dualsys.Controller(KnownPlanner(SUBGOAL), PoseActor(EMBODIMENT, SUBGOAL, np.array([HABIT]), speed=8.0))


def make_parts(config: CorrectConfig) -> tuple[Environment, dualsys.Controller, Demonstrator]:
    cart = Cart()
    return cart, make_controller(), CartExpert(cart, config.noise_rad)


def make_parts_with_a_helpless_expert(config: CorrectConfig) -> tuple[Environment, dualsys.Controller, Demonstrator]:
    cart = Cart()
    return cart, make_controller(), CartExpert(cart, config.noise_rad, reach=1.0)


def make_cart(config: WorkplaceConfig) -> tuple[Environment, Demonstrator]:
    """For `dualsys demos`."""
    cart = Cart()
    return cart, CartExpert(cart, config.noise_rad)


def goal_of(seed: int) -> float:
    cart = Cart()
    cart.reset(seed=seed)
    return cart.now.goal
