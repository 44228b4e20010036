"""The four messages that travel between the systems.

    Observation --> PLANNER --> LatentSubgoal --> ACTOR --> ActionChunk --> TICK --> Command

All are frozen, slotted, keyword-only values. Arrays are never written to after construction. Times are seconds on the
robot's own clock (monotonic on hardware, simulated on the virtual clock), so ages need no common clock between hosts.

Shape legend: `nx` states, `nu` actions, `k` subgoal tokens, `d` token width, `h w` image size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TokenArray = NDArray[np.float32]
ImageArray = NDArray[np.uint8]

Guidance = Literal["identity", "jacobian", "freeze-and-ramp", "trained-prefix", "roll-forward"]
"""How an actor is to continue the rows that run while it computes; see `dualsys.guidance`."""

CommandSource = Literal["actor", "hold", "start", "damp", "stop", "teleoperation", "pose", "controller", "recover"]
"""Where a command's target came from: a chunk's row, the last target held, or the pose at reset. `damp` and `stop`:
from nowhere, the motion is brought to rest. `recover`: from the way back after a failed attempt. The others: from a
source that has the say instead of the policy (`dualsys.sources`)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """What the robot sensed.

    Each camera has a stamp of its own: joints arrive at hundreds of hertz, frames at tens.
    """

    stamp_s: float
    """When the state was sensed."""
    state: FloatArray
    """Proprioception `(nx,)` in the order of `EmbodimentSpec.state_names`, SI units."""
    images: Mapping[str, ImageArray] = field(default_factory=dict)
    """By camera name, `(h, w, 3)` uint8 RGB. May render on first access (see `sim_envs`)."""
    image_stamps_s: Mapping[str, float] = field(default_factory=dict)
    """When each image was taken; a camera without an entry shares `stamp_s`."""
    instruction: str = ""
    goal_image: ImageArray | None = None

    @property
    def oldest_stamp_s(self) -> float:
        """Stamp of the oldest source, which is the one every age is counted from."""
        return min([self.stamp_s, *self.image_stamps_s.values()])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatentSubgoal:
    """What the planner wants next, as the actor reads it. One contract, three cuts, told apart by `SubgoalSpec`:

    feature tokens   GR00T         `tokens` `(k, d)`: k the longest prompt, padded, with `mask`
    a prefix         pi, SmolVLA   `keys` and `values` of each layer, with `mask`; `tokens` of no width, `(k, 0)`
    pooled           Helix         `tokens` `(1, d)`: one vector
    """

    tokens: TokenArray
    """`(k, d)` float32."""
    observation_stamp_s: float
    """Oldest source of the observation it was made from: its age is counted from here."""
    emitted_stamp_s: float = 0.0
    mask: NDArray[np.bool_] | None = None
    """`(k,)`, False where a token is padding; None: all count."""
    keys: TokenArray | None = None
    values: TokenArray | None = None
    """Of a prefix: `(layers, heads, k, head_dim)` each, keys as they are attended to, their positions turned in."""
    text: str = ""
    """Current subtask in words, where the planner gives one."""
    progress: float | None = None
    """Progress of the subtask in [0, 1], where the planner gives one."""
    sequence: int = 0
    """Counts up within an epoch; assigned by the planner's host."""
    epoch: int = 0
    """Counts the starts of the planner's process."""
    producer: str = ""
    time_to_live_s: float = float("inf")

    def age_s(self, now_s: float) -> float:
        """Time since the observation it was made from."""
        return now_s - self.observation_stamp_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActionChunk:
    """A piece of motion: row `i` is meant for `start_stamp_s + i * dt_s`."""

    rows: FloatArray
    """`(horizon, nu)` in physical units, in the order of `EmbodimentSpec.joints`."""
    dt_s: float
    start_stamp_s: float
    """Stamp of the observation it was made from."""
    sequence: int = 0
    request: int = -1
    """Sequence of the `ChunkRequest` it answers; -1: none."""
    subgoal_sequence: int = -1
    """Sequence of the subgoal it was made with; -1: the null subgoal."""
    subgoal_epoch: int = 0
    subgoal_age_s: float = float("inf")
    subgoal_progress: float = -1.0
    """Progress that the subgoal tells, in [0, 1]; below 0 where it tells none."""

    @property
    def horizon(self) -> int:
        """Number of rows."""
        return int(self.rows.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Command:
    """What is sent to the robot in one tick, and why."""

    target: FloatArray
    """`(nu,)` in the order of `EmbodimentSpec.joints`, after the safety gate."""
    stamp_s: float
    source: CommandSource
    chunk_sequence: int = -1
    row: float = -1.0
    """Position in the chunk, in rows; -1 where no chunk was used."""
    subgoal_sequence: int = -1
    subgoal_epoch: int = 0
    subgoal_age_s: float = float("inf")
    chunk_age_s: float = float("inf")
    seam: float = 0.0
    """Where a new chunk begins: how far the farthest joint's target jumps off the motion before it; elsewhere 0."""
    limited: tuple[str, ...] = ()
    """What was changed: `finite`, `position`, `velocity`, `acceleration`, `jerk`, `clearance` by the safety gate,
    `stale` by an old input."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ActionPrefix:
    """Rows that will run while the next chunk is computed: what guided chunking must continue from."""

    rows: FloatArray
    """`(n, nu)` in physical units; row 0 is meant for the observation's stamp."""
    inference_delay: int
    """How many of the rows will have been consumed when the chunk arrives, as far as one can tell."""
    guidance: Guidance
    """What the actor is to do with them."""
