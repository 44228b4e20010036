"""What goes into the decision core and what comes out of it: frozen values; times are seconds of the robot's clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dualsys.messages import ActionChunk, ActionPrefix, Command, FloatArray
from dualsys.settings import RecoveryReaction
from dualsys.staleness import Freshness

SourceName = Literal["teleoperation", "pose", "controller"]
"""Who may have the say instead of the policy: a person, a pose to go to, another controller; see `dualsys.sources`."""

Phase = Literal["idle", "start", "playing", "driven", "starved", "held", "stopped", "recovering"]
"""`idle`: not started. `start`: the start pose is held. `driven`: another source than the policy has the say.
`starved`: the chunk ran out. `held`: an input is too old. `stopped`: an emergency stop is latched. `recovering`: a
failed attempt is left behind."""

Setback = Literal["no_progress", "missed_grasp", "completed"]
"""Why an attempt is over; see `dualsys.progress_watch`."""

RetryReaction = RecoveryReaction | Literal["none", "give_up"]
"""What is done about it. `none`: the motion goes on. `give_up`: nothing, no recovery is left."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Started:
    """A new episode, or start-up: everything about the motion before is forgotten, requests in flight too."""

    now_s: float
    position: FloatArray
    """Present position of the commanded joints `(nu,)`: held until the first chunk."""
    instruction: str = ""
    """What the robot is told, in words: the core decides nothing by it; datasets that are made of tapes have it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """Newer proprioception arrived."""

    stamp_s: float
    """When it was sensed."""
    state: FloatArray
    """`(nx,)`"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubgoalArrived:
    """A newer subgoal arrived. The core knows who it is and how old, never what it says."""

    sequence: int
    epoch: int
    observation_stamp_s: float
    time_to_live_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkArrived:
    """The actor answered."""

    chunk: ActionChunk
    now_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offered:
    """A source other than the policy offers a target, and claims the say or gives it back."""

    now_s: float
    source: SourceName
    target: FloatArray
    """Where it wants the commanded joints `(nu,)`; any where it claims nothing."""
    stamp_s: float
    """When it was offered."""
    claims: bool = True
    """Whether it wants the say; False: it gives it back."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tick:
    """Time for a command."""

    now_s: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fault:
    """Something outside failed. A fault of the `actor` ends the request in flight, so that it is asked again."""

    now_s: float
    kind: str
    """Who: `planner`, `actor`, `camera`, `robot`, ..."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmergencyStop:
    """Come to rest and stay there, whatever else comes, a new start included, until an `EmergencyReset`."""

    now_s: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmergencyReset:
    """Somebody has looked and wants the motion to begin anew, from rest. Means nothing without a stop."""

    now_s: float
    position: FloatArray
    """Position of the commanded joints `(nu,)` that motion begins from: what `SafetyGate.resume` gave."""


Event = Started | Observed | SubgoalArrived | ChunkArrived | Offered | Tick | Fault | EmergencyStop | EmergencyReset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkRequest:
    """Make a chunk from the newest observation.

    Whoever runs the actor signs the chunk with `dualsys.provenance.sign_chunk`, which makes it answer this request.
    """

    sequence: int
    """Counts up, over resets too."""
    stamp_s: float
    """Tick that asked."""
    use_subgoal: bool
    """False: there is none or it has expired; act on the null subgoal."""
    prefix: ActionPrefix | None = None
    """Rows that will run meanwhile; None with policies that need none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retry:
    """An attempt is over, and the next begins: planner and actor forget the past, as at a reset, with other noise.

    Subgoals from before `now_s` are refused. Where `reaction` is `give_up`, nothing begins: it is said once an episode.
    """

    now_s: float
    number: int
    """Counts up within an episode; the first attempt has none, so the first retry is 1."""
    reason: Setback
    reaction: RetryReaction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptClear:
    """The safety gate let only a share of the next command's step through, because something is near.

    Stands on a tape before that command: what is near is told by a model of the robot, which a replay has not.
    """

    share: float
    """0 to 1; NaN: who should know how near things are failed, and the motion was braked."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoreStatus:
    """What the core thinks, as `DecisionCore.status()` gives it."""

    phase: Phase
    holder: SourceName | None
    """Who has the say; None: the policy."""
    subgoal: Freshness
    state: Freshness
    chunk: Freshness
    counts: Mapping[str, int]
    """Everything that happened since construction, by name; see `dualsys.counters.COUNTS`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """What to do now."""

    command: Command | None
    """Only after a `Tick`, once started. Not limited yet: it goes through the safety gate."""
    request: ChunkRequest | None
    retry: Retry | None = None
    """Only after a `Tick`."""
