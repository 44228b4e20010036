"""The virtual-clock driver: planner, actor and tick in one process, every latency injected, the same bits every time.

Time is the observation's stamp and moves only with `step`. What is due at one instant happens in this order:

    1. results that are ready by now are delivered, in the order they became ready (a subgoal before a chunk)
    2. the observation is taken in, then what other sources of commands offer
    3. the planner is started if its grid has a point by now and it is free (without latency: delivered at once)
    4. the tick: the core gives a command and may ask for a chunk; the actor starts, with the newest subgoal
       (without latency: delivered at once, and the tick of this instant is decided again)
    5. the safety gate

    tick      0           1           2           3           4
    planner   start------------------>ready                           latency 1.6 ticks: usable at 2
    actor                             start------>ready               latency 0.8 ticks: usable at 3
"""

from typing import Any, final

import numpy as np

from dualsys.bridge.virtual_time import LateResult, require_latencies
from dualsys.clock import Grid, Ticker
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
from dualsys.provenance import arrival_of, attempt_seed, prefix_at, sign_chunk, sign_subgoal, subgoal_problem
from dualsys.reflection import reflect
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
        require_latencies(timing, core, gate)
        self.core, self.gate, self.timing = core, gate, timing
        self._planner, self._actor, self._log, self._tape = planner, actor, log, tape
        self.images = ImageAges(image or image_staleness())
        """Judges what the actor is to act on."""
        self.planner_starts = 0
        self.planner_starts_skipped = 0
        """Grid points at which the planner was still busy, or that passed between two steps."""
        self._subgoal_sequence = 0
        self._seed = 0
        self._seen: Observation | None = None
        self._sent: FloatArray | None = None
        self._offers: dict[SourceName, tuple[FloatArray, bool]] = {}
        self._restart(0.0)

    def _restart(self, now_s: float) -> None:
        self._subgoal: LatentSubgoal | None = None
        self._planning: LateResult | None = None
        self._acting: LateResult | None = None
        self._waiting: ChunkRequest | None = None
        self._planner_ticker = Ticker(Grid(origin_s=now_s, period_s=1.0 / self.timing.planner_hz))

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
        self._reset_models(seed, observation.stamp_s)
        position = self.core.embodiment.position_in(observation.state)
        self.gate.reset(position)
        self.core.handle(Started(now_s=observation.stamp_s, position=position))

    def step(self, observation: Observation) -> Command:
        """Command for the moment of an observation. Images are accessed only when a model is started."""
        now_s = observation.stamp_s
        self._seen = observation
        self._deliver(now_s)
        self.core.handle(Observed(stamp_s=now_s, state=observation.state))
        for source, (target, claims) in self._offers.items():
            self.core.handle(Offered(now_s=now_s, source=source, target=target, stamp_s=now_s, claims=claims))
        self._offers.clear()
        self._start_planner(observation)
        decision = self._decide(observation)
        if decision.command is None:
            raise ConfigError("InlineDriver.step() before reset(): an episode starts with reset(observation, seed=...)")
        command = self.gate.limit(decision.command)
        self._sent = command.target
        if self._log is not None:
            self._log.command(command)
        if self._tape is not None:
            self._tape.add(command)
        return command

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
            self._planner.reset(seed=seed)
        self._actor.reset(seed=seed)
        self._restart(now_s)

    def _begin_anew(self, retry: Retry) -> None:
        """Both models forget the attempt, with noise of their own for the next; what they were at is dropped."""
        if self._log is not None:
            self._log.event(
                "retry", stamp_s=retry.now_s, number=retry.number, reason=retry.reason, reaction=retry.reaction
            )
        if retry.reaction != "give_up":
            self._reset_models(attempt_seed(self._seed, retry.number), retry.now_s)

    def _deliver(self, now_s: float) -> None:
        """Hand over what is ready by now, in the order it became ready; of two at once the subgoal first."""
        planned, acted = self._planning, self._acting
        chunk_first = planned is not None and acted is not None and acted.ready_s < planned.ready_s
        if chunk_first and acted is not None and acted.is_ready(now_s):
            self._deliver_chunk(acted)
        if planned is not None and planned.is_ready(now_s):
            self._deliver_subgoal(planned)
        if not chunk_first and acted is not None and acted.is_ready(now_s):
            self._deliver_chunk(acted)

    def _deliver_subgoal(self, result: LateResult) -> None:
        self._planning = None
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

    def _start_planner(self, observation: Observation) -> None:
        now_s, ticker = observation.stamp_s, self._planner_ticker
        skipped_before = ticker.skipped
        if self._planner is None or not ticker.due(now_s):
            return
        self.planner_starts_skipped += ticker.skipped - skipped_before
        if self._planning is not None:
            self.planner_starts_skipped += 1
            return
        self.planner_starts += 1
        ready_s = now_s + self.timing.planner_latency_s
        value: Any = self._planner.plan(observation)
        if isinstance(value, LatentSubgoal):
            number, spec = self._subgoal_sequence, self._actor.subgoal_spec
            value = sign_subgoal(value, spec, sequence=number, epoch=0, emitted_stamp_s=ready_s)
            self._subgoal_sequence += 1
        self._planning = LateResult(ready_s=ready_s, value=value)
        self._deliver(now_s)
        reflect(self._planner)

    def _decide(self, observation: Observation) -> Decision:
        """Tick, and tick again at the same instant for as long as the actor answers at once."""
        while True:
            decision = self.core.handle(Tick(now_s=observation.stamp_s))
            if decision.retry is not None:
                self._begin_anew(decision.retry)
            request = decision.request or self._still_waiting()
            if request is None or not self._start_actor(observation, request):
                return decision

    def _still_waiting(self) -> ChunkRequest | None:
        """A request that there was nothing to act on for, if the core waits for its answer still."""
        waiting, self._waiting = self._waiting, None
        return waiting if waiting is self.core.requester.in_flight else None

    def _start_actor(self, observation: Observation, request: ChunkRequest) -> bool:
        """Run the actor; whether its answer is there at once, without latency. Else it comes later."""
        if self.images.is_blind(observation):
            self._waiting = request
            return False
        now_s = observation.stamp_s
        subgoal = self._subgoal if request.use_subgoal else None
        prefix = prefix_at(request, now_s, dt_s=self._actor.dt_s, stepped=self.core.groups.stepped)
        value: Any = self._actor.act(observation, subgoal, prefix)
        if isinstance(value, ActionChunk):
            value = sign_chunk(value, request, subgoal)
        self._acting = LateResult(ready_s=now_s + self.timing.actor_latency_s, value=value)
        if not self._acting.is_ready(now_s):
            return False
        self._deliver(now_s)
        return True
