"""A controller that is served: what clients of openpi and GR00T are answered, and an evaluation through the wire."""

import asyncio
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from dualsys.actor.outside.array_packing import pack, unpack
from dualsys.actor.outside.groot_actor import GrootActor
from dualsys.actor.outside.groot_connection import GrootConnection
from dualsys.actor.outside.keys import PolicyKeys
from dualsys.actor.outside.openpi_actor import OWN, OpenPIActor
from dualsys.app import cli
from dualsys.app.evaluate import evaluate
from dualsys.app.evaluation.config import EvalConfig
from dualsys.app.evaluation.timing_words import timing_in_words
from dualsys.app.serving.groot_server import GrootServer
from dualsys.app.serving.openpi_server import OpenPIServer
from dualsys.app.serving.served_policy import ServedPolicy
from dualsys.embodiment import CameraSpec, EmbodimentSpec, JointGroup, SubgoalSpec
from dualsys.errors import ConfigError, PolicyError
from dualsys.messages import ActionChunk, LatentSubgoal, Observation
from dualsys.testing import fake_embodiment
from dualsys.testing.fakes import KnownPlanner

ARM = fake_embodiment(cameras=True)
ROBOT = ARM.model_copy(update={"groups": (JointGroup(name="arm", joints=tuple(j.name for j in ARM.joints)),)})

SPEC = SubgoalSpec(num_tokens=2, dim=3)


class TellingActor:
    """Rows that tell what it acted on: the seed, the subgoal's number and age, the state."""

    def __init__(self, embodiment: EmbodimentSpec, spec: Any) -> None:
        self.embodiment, self.subgoal_spec = embodiment, spec
        self.horizon, self.dt_s = 4, 0.02
        self.seed = -1

    def reset(self, *, seed: int = 0) -> None:
        self.seed = seed

    def act(self, observation: Observation, subgoal: LatentSubgoal | None, prefix: Any = None) -> ActionChunk:
        if observation.instruction == "fail":
            raise RuntimeError("the model is out of memory")
        assert subgoal is not None
        told = [self.seed, subgoal.sequence, subgoal.age_s(observation.stamp_s)]
        rows = np.tile(np.array(told[: self.embodiment.num_actions], np.float64), (self.horizon, 1))
        return ActionChunk(rows=rows, dt_s=self.dt_s, start_stamp_s=observation.stamp_s)


def make_policy(planner_hz: float | None = None) -> ServedPolicy:
    planner = KnownPlanner(SPEC)
    return ServedPolicy(planner, TellingActor(ROBOT, planner.subgoal_spec), planner_hz=planner_hz)


@contextmanager
def served(build: Callable[[], ServedPolicy] = make_policy, *, max_clients: int = 1) -> Iterator[str]:
    """The address of a server in a thread."""
    ready, port = threading.Event(), list[int]()
    loop = asyncio.new_event_loop()

    def on_ready(number: int) -> None:
        port.append(number)
        ready.set()

    keys = PolicyKeys.named("dualsys")
    server = OpenPIServer(build, keys, host="127.0.0.1", port=0, max_clients=max_clients)
    task = loop.create_task(server.serve(on_ready))

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    try:
        yield f"ws://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def seen(stamp_s: float = 0.0, words: str = "go") -> Observation:
    return ROBOT.fake_observation(np.random.default_rng(0), stamp_s=stamp_s, instruction=words)


def sent(**changed: Any) -> dict[str, Any]:
    observation = seen()
    whole = {"state": observation.state, "images": dict(observation.images), "prompt": "go"}
    return whole | changed


def test_clients_are_told_what_is_served_and_answered() -> None:
    with served() as address, connect(address, compression=None, max_size=None) as client:
        about = unpack(bytes(client.recv()))  # type: ignore[arg-type]
        assert about[OWN]["horizon"] == 4
        assert EmbodimentSpec.model_validate(about[OWN]["embodiment"]) == ROBOT
        client.send(pack(sent()))
        answer = unpack(bytes(client.recv()))  # type: ignore[arg-type]
    assert answer["actions"].shape == (4, ROBOT.num_actions)
    assert answer["server_timing"]["infer_ms"] >= answer["policy_timing"]["actor_ms"]
    assert "planner_ms" in answer["policy_timing"]


def test_health_is_answered_while_a_client_is_served() -> None:
    with (
        served() as address,
        connect(address, compression=None),
        urllib.request.urlopen(f"{address.replace('ws', 'http', 1)}/healthz") as answer,
    ):
        assert (answer.status, answer.read()) == (200, b"OK\n")


def test_each_connection_begins_an_episode_and_so_does_a_seed() -> None:
    with served() as address:
        for _ in range(2):
            actor = OpenPIActor(address, ROBOT)
            for seed in (5, 6):
                actor.reset(seed=seed)
                rows = [actor.act(seen(stamp_s), None).rows[0] for stamp_s in (0.0, 0.1)]
                assert [row[0] for row in rows] == [seed, seed]
                assert [row[1] for row in rows] == [0, 1], "planned with each call, counted anew in each episode"
            actor.close()


def test_the_planner_keeps_its_rate_by_the_observations_stamps() -> None:
    with served(lambda: make_policy(planner_hz=5.0)) as address:
        actor = OpenPIActor(address, ROBOT)
        rows = [actor.act(seen(step * 0.1), None).rows[0] for step in range(6)]
        actor.close()
    assert [row[1] for row in rows] == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose([row[2] for row in rows], [0, 0.1, 0, 0.1, 0, 0.1], atol=1e-12)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\xc1", "not msgpack"),
        ("text", "a frame of text came"),
        (pack([1, 2]), "no 'state' in the observation"),
        (pack(sent(state=np.zeros(99))), "expected 3 numbers"),
        (pack(sent(images={})), "no picture"),
        (pack(sent(**{OWN: {"stamp_s": "now"}})), "stamp_s is 'now'"),
        (pack(sent(**{OWN: {"stamp_s": float("nan")}})), "stamp of the state is nan"),
        (pack(sent(**{OWN: {"seed": "seven"}})), "a seed is a number from 0 on, not 'seven'"),
        (pack(sent(**{OWN: {"seed": True}})), "a seed is a number from 0 on, not True"),
        (pack(sent(prompt="fail")), "RuntimeError: the model is out of memory"),
    ],
)
def test_what_cannot_be_answered_is_told_in_text_and_the_next_client_is_served(message: Any, said: str) -> None:
    with served() as address:
        with connect(address, compression=None) as client:
            client.recv()
            client.send(message)
            assert said in str(client.recv())
        actor = OpenPIActor(address, ROBOT)
        assert actor.act(seen(), None).horizon == 4
        actor.close()


def test_more_clients_than_allowed_are_sent_away_and_told_why() -> None:
    with served(max_clients=2) as address:
        first, second = OpenPIActor(address, ROBOT), OpenPIActor(address, ROBOT)
        with pytest.raises(PolicyError, match="--max-clients 2"):
            OpenPIActor(address, ROBOT)
        first.reset(seed=1)
        second.reset(seed=2)
        rows = [actor.act(seen(), None).rows[0][0] for actor in (first, second, first)]
        assert rows == [1, 2, 1], "each has models of its own"
        second.close()
        third = OpenPIActor(address, ROBOT)
        for actor in (first, third):
            actor.close()


@contextmanager
def groot_served(robot: EmbodimentSpec = ROBOT) -> Iterator[str]:
    planner = KnownPlanner(SPEC)
    server = GrootServer(ServedPolicy(planner, TellingActor(robot, planner.subgoal_spec)), host="127.0.0.1", port=0)
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            if server._socket.poll(20):
                server._socket.send(server.answer(server._socket.recv()))
        server.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server.address
    finally:
        is_over.set()
        thread.join()


def test_groot_clients_are_answered() -> None:
    with groot_served() as address:
        actor = GrootActor(address, ROBOT, dt_s=0.02)
        assert (actor.layout, actor.horizon) == ("n1.6", 4)
        actor.reset(seed=8)
        rows = [actor.act(seen(), None).rows[0] for _ in range(2)]
        assert [list(row[:2]) for row in rows] == [[8, 0], [8, 1]]
        actor.close()


@pytest.mark.parametrize(
    ("endpoint", "data", "said"),
    [
        ("kill", None, "'kill' is not served"),
        ("get_action", {"observation": None}, "needs an observation"),
        ("get_action", {"observation": {"state": {"arm": np.zeros((1, 1, 9), np.float32)}}}, "expected .1, 1, 3."),
        ("get_action", {"observation": {"state": {"arm": np.zeros(3)}}}, "expected .1, 1, ...."),
        ("reset", {"options": {"seed": "seven"}}, "seed is a number"),
    ],
)
def test_groot_clients_are_told_what_is_wrong(endpoint: str, data: Any, said: str) -> None:
    with groot_served() as address:
        connection = GrootConnection(address, timeout_s=5)
        with pytest.raises(PolicyError, match=said):
            connection.ask(endpoint, data)
        assert connection.ask("ping")["status"] == "ok"
        connection.close()


def test_a_robot_whose_groups_leave_out_joints_is_not_served_to_groot() -> None:
    partly = ROBOT.model_copy(update={"groups": (JointGroup(name="one", joints=(ROBOT.joints[0].name,)),)})
    with pytest.raises(ConfigError, match="must move each"), groot_served(partly):
        pass


@pytest.mark.slow
def test_an_evaluation_through_the_wire_is_the_evaluation_to_the_bit() -> None:
    """Served, the planner plans with each call; direct, it does so in each tick, without latency."""
    direct = EvalConfig(suite_or_task="humanoid/touch", episodes=1, planner_hz=50, planner_latency_s=0)
    with served(lambda: ServedPolicy.from_checkpoint("humanoid-table"), max_clients=2) as address:
        through = evaluate(EvalConfig(suite_or_task="humanoid/touch", episodes=1, policy=address))
    ours = evaluate(direct)
    (there,), (here,) = through["tasks"], ours["tasks"]
    for task in (there, here):
        for told in (task, *task["per_episode"]):
            del told["timing"]  # whose planner was started how often
    assert there == here
    assert through["controller_weights"] == ours["controller_weights"]
    assert through["policy"][OWN]["checkpoint"] == "humanoid-table"


def test_a_policy_of_its_own_has_no_planner_in_the_words_of_a_result() -> None:
    asked = EvalConfig(suite_or_task="humanoid/touch", policy="ws://somewhere:8000").plain()
    assert timing_in_words(asked) == "actor 10 Hz 30 ms"


def test_a_policy_that_dies_ends_the_evaluation_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "humanoid/touch", "--episodes", "1", "--policy", "ws://127.0.0.1:9"]) == 2
    assert "no policy answers at ws://127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--policy", "http://x:1"], "give ws://HOST:PORT"),
        (["--policy", "ws://"], "give ws://HOST:PORT"),
        (["--policy", "ws://x:1", "--actor", "hold"], "--actor: a --policy is both systems"),
        (["--policy", "ws://x:1", "--sweep", "planner-latency-s=0,0.1"], "--sweep planner-latency-s: a --policy"),
        (["--policy-keys", "libero"], "--policy-keys are names that a --policy has"),
    ],
)
def test_options_that_mean_nothing(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "humanoid/touch", *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "70000"], "--port 70000"),
        (["--max-clients", "0"], "--max-clients must be at least 1"),
        (["--planner-hz", "0"], "--planner-hz 0 must be above 0"),
        (["--protocol", "groot", "--keys", "libero"], "--keys and --max-clients are of openpi's"),
        (["--keys", "libero"], "camera 1 of unitree-g1-upper"),
    ],
)
def test_options_of_a_server(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["policy", "serve", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with served() as address:
        assert cli.main(["policy", "serve", "--port", address.rpartition(":")[2]]) == 2
    assert "Choose another --port" in capsys.readouterr().err


def test_asking_says_how_long_it_takes(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    small = CameraSpec(name="head", height=96, width=96)
    from dualsys import sim_envs

    environment = sim_envs.make("humanoid/touch", images="on-demand")
    robot = environment.embodiment
    environment.close()
    assert robot.cameras == (small,)

    def build() -> ServedPolicy:
        planner = KnownPlanner(SPEC)
        return ServedPolicy(planner, _Still(robot, planner.subgoal_spec))

    with served(build) as address:
        assert cli.main(["policy", "ask", address, "--calls", "3", "--json", str(tmp_path / "a.json")]) == 0
    said = capsys.readouterr().out
    assert "chunks of 4 rows, 0.02 s apart, for unitree-g1-upper" in said
    assert (tmp_path / "a.json").exists()


class _Still(TellingActor):
    def act(self, observation: Observation, subgoal: LatentSubgoal | None, prefix: Any = None) -> ActionChunk:
        rows = np.zeros((self.horizon, self.embodiment.num_actions))
        return ActionChunk(rows=rows, dt_s=self.dt_s, start_stamp_s=observation.stamp_s)
