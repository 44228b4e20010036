"""Loops of an evaluation, each in a process of its own: what `benchmarks.eval_throughput` times.

    python -m benchmarks.eval_throughput_loops metaworld "stock, every step" 10

prints the CPU milliseconds of a reset and of a step with its pictures, as JSON. All threads of the process count, so
that a busy machine changes little. Actions are drawn at random and cost nothing; environments are built before.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dualsys.messages import FloatArray
from dualsys.sim_envs.options import ResetKind

PICTURES_HZ = 10.0
"""Of the loops in which only a planner looks."""


class Loop(Protocol):
    """One environment under a loop."""

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        ...

    def step(self, number: int, action: FloatArray) -> None:
        """Step number `number` of an episode, with the pictures that belong to it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to evaluate a suite."""

    build: Callable[[], Loop]
    beside: str | None = None
    """The stock loop with the same pictures, at the same size and rate; None: a stock loop itself."""
    bar: bool = False
    """Whether the claim is about this pair."""


class Ours:
    """An environment of ours whose pictures are read as often as somebody looks."""

    def __init__(
        self,
        task: str,
        *,
        size: int,
        cameras: tuple[str, ...],
        every: int | None,
        reset_kind: ResetKind | None = None,
    ) -> None:
        from dualsys import sim_envs

        self._environment = sim_envs.make(
            task, images="on-demand", image_size=size, cameras=cameras, reset_kind=reset_kind
        )
        self._cameras, self._every = cameras, every

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._environment.reset(seed=seed)

    def step(self, number: int, action: FloatArray) -> None:
        """A step, and perhaps pictures of it."""
        self._environment.step(action)
        observation = self._environment.observe()
        if self._every is not None and number % self._every == 0:
            for camera in self._cameras:
                observation.images[camera]


class StockMetaworld:
    """Meta-World's class with its own renderer, as LeRobot's environment drives it."""

    def __init__(self, name: str, *, size: int, every: int | None) -> None:
        import metaworld

        benchmark = metaworld.MT1(name, seed=42)
        self._environment: Any = benchmark.train_classes[name](
            render_mode="rgb_array", camera_name="corner2", width=size, height=size
        )
        self._environment.set_task(benchmark.train_tasks[0])
        self._environment.model.cam_pos[2] = [0.75, 0.075, 0.7]
        self._environment.reset()
        self._environment._freeze_rand_vec, self._environment.seeded_rand_vec = False, True
        self._every = every

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._environment.seed(seed)
        self._environment.reset(seed=seed)

    def step(self, number: int, action: FloatArray) -> None:
        """A step, and perhaps a picture of it."""
        self._environment.step(action)
        if self._every is not None and number % self._every == 0:
            np.flip(self._environment.render(), (0, 1)).copy()


class StockAloha:
    """gym-aloha's environment, which draws three cameras in every step."""

    def __init__(self) -> None:
        import gymnasium

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import gym_aloha  # noqa: F401  # registers

            self._environment = gymnasium.make("gym_aloha/AlohaTransferCube-v0", obs_type="pixels_agent_pos").unwrapped

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._environment.reset(seed=seed)

    def step(self, number: int, action: FloatArray) -> None:
        """A step with its pictures."""
        del number
        self._environment.step(action)


class StockLibero:
    """The benchmark's environment as openpi drives it: two cameras in every step, a hard reset, a listed start."""

    def __init__(self, title: str, *, size: int) -> None:
        from libero.libero import get_libero_path
        from libero.libero.envs import OffScreenRenderEnv

        name = f"libero_spatial/{title}"
        self._environment: Any = OffScreenRenderEnv(
            bddl_file_name=f"{get_libero_path('bddl_files')}/{name}.bddl", camera_heights=size, camera_widths=size
        )
        self._starts = np.load(f"{get_libero_path('init_states')}/{name}.pruned_init.npz", allow_pickle=False)["states"]

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._environment.seed(seed)
        self._environment.reset()
        self._environment.set_init_state(self._starts[seed])

    def step(self, number: int, action: FloatArray) -> None:
        """A step with its pictures."""
        del number
        self._environment.step(action)


class LeRobotMetaworld:
    """LeRobot's own environment, in a Python that has LeRobot and Meta-World."""

    def __init__(self, name: str, *, size: int) -> None:
        from lerobot.envs.metaworld import MetaworldEnv

        self._environment = MetaworldEnv(
            name, obs_type="pixels_agent_pos", observation_width=size, observation_height=size
        )

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self._environment.reset(seed=seed)

    def step(self, number: int, action: FloatArray) -> None:
        """A step with its picture."""
        del number
        self._environment.step(action)


_METAWORLD, _ALOHA, _LIBERO = "metaworld/pick-place-v3", "aloha/transfer-cube", "libero/spatial-2"
_LIBERO_TITLE = "pick_up_the_black_bowl_from_table_center_and_place_it_on_the_plate"
_LIBERO_SIZE = 256
_LIBERO_CAMERAS = ("agentview", "robot0_eye_in_hand")
_SIZE = 480
_ALOHA_SIZE = 554
"""As many pixels as gym-aloha's 640 x 480."""
_THREE = ("top", "angle", "front_close")


def _metaworld(every: int | None, size: int = _SIZE) -> Callable[[], Loop]:
    return lambda: Ours(_METAWORLD, size=size, cameras=("corner2",), every=every)


def _aloha(cameras: tuple[str, ...], every: int | None, size: int = _ALOHA_SIZE) -> Callable[[], Loop]:
    return lambda: Ours(_ALOHA, size=size, cameras=cameras, every=every)


def _stock_metaworld(every: int | None) -> Callable[[], Loop]:
    return lambda: StockMetaworld("pick-place-v3", size=_SIZE, every=every)


def _libero(every: int | None, reset_kind: ResetKind = "hard") -> Callable[[], Loop]:
    return lambda: Ours(_LIBERO, size=_LIBERO_SIZE, cameras=_LIBERO_CAMERAS, every=every, reset_kind=reset_kind)


WAYS: dict[str, dict[str, Way]] = {
    "metaworld": {
        "LeRobot, every step": Way(build=lambda: LeRobotMetaworld("pick-place-v3", size=_SIZE)),
        "stock, every step": Way(build=_stock_metaworld(1)),
        "stock, 10 Hz": Way(build=_stock_metaworld(8)),
        "stock, no pictures": Way(build=_stock_metaworld(None)),
        "ours, every step": Way(build=_metaworld(1), beside="stock, every step", bar=True),
        "ours, 10 Hz": Way(build=_metaworld(8), beside="stock, 10 Hz", bar=True),
        "ours, no pictures": Way(build=_metaworld(None), beside="stock, no pictures"),
        "ours, 10 Hz, 96 px": Way(build=_metaworld(8, 96)),
    },
    "aloha": {
        "stock, 3 cameras, every step": Way(build=StockAloha),
        "ours, 3 cameras, every step": Way(build=_aloha(_THREE, 1), beside="stock, 3 cameras, every step", bar=True),
        "ours, 1 camera, every step": Way(build=_aloha(("top",), 1)),
        "ours, 1 camera, 10 Hz": Way(build=_aloha(("top",), 5)),
        "ours, 1 camera, 10 Hz, 96 px": Way(build=_aloha(("top",), 5, 96)),
        "ours, no pictures": Way(build=_aloha(("top",), None)),
    },
    "libero": {
        "stock, every step": Way(build=lambda: StockLibero(_LIBERO_TITLE, size=_LIBERO_SIZE)),
        "ours, every step": Way(build=_libero(1), beside="stock, every step"),
        "ours, 4 Hz": Way(build=_libero(5)),
        "ours, 4 Hz, soft reset": Way(build=_libero(5, "soft")),
        "ours, no pictures": Way(build=_libero(None)),
    },
}
HORIZONS = {"metaworld": 500, "aloha": 400, "libero": 220}
"""Steps of an episode that nobody solves."""
_ACTIONS = {"metaworld": 4, "aloha": 14, "libero": 7}
_PERIOD = 40
"""Steps that are timed together: a multiple of those between two pictures."""


def measure(suite: str, way: str, seconds: float) -> dict[str, float]:
    """CPU milliseconds of a reset, and of a step over at least so many seconds of CPU time."""
    loop = WAYS[suite][way].build()
    actions = np.random.default_rng(0).uniform(-0.3, 0.3, (_PERIOD, _ACTIONS[suite]))
    loop.reset(0)
    loop.step(0, actions[0])  # contexts are made, textures sent
    started_s = time.process_time()
    for seed in range(3):
        loop.reset(seed)
    reset_ms = 1000 * (time.process_time() - started_s) / 3
    steps, started_s = 0, time.process_time()
    while time.process_time() - started_s < seconds and steps <= HORIZONS[suite] - _PERIOD:
        for number, action in enumerate(actions):
            loop.step(number, action)
        steps += _PERIOD
    return {"reset_ms": reset_ms, "step_ms": 1000 * (time.process_time() - started_s) / steps, "steps": float(steps)}


if __name__ == "__main__":
    os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ.setdefault("LP_NUM_THREADS", "1")  # for all alike: a core each is what is asked about
    print(json.dumps(measure(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
