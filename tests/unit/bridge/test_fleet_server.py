"""The planner's server without Ray: robots join and leave, and what one of them does wrong is its own affair."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dualsys.bridge import fleet_server, server_line
from dualsys.bridge.box_line import Unreachable
from dualsys.bridge.fleet_server import FleetConfig, FleetServer
from dualsys.bridge.frames import WIRE_VERSION
from dualsys.bridge.handshake import Hello
from dualsys.bridge.parts import PartConfig
from dualsys.bridge.scene import Episode
from dualsys.bridge.sensed import SensedCodec
from dualsys.bridge.server_line import OwnServer, ServerLine
from dualsys.bridge.wire import SubgoalCodec
from dualsys.settings import RestartConfig
from dualsys.testing import fake_embodiment
from tests.integration import bridge_parts

ARM = fake_embodiment()


FLEET = FleetConfig(planner=PartConfig(name="nobody"))


class CountingRay:
    """What `OwnServer` asks of Ray, which is to make servers and to end them."""

    def __init__(self) -> None:
        self.killed: list[Any] = []

    def remote(self, server: type) -> Any:
        made = SimpleNamespace(remote=lambda _: SimpleNamespace(serve=SimpleNamespace(remote=lambda: None)))
        return SimpleNamespace(options=lambda **_: made)

    def kill(self, server: Any, *, no_restart: bool) -> None:
        self.killed.append(server)


def application(robot: str, **changes: Any) -> dict[str, Any]:
    values = {"robot": robot, "key": "one", "wire": WIRE_VERSION, "embodiment": ARM.model_dump(mode="json")}
    return values | changes


def frame(stamp_s: float, instruction: str = "go", **changes: Any) -> bytes:
    observation = ARM.fake_observation(np.random.default_rng(0), stamp_s=stamp_s, instruction=instruction)
    episode = Episode(number=0, seed=0, start_s=0.0, instruction=instruction)
    return SensedCodec().encode((episode, replace(observation, **changes)))


def serve(story: Callable[[FleetServer], Awaitable[None]], planner: str = "BatchedPlanner", **changes: Any) -> None:
    """Run a story beside a server that has loaded."""
    part = PartConfig(name=f"tests.integration.bridge_parts:{planner}")
    server = FleetServer(FleetConfig(planner=part, embodiment=ARM, **changes).model_dump_json(), "here")

    async def play() -> None:
        serving = asyncio.create_task(server.serve())
        while (await server.report())["state"] == "loading":
            await asyncio.sleep(0.01)
        try:
            await asyncio.wait_for(story(server), 30)
        finally:
            serving.cancel()

    asyncio.run(play())


async def join(server: FleetServer, robot: str, **changes: Any) -> str:
    answer = await server.join(application(robot, **changes))
    assert answer["problem"] == ""
    return str(answer["ticket"])


async def subgoal(server: FleetServer, ticket: str, after: int = -1) -> tuple[int, float]:
    """Number and time in the tokens of the next one."""
    answer = await server.newer(ticket, after, 10.0)
    tokens = SubgoalCodec().decode(answer["subgoal"]).tokens
    return answer["number"], float(tokens[0, 0])


def test_each_robot_gets_the_subgoal_of_its_own_newest_observation() -> None:
    async def story(server: FleetServer) -> None:
        tickets = [await join(server, f"robot {number}") for number in range(5)]
        for number, ticket in enumerate(tickets):
            # Nothing is planned for before this coroutine waits: those in between are overtaken.
            for stamp_s in (1.0, 2.0, 10.0 + number):
                assert await server.show(ticket, frame(stamp_s))
        for number, ticket in enumerate(tickets):
            assert await subgoal(server, ticket) == (0, 10.0 + number)
        report = await server.report()
        assert report["batches"] == 1
        assert report["batch"] == 5
        assert [seat["overtaken"] for seat in report["seats"].values()] == [2] * 5
        # What it has had is not sent again; without anything newer the answer comes when the time is up.
        empty = await server.newer(tickets[0], 0, 0.01)
        assert (empty["known"], empty["subgoal"]) == (True, None)

    serve(story, max_batch=5)


def test_bad_observations_fail_for_their_robot_alone() -> None:
    async def story(server: FleetServer) -> None:
        good, nan, wordless = [await join(server, name) for name in ("good", "nan", "wordless")]
        for turn in range(3):
            await server.show(nan, frame(turn, state=np.array([0.0, np.nan, 0.0])))
            await server.show(wordless, frame(turn, ""))
            await server.show(good, frame(turn))
            assert await subgoal(server, good, turn - 1) == (turn, turn)
        seats = (await server.report())["seats"]
        assert (seats["good"]["subgoals"], seats["good"]["failures"]) == (3, 0)
        for name, words in (("nan", "not finite"), ("wordless", "there are no words to go by")):
            assert (seats[name]["subgoals"], seats[name]["failures_in_a_row"]) == (0, 3)
            assert words in seats[name]["problem"]
        assert (await server.report())["spoiled"] == 1, "who has spoiled a batch is planned for alone"

    serve(story)


def test_robots_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(server: FleetServer) -> None:
        first = await join(server, "arm")
        again = await join(server, "arm")  # the same run: its relay was started anew
        assert not await server.show(first, frame(1.0))
        assert await server.newer(first, -1, 0.0) == {"known": False}
        assert "is being served" in (await server.join(application("arm", key="two")))["problem"]
        monkeypatch.setattr(fleet_server, "LEASE_S", 0.0)
        other = await join(server, "arm", key="two")
        assert not await server.show(again, frame(1.0))
        await server.leave(other)
        await server.leave(other)
        assert (await server.report())["robots"] == 0
        quiet = await join(server, "arm")
        monkeypatch.setattr(fleet_server, "FORGET_S", 0.0)
        server._shown.set()
        await asyncio.sleep(0.05)
        assert not await server.show(quiet, frame(1.0))

    serve(story)


def test_who_may_not_join_is_told_why() -> None:
    async def story(server: FleetServer) -> None:
        await join(server, "one")
        for changes, words in (
            ({"wire": 99}, f"speaks wire version 99, the planner's server {WIRE_VERSION}"),
            ({"embodiment": {"name": "?"}}, "embodiment cannot be read"),
            ({}, "serves 1 robots already"),
        ):
            assert words in (await server.join(application("two", **changes)))["problem"]

    async def alone(server: FleetServer) -> None:
        answer = await server.join(application("one"))
        hello = Hello.of_plain(answer["hello"])
        assert hello.problem(bridge_parts.SPEC, None) is None
        assert answer["node"] == "here"
        assert "has no plan_batch" in (await server.join(application("two")))["problem"]

    serve(story, max_robots=1)
    serve(alone, "planner")


def test_a_planner_that_cannot_be_loaded_is_told_to_who_joins() -> None:
    async def story(server: FleetServer) -> None:
        answer = await server.join(application("one"))
        assert answer["ready"]
        assert "has no attribute 'nobody'" in answer["problem"]
        assert (await server.report())["state"] == "failed"

    serve(story, "nobody")


def test_a_reset_that_raises_fails_for_its_robot_and_the_server_goes_on() -> None:
    async def story(server: FleetServer) -> None:
        ticket = await join(server, "arm")
        await server.show(ticket, frame(1.0))
        while (await server.report())["seats"]["arm"]["failures"] < 1:
            await asyncio.sleep(0.01)
        await server.show(ticket, frame(2.0))
        assert (await subgoal(server, ticket))[0] == 0
        report = await server.report()
        assert (report["state"], report["seats"]["arm"]["failures"]) == ("serving", 1)

    serve(story, "planner_with_one_bad_reset")


def test_a_server_tells_for_how_long_it_has_been_loading_and_then_no_more() -> None:
    async def story(server: FleetServer) -> None:
        assert (await server.report())["loading_s"] is None

    loading = FleetServer(FLEET.model_dump_json(), "here")
    answer = asyncio.run(loading.join(application("arm")))
    assert (answer["ready"], answer["node"]) == (False, "here")
    assert answer["loading_s"] > 0.0
    serve(story)


def test_a_server_that_plans_no_more_says_so_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect of ours")

    async def story(server: FleetServer) -> None:
        ticket = await join(server, "arm")
        assert (await server.newer(ticket, -1, 0.0))["news"]["ended"] == ""
        monkeypatch.setattr(fleet_server, "choose", broken)
        waiting = asyncio.create_task(server.newer(ticket, -1, 60.0))
        await asyncio.sleep(0)
        await server.show(ticket, frame(1.0))
        assert "a defect of ours" in (await waiting)["news"]["ended"], "who waits is told at once"
        assert (await server.report())["state"] == "ended"
        answer = await server.join(application("leg"))
        assert (answer["ready"], answer["problem"]) == (False, "")
        assert "a defect of ours" in answer["ended"]

    serve(story)


def test_whoever_made_a_server_that_plans_no_more_makes_another() -> None:
    ray = CountingRay()
    source = OwnServer(ray, FLEET, {}, restart=RestartConfig(first_delay_s=0.0), hangs_after_s=60.0)
    first = source.get()
    source.watch({"ended": "", "batches": 1, "busy_s": 0.0})
    assert source.get() is first
    source.watch({"ended": "RuntimeError: a defect of ours"})
    assert ray.killed == [first]
    assert source.get() is not first
    assert source.restarts == 1


class SilentRay(CountingRay):
    """Has one node, whose daemon's port this is, and a server on it that gives no answer."""

    class exceptions:
        """Ray's own, as far as they are asked for."""

        class RayError(Exception): ...

        class GetTimeoutError(RayError): ...

        class ActorDiedError(RayError): ...

        class ActorUnschedulableError(RayError): ...

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def remote(self, server: type) -> Any:
        method = SimpleNamespace(remote=lambda *_: None)
        made = SimpleNamespace(remote=lambda _: SimpleNamespace(serve=method, report=method))
        return SimpleNamespace(options=lambda **_: made)

    def nodes(self) -> list[dict[str, Any]]:
        where = {"NodeManagerAddress": "127.0.0.1", "NodeManagerPort": self._port}
        return [{"NodeID": "here", "Alive": True, **where}]

    def is_initialized(self) -> bool:
        return True

    def get(self, answer: Any, *, timeout: float) -> Any:
        raise self.exceptions.GetTimeoutError


@pytest.fixture
def daemon() -> Iterator[socket.socket]:
    """Takes connections until it is closed, as a node's daemon does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def silent(port: int, **limits: float) -> tuple[SilentRay, ServerLine]:
    ray = SilentRay(port)
    values = {"hangs_after_s": 0.01, "starts_within_s": 60.0} | limits
    return ray, ServerLine(ray, OwnServer(ray, FLEET, {}, restart=RestartConfig(), **values))


def ask(line: ServerLine, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Unreachable, match="no answer"):
            line.call("report")
        time.sleep(0.02)


def test_a_server_that_answers_nobody_is_ended_while_its_node_does(daemon: socket.socket) -> None:
    ray, line = silent(daemon.getsockname()[1])
    ask(line, 2)
    assert ray.killed == [], "nobody knows yet where it is: it may wait for its node"
    line.watch({"node": "here"})
    ask(line)
    assert len(ray.killed) == 1


def test_a_server_that_loads_may_be_silent_for_longer(daemon: socket.socket) -> None:
    ray, line = silent(daemon.getsockname()[1])
    ask(line)
    line.watch({"node": "here", "loading_s": 1.0})
    ask(line, 2)
    assert ray.killed == []
    line.watch({"node": "here", "loading_s": 61.0})
    assert len(ray.killed) == 1, "it says itself that it has been loading for too long"


def test_a_server_behind_a_cut_link_is_kept_also_when_the_link_is_back(daemon: socket.socket) -> None:
    host, port = daemon.getsockname()
    ray, line = silent(port)
    ask(line)
    line.watch({"node": "here"})
    daemon.close()
    ask(line, 2)
    with socket.create_server((host, port)):
        ask(line, 2)
    assert ray.killed == [], "Ray needs its time until calls come through again"


def test_a_pause_of_whoever_asks_is_no_silence_of_the_server(
    daemon: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray, line = silent(daemon.getsockname()[1], hangs_after_s=30.0)
    ask(line)
    line.watch({"node": "here"})
    now_s = time.monotonic()
    monkeypatch.setattr(server_line, "monotonic", lambda: now_s + 1000.0)
    ask(line)
    assert ray.killed == []
