"""An actor that asks a policy by GR00T's protocol, in each version's words, against servers that fail and lie, too."""

import json
from typing import Any

import numpy as np
import pytest

from dualsys.actor.outside.groot_actor import GrootActor
from dualsys.actor.outside.groot_keys import GrootKeys
from dualsys.embodiment import CameraSpec, EmbodimentSpec, Joint, JointGroup
from dualsys.errors import ConfigError, PolicyError
from dualsys.testing import check_actor
from tests.unit.actor.policy_servers import groot_server

NAMES = ("a0", "a1", "grip", "b0")
ROBOT = EmbodimentSpec(
    name="two-arms",
    joints=tuple(Joint(name=name, lower=-2, upper=2) for name in NAMES),
    state_names=("b0", "grip", "a1", "a0"),
    groups=(JointGroup(name="arm", joints=("a0", "a1")), JointGroup(name="rest", joints=("grip", "b0"))),
    cameras=(CameraSpec(name="ego", height=8, width=12),),
)
ROWS = 5
MODALITIES = {
    "video": {"modality_keys": ["ego"], "delta_indices": [0]},
    "state": {"modality_keys": ["arm", "rest"], "delta_indices": [0]},
    "action": {"modality_keys": ["arm", "rest"], "delta_indices": list(range(ROWS))},
    "language": {"modality_keys": ["annotation.human.task"], "delta_indices": [0]},
}
Asked = list[tuple[str, Any]]


class Policy:
    """The pose that it is told, as a version of GR00T answers; keeps what it was asked."""

    def __init__(self, version: str, **modalities: Any) -> None:
        self.version, self.asked = version, list[tuple[str, Any]]()
        self.modalities = {**MODALITIES, **modalities}

    def __call__(self, request: dict[str, Any]) -> Any:
        endpoint, data = request["endpoint"], request.get("data", {})
        self.asked.append((endpoint, data))
        if endpoint == "ping":
            return {"status": "ok", "message": "Server is running"}
        if endpoint == "get_modality_config":
            return {name: self._config(name, entry) for name, entry in self.modalities.items()}
        if endpoint == "reset":
            return {}
        return self._act(data)

    def _config(self, name: str, entry: dict[str, Any]) -> Any:
        if self.version != "n1.5":
            return {"__ModalityConfig_class__": True, "as_json": entry}
        keys = [key if name == "language" else f"{name}.{key}" for key in entry["modality_keys"]]
        return {"__ModalityConfig_class__": True, "as_json": json.dumps(entry | {"modality_keys": keys})}

    def _act(self, data: dict[str, Any]) -> Any:
        if self.version == "n1.5":
            return {f"action.{part}": np.tile(data[f"state.{part}"], (ROWS, 1)) for part in ("arm", "rest")}
        state = data["observation"]["state"]
        return [{part: np.tile(value, (1, ROWS, 1)) for part, value in state.items()}, {}]


def observation() -> Any:
    return ROBOT.fake_observation(np.random.default_rng(0), stamp_s=2.0, instruction="lift it")


@pytest.mark.parametrize("version", ["n1.5", "n1.6"])
def test_each_version_is_told_apart_and_answers(version: str) -> None:
    policy = Policy(version)
    with groot_server(policy) as address:
        actor = GrootActor(address, ROBOT, dt_s=0.05)
        assert actor.layout == version
        assert actor.horizon == ROWS
        check_actor(actor)
        chunk = actor.act(observation(), None)
        actor.close()
    by_name = dict(zip(ROBOT.state_names, observation().state, strict=True))
    np.testing.assert_allclose(chunk.rows, np.tile([by_name[name] for name in NAMES], (ROWS, 1)), atol=1e-7)
    assert chunk.start_stamp_s == 2.0


def test_n1_5_is_asked_flat() -> None:
    policy = Policy("n1.5")
    with groot_server(policy) as address:
        actor = GrootActor(address, ROBOT, dt_s=0.05)
        actor.act(observation(), None)
        actor.close()
    (asked,) = [data for endpoint, data in policy.asked if endpoint == "get_action"]
    shapes = {key: getattr(value, "shape", value) for key, value in asked.items()}
    assert shapes == {
        "video.ego": (1, 8, 12, 3),
        "state.arm": (1, 2),
        "state.rest": (1, 2),
        "annotation.human.task": ["lift it"],
    }


def test_n1_6_is_asked_nested_and_told_of_episodes() -> None:
    policy = Policy("n1.6")
    with groot_server(policy) as address:
        actor = GrootActor(address, ROBOT, dt_s=0.05)
        actor.reset(seed=9)
        for _ in range(2):
            actor.act(observation(), None)
        actor.close()
    assert [endpoint for endpoint, _ in policy.asked] == [
        "ping",
        "get_modality_config",
        "reset",
        "get_action",
        "get_action",
    ]
    assert policy.asked[2][1] == {"options": {"seed": 9}}
    asked = policy.asked[3][1]["observation"]
    assert asked["video"]["ego"].shape == (1, 1, 8, 12, 3)
    assert (asked["state"]["arm"].shape, asked["state"]["arm"].dtype) == ((1, 1, 2), np.float32)
    assert asked["language"] == {"annotation.human.task": [["lift it"]]}


def test_a_simulations_wrapper_is_asked_flat_in_batches() -> None:
    asked: Asked = []

    def answer(request: dict[str, Any]) -> Any:
        asked.append((request["endpoint"], request.get("data")))
        if request["endpoint"] != "get_action":
            return {}
        return [{"action.all": np.zeros((1, ROWS, 4), np.float32)}, {}]

    keys = GrootKeys(layout="n1.6-sim", video={"cam": 0}, state={"s": ":"}, action={"all": ":"}, language="task")
    with groot_server(answer) as address:
        actor = GrootActor(address, ROBOT, keys=keys, dt_s=0.05)
        assert actor.horizon == ROWS, "learned from an answer"
        actor.close()
    sent = asked[-1][1]["observation"]
    assert {key: getattr(value, "shape", value) for key, value in sent.items()} == {
        "video.cam": (1, 1, 8, 12, 3),
        "state.s": (1, 1, 4),
        "task": [""],
    }


@pytest.mark.parametrize(
    ("modalities", "said"),
    [
        ({"video": {"modality_keys": ["ego"], "delta_indices": [-1, 0]}}, "wants 2 moments of video"),
        ({"video": {"modality_keys": ["wrist"], "delta_indices": [0]}}, "has video wrist; the keys give ego"),
        ({"action": {"modality_keys": ["arm"], "delta_indices": [0]}}, "has action arm; the keys give arm, rest"),
    ],
)
def test_a_policy_for_another_robot_is_refused(modalities: dict[str, Any], said: str) -> None:
    with groot_server(Policy("n1.6", **modalities)) as address, pytest.raises(ConfigError, match=said):
        GrootActor(address, ROBOT, dt_s=0.05)


def test_parts_must_move_every_joint_once() -> None:
    keys = GrootKeys(action={"arm": ["a0", "a1"]})
    with pytest.raises(ConfigError, match="each of its 4 joints once, and move 2"):
        GrootActor("tcp://127.0.0.1:9", ROBOT, keys=keys, dt_s=0.05)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "CUDA out of memory"}, "failed: CUDA out of memory"),
        (b"ERROR", "not msgpack"),
        ([{"arm": np.zeros((1, ROWS, 2))}, {}], "no part 'rest'"),
        ([{"arm": np.zeros((1, ROWS, 2)), "rest": np.zeros((1, 4, 2))}, {}], "differ in rows"),
        ([{"arm": np.zeros((1, ROWS, 3)), "rest": np.zeros((1, ROWS, 2))}, {}], "expected rows of 2"),
        ("nonsense", "the answer is str"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_call_tries_anew(answer: Any, said: str) -> None:
    policy, bad = Policy("n1.6"), [answer]

    def answering(request: dict[str, Any]) -> Any:
        return bad.pop() if request["endpoint"] == "get_action" and bad else policy(request)

    with groot_server(answering) as address:
        actor = GrootActor(address, ROBOT, dt_s=0.05)
        with pytest.raises(PolicyError, match=said):
            actor.act(observation(), None)
        assert actor.act(observation(), None).horizon == ROWS
        actor.close()


def test_a_server_that_dies_is_given_up_in_time() -> None:
    policy = Policy("n1.6")
    with groot_server(lambda request: None if request["endpoint"] == "get_action" else policy(request)) as address:
        actor = GrootActor(address, ROBOT, dt_s=0.05, timeout_s=0.3)
        with pytest.raises(PolicyError, match=r"no answer to 'get_action' within 0\.3 s"):
            actor.act(observation(), None)
        actor.close()
    with pytest.raises(PolicyError, match="no answer to 'ping'"):
        GrootActor("tcp://127.0.0.1:9", ROBOT, dt_s=0.05, timeout_s=0.2)
