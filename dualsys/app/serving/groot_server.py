"""A controller behind GR00T's ZMQ protocol, as N1.6 and N1.7 speak it: `gr00t.policy.server_client.PolicyClient`.

Endpoints: `ping`, `get_modality_config`, `reset` (`{"options": {"seed": 7}}` begins an episode with that noise),
`get_action`. A robot's groups are GR00T's parts; joints in none are refused when it starts. `kill` is refused: it would
let whoever can reach the port end the server.
"""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, final

import numpy as np

from dualsys.actor.outside.extras import import_zmq
from dualsys.actor.outside.frame import MAX_BYTES
from dualsys.actor.outside.groot_keys import GrootKeys, GrootParts
from dualsys.actor.outside.npy_packing import pack, unpack
from dualsys.app.serving.served_policy import ServedPolicy, whole_seed
from dualsys.errors import ConfigError, InvalidObservation
from dualsys.messages import FloatArray, Observation

_LANGUAGE = "task"


@final
class GrootServer:
    """Listens at once, answers in `serve`.

    Raises `ConfigError` where the robot's groups leave out a state or a joint; `OSError` where the port is taken.
    """

    def __init__(self, policy: ServedPolicy, *, host: str, port: int) -> None:
        self._policy = policy
        self._parts = GrootParts(GrootKeys.named("groot"), policy.embodiment)
        if sum(map(len, self._parts.state.values())) != policy.embodiment.num_states:
            raise ConfigError(
                f"groups of {policy.embodiment.name} leave out states, which GR00T's clients couldn't send"
            )
        self._began_s = monotonic()
        zmq = import_zmq()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        try:
            self._socket.bind(f"tcp://{'*' if host == '0.0.0.0' else host}:{port or '*'}")
        except zmq.ZMQError as error:
            self.close()
            raise OSError(error.errno, str(error)) from error
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._endpoints: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "ping": lambda _: {"status": "ok", "message": "Server is running"},
            "get_modality_config": lambda _: self._modalities(),
            "reset": self._reset,
            "get_action": self._act,
        }
        policy.begin()

    def serve(self) -> None:
        """Answer for ever, one after the other."""
        try:
            while True:
                self._socket.send(self.answer(self._socket.recv()))
        finally:
            self.close()

    def answer(self, frame: bytes) -> bytes:
        """The frame that answers another; what goes wrong is told, whatever it is."""
        try:
            asked = unpack(frame)
            if not isinstance(asked, Mapping):
                raise InvalidObservation(f"a question is a mapping with an endpoint, not {type(asked).__name__}")
            endpoint, data = asked.get("endpoint", "get_action"), asked.get("data")
            if endpoint not in self._endpoints:
                known = ", ".join(self._endpoints)
                raise InvalidObservation(f"endpoint {endpoint!r} is not served; there are {known}")
            return pack(self._endpoints[endpoint](data if isinstance(data, Mapping) else {}))
        # Whatever a model raises: the client is told, and the next question is answered.
        except Exception as error:
            return pack({"error": f"{type(error).__name__}: {error}"})

    def close(self) -> None:
        """Let go of the port. Idempotent."""
        self._socket.close(linger=0)
        self._context.term()

    def _reset(self, data: Mapping[str, Any]) -> dict[str, Any]:
        options = data.get("options")
        seed = options.get("seed", 0) if isinstance(options, Mapping) else 0
        self._policy.begin(whole_seed(seed))
        return {}

    def _act(self, data: Mapping[str, Any]) -> list[Any]:
        asked = data.get("observation")
        if not isinstance(asked, Mapping):
            raise InvalidObservation("get_action needs an observation: {'video': ..., 'state': ..., 'language': ...}")
        chunk, timing = self._policy.infer(self._observation(asked))
        rows = chunk.rows.astype(np.float32)[None]
        return [{part: rows[:, :, places] for part, places in self._parts.action.items()}, {"policy_timing": timing}]

    def _observation(self, asked: Mapping[str, Any]) -> Observation:
        state = np.zeros(self._policy.embodiment.num_states)
        for part, places in self._parts.state.items():
            state[places] = _numbers(asked, part, len(places))
        images = {camera: _array(asked, "video", name)[0, 0] for name, camera in self._parts.video.items()}
        words = asked.get("language", {}).get(_LANGUAGE, [[""]])
        observation = Observation(
            stamp_s=monotonic() - self._began_s, state=state, images=images, instruction=str(words[0][0])
        )
        self._policy.embodiment.check_observation(observation)
        return observation

    def _modalities(self) -> dict[str, Any]:
        rows = list(range(self._policy.about["horizon"]))
        entries = {
            "video": (list(self._parts.video), [0]),
            "state": (list(self._parts.state), [0]),
            "action": (list(self._parts.action), rows),
            "language": ([_LANGUAGE], [0]),
        }
        return {
            modality: {
                "__ModalityConfig_class__": True,
                "as_json": {"modality_keys": names, "delta_indices": moments},
            }
            for modality, (names, moments) in entries.items()
        }


def _array(asked: Mapping[str, Any], modality: str, name: str) -> np.ndarray[Any, Any]:
    entries = asked.get(modality)
    value = entries.get(name) if isinstance(entries, Mapping) else None
    wanted = 5 if modality == "video" else 3
    if not isinstance(value, np.ndarray) or value.ndim != wanted or value.shape[:2] != (1, 1):
        shape = getattr(value, "shape", type(value).__name__)
        raise InvalidObservation(f"{modality} {name!r} is {shape}, expected (1, 1, ...) of {wanted} axes")
    return value


def _numbers(asked: Mapping[str, Any], part: str, width: int) -> FloatArray:
    value = _array(asked, "state", part)
    if value.shape[2] != width or value.dtype.kind not in "iuf":
        raise InvalidObservation(f"state {part!r} is {value.dtype} {value.shape}, expected (1, 1, {width})")
    return np.asarray(value[0, 0], dtype=np.float64)
