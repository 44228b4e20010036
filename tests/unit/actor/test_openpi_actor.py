"""An actor that asks a policy by openpi's protocol, against servers that answer, fail, lie and die."""

from typing import Any

import numpy as np
import pytest

from dualsys.actor.outside.openpi_actor import OWN, OpenPIActor
from dualsys.app.controller import Controller
from dualsys.errors import ConfigError, PolicyError, SpecMismatch
from dualsys.registry import load
from dualsys.settings import CoreConfig, TimingConfig
from dualsys.testing import check_actor, fake_embodiment
from tests.unit.actor.policy_servers import Answer, openpi_server

ROBOT = fake_embodiment(cameras=True)
ROWS = 6


def steady(message: dict[str, Any]) -> Any:
    """The pose that it is told, for a while."""
    return {"actions": np.tile(message["state"][: ROBOT.num_actions], (ROWS, 1)), "server_timing": {"infer_ms": 1.0}}


def noting(asked: list[dict[str, Any]]) -> Answer:
    def answer(message: dict[str, Any]) -> Any:
        asked.append(message)
        return steady(message)

    return answer


def observation() -> Any:
    return ROBOT.fake_observation(np.random.default_rng(0), instruction="go")


def test_it_is_registered_and_conforms() -> None:
    with openpi_server(steady) as address:
        actor = load("actors", "openpi")(address, ROBOT, dt_s=0.02)
        check_actor(actor)
        assert (actor.horizon, actor.dt_s) == (ROWS, 0.02)
        assert actor.round_trips.quantile_s(0.5) > 0
        actor.close()


def test_a_strangers_server_is_sent_what_openpi_knows_and_no_more() -> None:
    asked: list[dict[str, Any]] = []
    with openpi_server(noting(asked)) as address:
        actor = OpenPIActor(address, ROBOT, dt_s=0.05)
        actor.reset(seed=3)
        actor.act(observation(), None)
        actor.close()
    assert [set(message) for message in asked] == [{"state", "images", "prompt"}] * 2, "one was to learn the horizon"
    assert asked[1]["prompt"] == "go"


def test_our_own_server_is_told_the_stamp_and_each_episodes_seed() -> None:
    asked: list[dict[str, Any]] = []
    says = {OWN: {"horizon": ROWS, "dt_s": 0.04, "embodiment": ROBOT.model_dump(mode="json")}}
    with openpi_server(noting(asked), says) as address:
        actor = OpenPIActor(address, ROBOT, dt_s=0.02)
        assert actor.dt_s == 0.04, "the server's word counts"
        assert not asked
        actor.reset(seed=7)
        actor.act(observation(), None)
        actor.act(observation(), None)
        actor.close()
    assert [message[OWN]["seed"] for message in asked] == [7, None]
    assert asked[0][OWN]["stamp_s"] == observation().stamp_s


def test_another_robots_controller_is_refused() -> None:
    other = ROBOT.model_copy(update={"name": "other"})
    says = {OWN: {"horizon": ROWS, "dt_s": 0.04, "embodiment": other.model_dump(mode="json")}}
    with openpi_server(steady, says) as address, pytest.raises(SpecMismatch, match="differ in name"):
        OpenPIActor(address, ROBOT)
    with openpi_server(steady, {OWN: {"embodiment": {"name": "x"}}}) as address, pytest.raises(PolicyError):
        OpenPIActor(address, ROBOT, dt_s=0.02)


def test_nobody_says_how_far_rows_are_apart() -> None:
    with openpi_server(steady) as address, pytest.raises(ConfigError, match="give dt_s"):
        OpenPIActor(address, ROBOT)


def test_addresses_that_are_none() -> None:
    with pytest.raises(PolicyError, match=r"no policy answers at ws://127\.0\.0\.1:9: .*refused"):
        OpenPIActor("ws://127.0.0.1:9", ROBOT, dt_s=0.02)
    with pytest.raises(ConfigError, match="ws://HOST:PORT"):
        OpenPIActor("127.0.0.1:8000", ROBOT, dt_s=0.02)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Traceback ...\nKeyError: 'observation/image'", "failed: KeyError: 'observation/image'"),
        (b"\xc1garbage", "not msgpack"),
        (b"", "not msgpack"),
        ({"actions": np.zeros((ROWS, 40), np.float32)}, "float32 .6, 40."),
        ({"action": np.zeros((ROWS, 2))}, "no array 'actions'"),
        (None, "hung up: .*1011.*out of memory"),
    ],
)
def test_what_goes_wrong_with_an_answer_is_told_and_the_next_call_tries_anew(answer: Any, said: str) -> None:
    answers = [steady, lambda _: answer, steady]

    def next_one(message: dict[str, Any]) -> Any:
        return answers.pop(0)(message)

    with openpi_server(next_one) as address:
        actor = OpenPIActor(address, ROBOT, dt_s=0.02)
        with pytest.raises(PolicyError, match=said):
            actor.act(observation(), None)
        assert actor.act(observation(), None).horizon == ROWS
        actor.close()


@pytest.mark.parametrize("metadata", [b"\xc1", "no model is loaded", [1, 2], 7])
def test_metadata_that_is_none(metadata: Any) -> None:
    with openpi_server(steady, metadata) as address:
        if isinstance(metadata, bytes | str):
            with pytest.raises(PolicyError):
                OpenPIActor(address, ROBOT, dt_s=0.02)
        else:
            OpenPIActor(address, ROBOT, dt_s=0.02).close()


def test_a_policy_that_is_silent_is_given_up() -> None:
    import threading

    let_go = threading.Event()

    def slow(message: dict[str, Any]) -> Any:
        if message["prompt"] == "go":
            let_go.wait(10)
        return steady(message)

    with openpi_server(slow) as address:
        actor = OpenPIActor(address, ROBOT, dt_s=0.02, timeout_s=0.2)
        with pytest.raises(PolicyError, match=r"no answer within 0\.2 s"):
            actor.act(observation(), None)
        let_go.set()
        actor.close()


def test_a_controller_hangs_up_when_it_is_closed() -> None:
    hung_up: list[bool] = []
    with openpi_server(steady) as address:
        actor = OpenPIActor(address, ROBOT, dt_s=0.02)
        timing = TimingConfig(planner_latency_s=0.0, actor_latency_s=0.0, control_hz=50)
        core = CoreConfig(first_subgoal_wait_s=0.0)
        with Controller(None, actor, timing=timing, core=core) as controller:
            rng = np.random.default_rng(0)
            commands = [controller.step(ROBOT.fake_observation(rng, stamp_s=step / 50)) for step in (0, 1)]
            assert commands[1].source == "actor"
        hung_up.append(actor._connection._socket is None)
    assert hung_up == [True]
