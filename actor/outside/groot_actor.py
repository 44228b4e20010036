"""A policy behind GR00T's ZMQ protocol as an actor: N1.5's `service.py`, the `server_client.py` of N1.6 and N1.7.

    actor = GrootActor("tcp://gpu:5555", environment.embodiment, dt_s=environment.control_dt_s)

What it is asked in stands in `dualsys.actor.outside.groot_keys`. On the virtual clock an answer is worth the latency
that is injected, whatever it took; what it took is in `round_trips`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, final

from dualsys.actor.outside.answers import NO_SUBGOAL, RoundTrips, asked_horizon
from dualsys.actor.outside.groot_connection import GrootConnection
from dualsys.actor.outside.groot_keys import GrootKeys, GrootParts, Layout
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import ConfigError
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal, Observation

_LANGUAGE: dict[Layout, str] = {
    "n1.5": "annotation.human.task_description",
    "n1.6": "task",
    "n1.6-sim": "task",
}


@final
class GrootActor:
    """Asks a GR00T policy's server for chunks. It reads no subgoal and continues no rows.

    Args:
        address: `tcp://HOST:PORT`.
        embodiment: The robot.
        keys: Names that the policy has for cameras and parts: `groot` (the robot's own), a TOML file, or made in
            Python.
        dt_s: Time between the rows of its chunks: the control period of the data it was trained on.
        timeout_s: Longest wait for an answer.

    Raises:
        ConfigError: the robot hasn't what the keys name, or the policy wants other parts, or pictures of the past.
        PolicyError: nobody answers at the address, or with what is no chunk of this robot's.
        ExtraMissing: msgpack or pyzmq is not installed.
    """

    def __init__(  # whom to ask, for which robot, in which words
        self,
        address: str,
        embodiment: EmbodimentSpec,
        *,
        keys: str | Path | GrootKeys = "groot",
        dt_s: float,
        timeout_s: float = 60.0,
    ) -> None:
        if not dt_s > 0:
            raise ConfigError(f"dt_s={dt_s} must be positive")
        keys = keys if isinstance(keys, GrootKeys) else GrootKeys.named(keys)
        self._parts, self._dt_s = GrootParts(keys, embodiment), float(dt_s)
        self._connection = GrootConnection(address, timeout_s=timeout_s)
        self.round_trips = RoundTrips()
        """What the answers took."""
        self._seed: int | None = 0
        try:
            modalities = _modalities_at(self._connection)
            self._layout: Layout = keys.layout if keys.layout != "auto" else _layout_of(modalities)
            self._require_modalities(modalities)
            self._language = keys.language or next(iter(_names(modalities, "language")), _LANGUAGE[self._layout])
            self._horizon = _moments(modalities, "action") or asked_horizon(self)
        except Exception:
            self._connection.close()
            raise

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The robot it drives."""
        return self._parts.embodiment

    @property
    def subgoal_spec(self) -> SubgoalSpec:
        """What it accepts, and leaves unread."""
        return NO_SUBGOAL

    @property
    def horizon(self) -> int:
        """Rows in a chunk."""
        return self._horizon

    @property
    def dt_s(self) -> float:
        """Time between rows."""
        return self._dt_s

    @property
    def layout(self) -> Layout:
        """How it is asked."""
        return self._layout

    def reset(self, *, seed: int = 0) -> None:
        """Begin an episode: N1.6 and N1.7 are told before the next question, N1.5 knows no such thing."""
        self._seed = seed

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """The policy's chunk for an observation.

        Raises `PolicyError`: it can't be reached, or gave what is no chunk. The next call tries anew.
        """
        asked: dict[str, Any] = self._parts.outward(observation, self._layout, self._language)
        began_s = perf_counter()
        if self._layout == "n1.5":
            answer = self._connection.ask("get_action", asked)
        else:
            if self._seed is not None:
                self._connection.ask("reset", {"options": {"seed": self._seed}})
            answer = self._connection.ask("get_action", {"observation": asked, "options": None})
        self.round_trips.add(perf_counter() - began_s)
        self._seed = None
        return ActionChunk(rows=self._parts.rows(answer), dt_s=self._dt_s, start_stamp_s=observation.stamp_s)

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._connection.close()

    def _require_modalities(self, modalities: Mapping[str, Any]) -> None:
        """Refuse, before the first question, what its policy would answer with an assertion."""
        parts = self._parts
        asked: dict[str, Sequence[str]] = {
            "video": tuple(parts.video),
            "state": tuple(parts.state),
            "action": tuple(parts.action),
        }
        for modality, ours in asked.items():
            theirs = _names(modalities, modality)
            lacking = set(theirs) - set(ours)
            unmoved = set(ours) - set(theirs) if modality == "action" else set[str]()
            if theirs and (lacking or unmoved):
                raise ConfigError(
                    f"the policy at {self._connection.address} has {modality} {', '.join(theirs)}; the keys give "
                    f"{', '.join(ours) or 'none'}. Name the robot's under [{modality}] in a file of keys"
                )
            history = _moments(modalities, modality)
            if modality != "action" and history > 1:
                raise ConfigError(
                    f"the policy at {self._connection.address} wants {history} moments of {modality}; one is sent"
                )


def facts_at(address: str) -> dict[str, Any]:
    """What the server at an address tells of its policy: modalities and their digest, layout and horizon.

    None is what it doesn't tell.

    Raises `PolicyError` where nobody answers.
    """
    connection = GrootConnection(address)
    try:
        modalities = _modalities_at(connection)
    finally:
        connection.close()
    layout = _layout_of(modalities) if modalities else None
    return {
        "layout": layout,
        "horizon": _moments(modalities, "action") or None,
        "modalities": dict(modalities),
        "digest": _digest(modalities),
    }


def _digest(modalities: Mapping[str, Any]) -> str:
    """Short hash of what a server tells of its policy; GR00T's tell nothing of weights."""
    return hashlib.sha256(json.dumps(modalities, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _modalities_at(connection: GrootConnection) -> Mapping[str, Any]:
    answer = connection.ask("get_modality_config")
    return answer if isinstance(answer, Mapping) else {}


def _layout_of(modalities: Mapping[str, Any]) -> Layout:
    if not modalities:
        raise ConfigError("the policy says nothing of its modalities: give the layout in a file of keys")
    is_old = any(isinstance(entry, Mapping) and entry.get("is_n1_5") for entry in modalities.values())
    return "n1.5" if is_old else "n1.6"


def _moments(modalities: Mapping[str, Any], modality: str) -> int:
    """How many moments of a modality a policy takes, or gives; 0 where it doesn't say."""
    return len(_listed(modalities, modality, "delta_indices"))


def _names(modalities: Mapping[str, Any], modality: str) -> list[str]:
    """Names of a modality, without the prefix that N1.5 gives them; that of the language is its whole name."""
    names = [str(name) for name in _listed(modalities, modality, "modality_keys")]
    return names if modality == "language" else [name.removeprefix(f"{modality}.") for name in names]


def _listed(modalities: Mapping[str, Any], modality: str, what: str) -> list[Any]:
    entry = modalities.get(modality)
    found = entry.get(what) if isinstance(entry, Mapping) else None
    return found if isinstance(found, list) else []
