"""`FleetServer`: one planner for many robots, as a Ray actor on whatever node; each robot's relay talks to it.

    relay                              server
      join(application) ----------->   a seat, or why not: another version, robot, weights; still loading
      show(ticket, frame) --------->   replaces the robot's newest observation
      newer(ticket, after) -------->   its newest subgoal as soon as there is one, and how the server is

Whatever waits is planned for in the next batch, which begins as soon as the one before is done: nobody waits for a
batch to fill. What it is told and what it answers are plain values, understood by relays of other versions.
"""

import asyncio
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import Any, final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dualsys.bridge.batching import Asked, Batcher, Seat, Sizes, choose
from dualsys.bridge.frames import WIRE_VERSION
from dualsys.bridge.handshake import Hello
from dualsys.bridge.parts import PartConfig, make_planner, planner_digest
from dualsys.bridge.process_life import use_one_torch_thread
from dualsys.embodiment import EmbodimentSpec

_LOGGER = logging.getLogger(__name__)

LEASE_S = 2.0
"""A robot that wasn't heard of for so long may be followed by another of its name."""
FORGET_S = 30.0
"""A robot that wasn't heard of for so long has left."""
_IDLE_S = 1.0

SERVER_OPTIONS: dict[str, Any] = {
    "num_cpus": 0,  # With a CPU asked for, a busy node would leave it pending for ever, without a word.
    "max_restarts": 0,  # Whoever made it decides when another is started.
    "max_task_retries": 0,
    "max_concurrency": 1000,  # A call of every robot waits in it.
}
"""How Ray is asked to run it."""


class FleetConfig(BaseModel):
    """A planner that is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    planner: PartConfig
    embodiment: EmbodimentSpec | None = None
    """Whose observations warm it up; None: it isn't."""
    max_batch: int = Field(default=4, gt=0)
    """Robots that are planned for at once; 1: one after another."""
    max_robots: int = Field(default=64, gt=0)
    """Robots beyond these are refused."""


@final
class FleetServer:
    """Serves the planner of a configuration. Its methods are called through Ray, at the same time by many.

    Args:
        config: A `FleetConfig` as JSON.
        node: Where it runs; None: ask Ray.
    """

    def __init__(self, config: str, node: str | None = None) -> None:
        self._config = FleetConfig.model_validate_json(config)
        self._node = _ray_node() if node is None else node
        self._life = os.urandom(4).hex()
        self._tickets = count(1)
        self._seats: dict[str, Seat] = {}
        self._told: dict[str, asyncio.Event] = {}
        self._shown = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="planner")
        self._batcher: Batcher | None = None
        self._hello: Hello | None = None
        self._problem = ""
        self._batches = 0
        self._sizes = Sizes()
        self._plan_s = 0.0
        self._planning_since_s: float | None = None
        self._loading_since_s: float | None = monotonic()

    async def serve(self) -> str:
        """Load, then plan for whoever has something new, until the process ends; why it could not be loaded, or ended.

        Nobody waits for this call's answer: `join`, `newer` and `report` tell the reason.
        """
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self._thread, _load, self._config)
            self._batcher, self._hello = loaded
            self._loading_since_s = None
            await self._plan_on()
        except Exception as error:
            # Ray would have to unpickle it elsewhere, where its class may not be.
            _LOGGER.exception("the planner %s", "could not be loaded" if self._hello is None else "is served no more")
            self._problem = f"{type(error).__name__}: {error}"
        finally:
            self._loading_since_s = None
            self._problem = self._problem or "it was told to serve no more"
            for told in self._told.values():
                told.set()
        return self._problem

    @property
    def _ended(self) -> str:
        """Why it plans for nobody any more, once it did; empty while it does."""
        return "" if self._hello is None else self._problem

    async def _plan_on(self) -> None:
        while True:
            self._forget_who_left()
            chosen = {ticket: seat for ticket, seat in self._seats.items() if seat.observation is not None}
            batch = choose(chosen.values(), self._config.max_batch)
            if not batch:
                self._shown.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._shown.wait(), _IDLE_S)
                continue
            await self._plan([(ticket, seat) for ticket, seat in chosen.items() if seat in batch])

    async def _plan(self, batch: list[tuple[str, Seat]]) -> None:
        assert self._batcher is not None
        asked = []
        self._batches += 1
        for _, seat in batch:
            assert seat.observation is not None
            run = (seat.robot, seat.key)
            asked.append(Asked(embodiment=seat.embodiment, frame=seat.observation, run=run, alone=seat.alone))
            seat.observation, seat.served = None, self._batches
        self._sizes.add(len(batch))
        self._planning_since_s = begin_s = monotonic()
        answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._batcher.plan, asked)
        self._planning_since_s, self._plan_s = None, monotonic() - begin_s
        for (ticket, seat), answer in zip(batch, answers, strict=True):
            seat.take(answer)
            if ticket in self._told:
                self._told[ticket].set()

    def _forget_who_left(self) -> None:
        now_s = monotonic()
        for ticket in [ticket for ticket, seat in self._seats.items() if now_s - seat.heard_s > FORGET_S]:
            self._drop(ticket)

    def _drop(self, ticket: str) -> None:
        self._seats.pop(ticket)
        self._told.pop(ticket).set()

    async def join(self, application: dict[str, Any]) -> dict[str, Any]:
        """Let a robot in.

        Args:
            application: `robot`, its name; `key`, which tells its run from others; `wire`; `embodiment`, plain values.

        Returns:
            `ready`; then `problem`, and where that is empty `ticket`, `hello` (as `handshake.Hello` has it), `node`.
            Not ready, it loads, or `ended` says why it plans no more: whoever made it makes another.
        """
        if self._ended:
            return {"ready": False, "problem": "", "ended": self._ended, "node": self._node}
        if self._problem or self._hello is None:
            problem = self._problem
            return {"ready": bool(problem), "problem": problem, "node": self._node, "loading_s": self._loading_s()}
        problem = self._problem_of(application)
        if problem:
            return {"ready": True, "problem": problem, "node": self._node}
        name = application["robot"]
        for ticket in [ticket for ticket, seat in self._seats.items() if seat.robot == name]:
            self._drop(ticket)
        ticket = f"{self._life}.{next(self._tickets)}"
        self._seats[ticket] = Seat(
            robot=name,
            key=application["key"],
            embodiment=EmbodimentSpec.model_validate(application["embodiment"]),
            heard_s=monotonic(),
        )
        self._told[ticket] = asyncio.Event()
        return {"ready": True, "problem": "", "ticket": ticket, "hello": self._hello.plain(), "node": self._node}

    def _problem_of(self, application: dict[str, Any]) -> str:
        """Why a robot can't be let in; empty where it can."""
        if application.get("wire") != WIRE_VERSION:
            return (
                f"the robot speaks wire version {application.get('wire')}, the planner's server {WIRE_VERSION}: "
                "install one version of dualsys on both sides"
            )
        try:
            EmbodimentSpec.model_validate(application["embodiment"])
        except ValidationError as error:
            return f"the robot's embodiment cannot be read: {error}"
        name, now_s = application["robot"], monotonic()
        others = [seat for seat in self._seats.values() if seat.robot != name]
        same = [seat for seat in self._seats.values() if seat.robot == name]
        if any(seat.key != application["key"] and now_s - seat.heard_s < LEASE_S for seat in same):
            return f"a robot {name!r} is being served: give this one another name (--robot)"
        if others and self._batcher is not None and not self._batcher.serves_many:
            return (
                f"its planner has no plan_batch, so it may remember the robot it plans for, which is "
                f"{others[0].robot!r}: serve one robot, or a planner that is a dualsys.protocols.BatchPlanner"
            )
        if len(others) >= self._config.max_robots:
            return f"it serves {len(others)} robots already: start it with a higher --max-robots"
        return ""

    async def show(self, ticket: str, frame: bytes) -> bool:
        """Take a robot's newest observation; False for a ticket that isn't known, or not any more."""
        seat = self._seats.get(ticket)
        if seat is None:
            return False
        seat.heard_s = monotonic()
        seat.overtaken += seat.observation is not None
        seat.observation = frame
        self._shown.set()
        return True

    async def newer(self, ticket: str, after: int, within_s: float) -> dict[str, Any]:
        """A robot's newest subgoal once its number is above `after`, or none after a time; and how all is."""
        seat = self._seats.get(ticket)
        if seat is None:
            return {"known": False}
        seat.heard_s = monotonic()
        if seat.number <= after:
            told = self._told[ticket]
            told.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), within_s)
        subgoal = seat.subgoal if seat.number > after else None
        return {
            "known": self._seats.get(ticket) is seat,
            "number": seat.number,
            "subgoal": subgoal,
            "news": {**self._figures(), **seat.figures()},
        }

    async def leave(self, ticket: str) -> None:
        """A robot needs it no more."""
        if ticket in self._seats:
            self._drop(ticket)

    async def report(self) -> dict[str, Any]:
        """How it is, and all robots."""
        robots = {
            seat.robot: {**seat.figures(), "quiet_s": monotonic() - seat.heard_s} for seat in self._seats.values()
        }
        return {"state": self._state(), "problem": self._problem, **self._figures(), "seats": robots}

    def _state(self) -> str:
        if self._problem:
            return "failed" if self._hello is None else "ended"
        return "loading" if self._hello is None else "serving"

    def _figures(self) -> dict[str, Any]:
        since_s = self._planning_since_s
        return {
            "node": self._node,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "robots": len(self._seats),
            "batches": self._batches,
            "batch": self._sizes.mean(),
            "spoiled": 0 if self._batcher is None else self._batcher.spoiled,
            "plan_s": self._plan_s,
            "busy_s": 0.0 if since_s is None else monotonic() - since_s,
            "loading_s": self._loading_s(),
            "ended": self._ended,
        }

    def _loading_s(self) -> float | None:
        """How long it has been loading; None once that is over."""
        return None if self._loading_since_s is None else monotonic() - self._loading_since_s


def _ray_node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _load(config: FleetConfig) -> tuple[Batcher, Hello]:
    planner = make_planner(config.planner)
    use_one_torch_thread()
    if config.embodiment is not None:
        try:
            planner.plan(config.embodiment.fake_observation(np.random.default_rng(0)))
        except Exception as error:
            # Some planners know only the words of their tasks; whether it plans is seen when it is asked in earnest.
            _LOGGER.info("the warm-up gave nothing: %s", error)
    return Batcher(planner), Hello.of(planner.subgoal_spec, planner_digest(config.planner))
