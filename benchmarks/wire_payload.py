"""What `benchmarks.wire` sends: an observation as the pi family's policies take it, and their answer.

Up: three pictures of 224 x 224, 64 numbers of state, a sentence. Down: 50 rows of 32 numbers, which repeat the first
number of the state, so that whoever asked knows that the answer is to this question. Needs numpy alone.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAMERAS = ("head", "left_wrist", "right_wrist")
PICTURE = (224, 224, 3)
STATES = 64
HORIZON, ACTIONS = 50, 32
PROMPT = "pick up the red block and put it into the blue bowl"

Answer = Callable[[NDArray[np.float32], dict[str, NDArray[np.uint8]]], NDArray[np.floating[Any]]]
"""Asks with a state and pictures; the rows."""


def pictures() -> dict[str, NDArray[np.uint8]]:
    """Noise: nothing on the way compresses it."""
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 256, PICTURE, dtype=np.uint8) for name in CAMERAS}


def rows_for(state: NDArray[Any]) -> NDArray[np.float32]:
    """The answer to an observation."""
    return np.full((HORIZON, ACTIONS), state[0], dtype=np.float32)


def ask_on(ask: Answer, seconds: float) -> list[float]:
    """Ask again and again; microseconds from the question to the answer in hand."""
    images, state, took_us = pictures(), np.zeros(STATES, dtype=np.float32), []
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        state[0] += 1
        begin_s = time.perf_counter()
        rows = ask(state, images)
        took_us.append(1e6 * (time.perf_counter() - begin_s))
        if rows.shape != (HORIZON, ACTIONS) or rows[0, 0] != state[0] or rows[-1, -1] != state[0]:
            raise SystemExit(f"asked {state[0]}, answered {rows.shape} with {rows.flat[0]}")
    return took_us
