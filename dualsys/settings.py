"""Values that the decision core, the safety gate and the drivers are configured with.

Pydantic dataclasses: ordinary frozen dataclasses to the command line and to configuration files, which check their
values when built (`pydantic.ValidationError`, a `ValueError`, names the field).
"""

from dataclasses import field
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from dualsys.bounds import ChosenHz, NotNegative, Positive, Share, UsualHz
from dualsys.timing import TimingConfig as TimingConfig
from dualsys.workspace_box import WorkspaceBox

_CONFIG = ConfigDict(extra="forbid")

ActorBackend = Literal["eager", "packed", "onnx", "onnx-int8", "compiled"]
"""What samples chunks: PyTorch, plain or with packed weights; ONNX Runtime, also in 8 bits; `torch.compile`."""
Precision = Literal["auto", "float32", "original"]
"""`original`: bfloat16 where a model's authors have it; `auto`: that for a `compiled` actor on a GPU, else float32."""

StaleAction = Literal["keep", "null", "slow", "hold", "damp", "stop"]
"""What is done with an old input, the gentlest first.

`keep`: use it all the same.
`null`: use the null subgoal (subgoals only) for new chunks.
`slow`: the motion's time runs slower, from full speed at `usable_s` to a standstill at `expire_s`. While another source
than the policy drives, the motion is that one's and goes on at its pace; beyond `expire_s` it is held.
`hold`: stop at the last target.
`damp`: bring the velocity to zero within the limits, and stay where that ends.
`stop`: as `damp`, and latched like an emergency stop until it is reset.
"""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class StalenessConfig:
    """Ages at which an input stops being trusted, and what is done then.

    fresh <= `fresh_s` < usable <= `usable_s` < stale <= `expire_s` < expired
    """

    fresh_s: NotNegative
    """Up to this age the input is as good as new."""
    usable_s: NotNegative
    """Up to this age it is used without remark."""
    expire_s: NotNegative
    """Beyond this age it has expired; in between it is stale."""
    on_stale: StaleAction = "keep"
    """What to do with a stale input."""
    on_expired: StaleAction = "hold"
    """What to do with an expired input, or one that never came."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.fresh_s <= self.usable_s <= self.expire_s:
            raise ValueError(
                f"ages must rise: fresh_s {self.fresh_s} <= usable_s {self.usable_s} <= expire_s {self.expire_s}"
            )
        return self


def _subgoal_staleness() -> StalenessConfig:
    return StalenessConfig(fresh_s=0.4, usable_s=1.0, expire_s=2.0, on_expired="null")


def _state_staleness() -> StalenessConfig:
    return StalenessConfig(fresh_s=0.02, usable_s=0.06, expire_s=0.2)


def _chunk_staleness() -> StalenessConfig:
    return StalenessConfig(fresh_s=0.2, usable_s=0.6, expire_s=2.0)


def _source_staleness() -> StalenessConfig:
    return StalenessConfig(fresh_s=0.05, usable_s=0.2, expire_s=0.5)


def image_staleness() -> StalenessConfig:
    """Of a camera's images, by their age when the state was sensed. What can be done is in `IMAGE_ACTIONS`."""
    return StalenessConfig(fresh_s=0.2, usable_s=0.5, expire_s=2.0)


IMAGE_ACTIONS: tuple[StaleAction, ...] = ("keep", "hold")
"""What an actor can do with an old image. `keep`: make a chunk of it all the same, and count it. `hold`: make none."""


RecoveryReaction = Literal["resample", "retrace", "home", "escalate"]
"""What is done when an attempt has failed, before planner and actor begin anew.

`resample`: nothing: the pose is held until the first new chunk.
`retrace`: the way that was come by is gone back.
`home`: straight in joint space to the pose that the episode began at.
`escalate`: `resample` where nothing was closed on and the attempt before was not resampled, else `home`.
"""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class RecoveryConfig:
    """When an attempt counts as failed, from what a robot senses and was sent, and what is done then.

    See `dualsys.progress_watch` for what is looked at, `dualsys.recovery` for what is done.
    """

    enabled: bool = False
    """Whether anything is looked at."""
    reaction: RecoveryReaction = "escalate"
    """What is done before planner and actor begin anew."""
    max_recoveries: Annotated[int, Field(ge=0)] = 3
    """In one episode; after them a failed attempt is only counted."""
    still_s: Positive = 0.6
    """No progress: over this time no joint has moved as far as `still_speed` would take it."""
    still_speed: Positive = 0.02
    """Share of each joint's velocity limit."""
    to_and_fro: Positive = 8.0
    """No progress, too: within three times `still_s` a joint has gone this many times its own range."""
    grippers: tuple[str, ...] | None = None
    """Groups of joints that close on things; None: those with `hand` or `gripper` in their names."""
    closed_share: Share = 0.2
    """A gripper has closed when its joints have moved away from zero by this share of their ranges, on average."""
    held_error: Positive = 0.15
    """A closed gripper holds something while a joint of it is kept this far (rad, m) from where it was sent."""
    max_missed_grasps: Annotated[int, Field(ge=0)] = 1
    """An attempt has failed when a gripper has closed on nothing this many times; 0: that is not looked at."""
    completed_at: Share = 0.98
    """Progress, as a planner tells it, at which a subgoal counts as completed and the planner is asked anew."""
    back_s: Positive = 2.0
    """How much of the way `retrace` goes back, counted in time that was spent moving."""
    back_speed: Share = 0.5
    """Share of the velocity limits that `home` moves at, and `retrace` at most."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class CoreConfig:
    """How the decision core asks for chunks, plays them, and what it does when something does not come."""

    actor_hz: ChosenHz = UsualHz(10.0)
    """Rate at which new chunks are asked for; one request is in flight at a time."""
    request_timeout_s: Positive = 1.0
    """A request unanswered for this long is given up, counted, and asked again."""
    chunk_policy: str = "skip-by-delay"
    """Registered name of the rule that says at which row a new chunk starts."""
    first_subgoal_wait_s: NotNegative = 0.5
    """After a start the pose is held up to this long for the first subgoal; then the actor runs on the null subgoal."""
    max_tick_gap_s: Positive = 0.1
    """After a longer gap between two ticks motion goes on as if only this much time had passed."""
    velocity_decay_s: NotNegative = 0.3
    """Commanded velocities (a base's) that nobody commands any more go to zero in this time: see
    `dualsys.action_groups`."""
    outlier_reach_s: NotNegative = 0.5
    """A new chunk must begin within what each joint can travel in this time at its velocity limit; 0: not looked at."""
    outlier_speed: NotNegative = 4.0
    """Between two rows of a chunk no joint may move faster than its velocity limit times this; 0: not looked at."""
    subgoal: StalenessConfig = field(default_factory=_subgoal_staleness)
    """Age of the newest subgoal, counted from the observation it was made from."""
    state: StalenessConfig = field(default_factory=_state_staleness)
    """Age of the newest proprioception."""
    chunk: StalenessConfig = field(default_factory=_chunk_staleness)
    """Age of the chunk that is played, counted from the observation it was made from."""
    source: StalenessConfig = field(default_factory=_source_staleness)
    """Age of the newest target of a source that has the say instead of the policy (`dualsys.sources`)."""
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    """When an attempt counts as failed, and what is done then."""

    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        for name, value in (("state", self.state), ("chunk", self.chunk)):
            if "null" in (value.on_stale, value.on_expired):
                raise ValueError(f"{name}: only a subgoal can be replaced by null; choose keep, slow, hold, damp, stop")
        if {"null", "slow"} & {self.source.on_stale, self.source.on_expired}:
            raise ValueError(
                "source: only the policy's motion can be slowed, and only a subgoal replaced by null; another source "
                "goes at its own pace: choose keep, hold, damp, stop"
            )
        return self


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class SafetyConfig:
    """The safety gate: its share of the embodiment's limits, and how it keeps them."""

    enabled: bool = True
    """False lets targets through unlimited; targets that are not finite are replaced all the same."""
    follow: Literal["joint", "path"] = "joint"
    """Where limits slow a motion: `joint`: each joint by itself, which is fastest. `path`: all joints together, so that
    the path to the target stays straight."""
    velocity_scale: Share = 1.0
    """Share of each joint's velocity limit that may be used."""
    acceleration_scale: Share = 1.0
    """Share of each joint's acceleration limit that may be used."""
    jerk_scale: Share = 1.0
    """Share of each joint's jerk limit that may be used."""
    max_jerk: Positive | None = None
    """Jerk limit, per second^3, of joints that have none of their own; None: not limited."""
    handover_s: NotNegative = 0.5
    """Least time in which a new source of commands takes over (`dualsys.hand_over`); 0: as fast as the limits allow."""
    clearance_m: NotNegative | None = None
    """Distance that the robot keeps from itself and from the table, where its model is known; None: not looked at."""
    workspace: tuple[WorkspaceBox, ...] = ()
    """Boxes that points of the robot stay inside or outside of, by `clearance_m`; from a file or a program."""
    hold_pose: dict[str, float] = field(default_factory=dict)
    """Positions by joint that a robot goes to while it is held because an input is too old; joints not named stay."""
    damp_pose: dict[str, float] = field(default_factory=dict)
    """The same, once it has come to rest after `damp`."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        poses = " and ".join(name for name in ("hold_pose", "damp_pose") if getattr(self, name))
        if poses and not self.enabled:
            raise ValueError(f"{poses} with enabled = false would be sent in one step: leave it out, or the gate on")
        if self.workspace and self.clearance_m is None:
            raise ValueError("workspace needs clearance_m, the distance kept from its borders (0: up to them)")
        return self


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class RealtimeConfig:
    """What the tick asks of the system. Nothing is required: what it got stands in the log and the report."""

    scheduler: Literal["none", "fifo", "deadline"] = "fifo"
    """Scheduling class: SCHED_FIFO, SCHED_DEADLINE (so much time in each period, and no CPU of its own), or the
    ordinary one."""
    priority: Annotated[int, Field(ge=1, le=98)] = 80
    """Priority of `fifo`."""
    runtime_share: Share = 0.5
    """Share of its period that a `deadline` tick may compute; one that needs more is suspended until the next."""
    cpu: Annotated[int, Field(ge=-2)] = -1
    """CPU that a `fifo` tick is pinned to (processes); -1: the last it may use, -2: any."""
    lock_memory: bool = True
    """Keep all pages of the tick's process in memory (processes)."""
    freeze_gc: bool = True
    """Collect garbage before the ticks and between episodes, never within them (processes)."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class RestartConfig:
    """How soon and how often what dies is started again. The first restart after a healthy time is at once."""

    first_delay_s: NotNegative = 0.5
    """Delay of the second restart in a row; it doubles from one to the next."""
    longest_delay_s: NotNegative = 8.0
    """Where the doubling ends."""
    max_restarts: Annotated[int, Field(ge=0)] = 5
    """Restarts within `window_s` without a healthy time between them."""
    window_s: Positive = 60.0
    """See `max_restarts`."""
    max_in_a_row: Annotated[int, Field(ge=0)] = 20
    """Restarts without a healthy time between them, however long they take."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class PlannerLifeConfig:
    """When a planner counts as healthy, stale, hung or failed (see `dualsys.planner_life`)."""

    stale_after_s: Positive = 2.0
    """Without a new subgoal for this long a planner that was ready is stale."""
    hangs_after_s: Positive = 30.0
    """Without a sign of life for this long it is hung, and killed: neither Ray nor the kernel notices a hang."""
    starts_within_s: Positive = 300.0
    """The same while it loads."""
    max_failures: Annotated[int, Field(gt=0)] = 20
    """Failed or refused plans in a row after which it is killed and started anew."""
    healthy_s: Positive = 5.0
    """Once subgoals have come for this long without a death, it is healthy: the restarts before count no more."""
    restart: RestartConfig = field(default_factory=RestartConfig)
    """How soon and how often it is started again."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_CONFIG)
class SupervisionConfig:
    """When the processes of a run, the planner's aside, count as hung or gone."""

    ready_within_s: Positive = 300.0
    """How long everything may take to load before the run is given up."""
    hangs_after_s: Positive = 10.0
    """An actor or a camera without a sign of life for this long is killed and started again; a tick ends the run."""
    max_failed_starts: Annotated[int, Field(gt=0)] = 20
    """Starts in a row that may fail before the actor or a camera is given up; the tick goes on without it."""
    ray_head_gone_after_s: Positive = 10.0
    """Ray's head without an answer for this long is taken for dead: a local cluster is started anew."""
