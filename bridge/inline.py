"""The virtual-clock driver: planner, actor and tick in one process, every delay injected, the same bits every time.

Time is the observation's stamp and moves only with `step`. What is due at one instant happens in this order:

    1. what has arrived by now is delivered, in the order of arrival (a subgoal before a chunk)
    2. the observation is taken in, then what other sources of commands offer
    3. late cameras take a frame if it is time; from here on models see the newest frames that have come
    4. the observation goes to the planner if its grid has a point by now, and starts it if it is free when that
       arrives (without delays: delivered at once)
    5. the tick: the core gives a command and may ask for a chunk; the actor starts, with the newest subgoal
       (without latency: delivered at once, and the tick of this instant is decided again)
    6. the safety gate
    7. the command goes to the robot, which moves by the newest that has reached it

    tick      0           1           2           3           4
    planner   start------------------>ready                           latency 1.6 ticks: usable at 2
    actor                             start------>ready               latency 0.8 ticks: usable at 3

Delays are drawn from the episode's seed, each part's apart (`dualsys.bridge.episode_delays`).
"""

from collections import Counter
from typing import Any, final

import numpy as np

from dualsys.bridge.episode_delays import DelaySource
from dualsys.bridge.late_camera import LateCamera
from dualsys.bridge.late_commands import LateCommands
from dualsys.bridge.late_planner import LatePlanner
from dualsys.bridge.virtual_time import LateResult, require_latencies
from dualsys.decision import DecisionCore
from dualsys.errors import ConfigError
from dualsys.events import (
    ChunkArrived,
    ChunkRequest,
    Decision,
    EmergencyReset,
    EmergencyStop,
    Fault,
    Observed,
    Offered,
    Retry,
    SourceName,
    Started,
    Tick,
)
from dualsys.guidance import require_guidance
from dualsys.image_ages import ImageAges
from dualsys.messages import ActionChunk, Command, FloatArray, LatentSubgoal, Observation
from dualsys.protocols import Actor, Planner
from dualsys.provenance import arrival_of, attempt_seed, prefix_at, sign_chunk, subgoal_problem
from dualsys.safety import SafetyGate
from dualsys.settings import StalenessConfig, TimingConfig, image_staleness
from dualsys.tape import Tape
from dualsys.telemetry import RunLog


@final
class InlineDriver:
    """Runs both systems on a virtual clock. `reset` once an episode, then `step` once a control tick.

    What a model raises passes through: on the virtual clock a failing model is an error of the run. What it returns is
    judged by the core, which refuses and counts what can't be used.

    Args:
        planner: System 2, or None: no subgoal ever comes.
        actor: System 1.
        core: Decides.
        gate: Limits each command.
        timing: Rates and latencies.
        log: Gets each subgoal, chunk and command.
        tape: Gets each command; the core's own records go there by itself.
        image: What the actor does with old images, as in the other modes (`ImageAges`): with `hold` a request waits
            until a newer image comes. None: `image_staleness()`.

    Raises:
        SpecMismatch: planner, actor, core and its chunk policy are not made for each other.
        ConfigError: the timing doesn't fit the core's config or the gate, or `image` asks for what can't be done.
    """

    def __init__(
        self,
        planner: Planner | None,
        actor: Actor,
        core: DecisionCore,
        gate: SafetyGate,
        timing: TimingConfig,
        log: RunLog | None = None,
        tape: Tape | None = None,
        image: StalenessConfig | None = None,
    ) -> None:
        actor.embodiment.require_same(core.embodiment, ours="the actor", theirs="the decision core")
        if planner is not None:
            planner.subgoal_spec.require_same(actor.subgoal_spec, ours="the planner", theirs="the actor")
        require_guidance(actor, core.policy.guidance)
        core.groups.require_rows(actor.dt_s, whose="the actor")
        self._delays = DelaySource(timing)
        require_latencies(self._delays, core, gate)
        self.core, self.gate = core, gate
        self._actor, self._log, self._tape = actor, log, tape
        self.images = ImageAges(image or image_staleness())
        """Judges what the actor is to act on."""
        self.counts: Counter[str] = Counter()
        """What delays and losses did, by the names in `dualsys.counters.TIMING_COUNTS`."""
        self._planner = None if planner is None else LatePlanner(planner, actor.subgoal_spec, self.counts)
        self._camera, self._commands = LateCamera(self.counts), LateCommands(self.counts)
        self._seed = 0
        self._seen: Observation | None = None
        self._sent: FloatArray | None = None
        self._offers: dict[SourceName, tuple[FloatArray, bool]] = {}
        self._begin(0.0, np.zeros(core.embodiment.num_actions))

    def _begin(self, now_s: float, position: FloatArray) -> None:
        """All delays from the episode's beginning on."""
        delays = self._delays.of_episode(self._seed)
        if self._planner is not None:
            self._planner.begin(now_s, delays)
        self._camera.begin(now_s, delays)
        self._commands.begin(now_s, position, delays)
        self._actor_latency = delays.of("actor_latency_s")
        self._restart(now_s)

    def _restart(self, now_s: float) -> None:
        self._subgoal: LatentSubgoal | None = None
        self._acting: LateResult | None = None
        self._asked_s = now_s
        self._waiting: ChunkRequest | None = None

    @property
    def timing(self) -> TimingConfig:
        """Rates and delays."""
        return self._delays.timing

    @property
    def newest_subgoal(self) -> LatentSubgoal | None:
        """The newest subgoal that can be used; None before an episode's first."""
        return self._subgoal

    def reset(self, observation: Observation, *, seed: int = 0) -> None:
        """Start an episode from rest at the observed pose. The observation goes into the first `step`, too.

        Raises `InvalidObservation` when the state doesn't fit.
        """
        self.core.embodiment.check_observation(observation, cameras=False)
        self._seed, self._seen = seed, observation
        position = self.core.embodiment.position_in(observation.state)
        self._begin(observation.stamp_s, position)
        self._reset_models(seed, observation.stamp_s)
        self.gate.reset(position)
        self.core.handle(Started(now_s=observation.stamp_s, position=position, instruction=observation.instruction))

    def step(self, observation: Observation) -> Command:
        """Command that the robot moves by at an observation's moment.

        Images are accessed only when a model is started, or when late cameras take a frame.
        """
        now_s = observation.stamp_s
        self._seen = observation
        self._deliver(now_s)
        self.core.handle(Observed(stamp_s=now_s, state=observation.state))
        for source, (target, claims) in self._offers.items():
            self.core.handle(Offered(now_s=now_s, source=source, target=target, stamp_s=now_s, claims=claims))
        self._offers.clear()
        seen = self._camera.look(observation)
        if self._planner is not None:
            self._planner.send(seen, now_s)
            self._deliver(now_s)
        decision = self._decide(now_s, seen)
        if decision.command is None:
            raise ConfigError("InlineDriver.step() before reset(): an episode starts with reset(observation, seed=...)")
        command = self.gate.limit(decision.command)
        self._sent = command.target
        if self._log is not None:
            self._log.command(command)
        if self._tape is not None:
            self._tape.add(command)
        return self._commands.moved_by(command)

    def offer(self, target: FloatArray, source: SourceName) -> None:
        """Let another source than the policy have the say, with a target `(nu,)` for the next `step`."""
        self._offers[source] = (np.array(target, dtype=np.float64), True)

    def release(self, source: SourceName) -> None:
        """That source gives the say back with the next `step`."""
        self._offers[source] = (np.zeros(self.core.embodiment.num_actions), False)

    def stop(self, reason: str = "") -> None:
        """Emergency stop: from the next `step` on the motion comes to rest, and stays so until `reset_stop`."""
        self._note("stop", reason=reason)
        self.core.handle(EmergencyStop(now_s=self._now_s, reason=reason))

    def reset_stop(self) -> bool:
        """End an emergency stop: the next `step` begins to move, from rest where the newest observation saw the robot.

        Tells whether that is elsewhere than where it was sent. Without a stop it does nothing. Raises `ConfigError`
        before the first `reset`, and `InvalidObservation` where the newest observation doesn't tell where the robot is:
        then it stays stopped.
        """
        if self._seen is None:
            raise ConfigError("reset_stop() before the first step(): nobody knows yet where the robot is")
        if not self.core.stopped:
            return False
        position = self.gate.resume(self.core.embodiment.position_in(self._seen.state))
        moved = self._sent is not None and not np.array_equal(position, self._sent)
        self._note("stop_reset", moved=moved)
        self.core.handle(EmergencyReset(now_s=self._now_s, position=position))
        return moved

    @property
    def _now_s(self) -> float:
        return 0.0 if self._seen is None else self._seen.stamp_s

    def _note(self, kind: str, **fields: Any) -> None:
        if self._log is not None:
            self._log.event(kind, stamp_s=self._now_s, **fields)

    def _reset_models(self, seed: int, now_s: float) -> None:
        if self._planner is not None:
            self._planner.reset(now_s, seed=seed)
        self._actor.reset(seed=seed)
        self._restart(now_s)

    def _begin_anew(self, retry: Retry) -> None:
        """Both models forget the attempt, with noise of their own for the next; what they were at is dropped."""
        self._note("retry", number=retry.number, reason=retry.reason, reaction=retry.reaction)
        if retry.reaction != "give_up":
            self._reset_models(attempt_seed(self._seed, retry.number), retry.now_s)

    def _deliver(self, now_s: float) -> None:
        """Hand over what has arrived by now, in the order it did; of two at once the subgoal first."""
        subgoals = [] if self._planner is None else self._planner.arrived(now_s)
        acted = self._acting if self._acting is not None and self._acting.is_ready(now_s) else None
        for late in subgoals:
            if acted is not None and acted.ready_s < late.ready_s:
                self._deliver_chunk(acted)
                acted = None
            self._deliver_subgoal(late)
        if acted is not None:
            self._deliver_chunk(acted)

    def _deliver_subgoal(self, result: LateResult) -> None:
        problem = subgoal_problem(result.value, self._actor.subgoal_spec)
        if problem is not None:
            self._fault(result, "planner", problem)
            return
        self._subgoal = result.value
        if self._log is not None:
            self._log.subgoal(result.value)
        self.core.handle(arrival_of(result.value))

    def _deliver_chunk(self, result: LateResult) -> None:
        self._acting = None
        if not isinstance(result.value, ActionChunk):
            self._fault(result, "actor", f"it gave {type(result.value).__name__}, not an ActionChunk")
            return
        if self._log is not None:
            self._log.chunk(result.value)
        self.core.handle(ChunkArrived(chunk=result.value, now_s=result.ready_s))

    def _fault(self, result: LateResult, kind: str, detail: str) -> None:
        if self._log is not None:
            self._log.event("fault", stamp_s=result.ready_s, part=kind, detail=detail)
        self.core.handle(Fault(now_s=result.ready_s, kind=kind, detail=detail))

    def _decide(self, now_s: float, seen: Observation | None) -> Decision:
        """Tick, and tick again at the same instant for as long as the actor answers at once."""
        while True:
            decision = self.core.handle(Tick(now_s=now_s))
            if decision.retry is not None:
                self._begin_anew(decision.retry)
            request = decision.request or self._still_waiting()
            if request is None or not self._start_actor(now_s, seen, request):
                return decision

    def _still_waiting(self) -> ChunkRequest | None:
        """A request that there was nothing to act on for, if the core waits for its answer still."""
        waiting, self._waiting = self._waiting, None
        return waiting if waiting is self.core.requester.in_flight else None

    def _start_actor(self, now_s: float, seen: Observation | None, request: ChunkRequest) -> bool:
        """Run the actor; whether its answer is there at once, without latency. Else it comes later."""
        if seen is None or self.images.is_blind(seen) or self._is_overtime(now_s):
            self._waiting = request
            return False
        subgoal = self._subgoal if request.use_subgoal else None
        prefix = prefix_at(request, now_s, dt_s=self._actor.dt_s, stepped=self.core.groups.stepped)
        value: Any = self._actor.act(seen, subgoal, prefix)
        if isinstance(value, ActionChunk):
            value = sign_chunk(value, request, subgoal)
        self._asked_s = request.stamp_s
        self._acting = LateResult(ready_s=now_s + next(self._actor_latency), value=value)
        if not self._acting.is_ready(now_s):
            return False
        self._deliver(now_s)
        return True

    def _is_overtime(self, now_s: float) -> bool:
        """Whether the actor is still at a request that was given up; one that was withdrawn it leaves at once."""
        return self._acting is not None and now_s - self._asked_s >= self.core.config.request_timeout_s
