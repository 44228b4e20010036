"""A policy behind openpi's websocket protocol as an actor: pi0 and pi0.5 of openpi's own server, or anyone's.

    actor = OpenPIActor("ws://gpu:8000", environment.embodiment, keys="libero", dt_s=environment.control_dt_s)
    controller = dualsys.Controller(None, actor, core=CoreConfig(first_subgoal_wait_s=0.0))

The observation goes up with the names that the policy has for its parts (`dualsys.actor.outside.keys`), a chunk comes
down. On the virtual clock the answer is worth the latency that is injected, whatever it took; what it took is in
`round_trips`.
"""

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, final

from pydantic import ValidationError

from dualsys.actor.outside.answers import NO_SUBGOAL, RoundTrips, asked_horizon
from dualsys.actor.outside.keys import PolicyKeys
from dualsys.actor.outside.openpi_connection import OpenPIConnection
from dualsys.actor.outside.translation import Translation
from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import ConfigError, PolicyError
from dualsys.messages import ActionChunk, ActionPrefix, LatentSubgoal, Observation

OWN = "dualsys"
"""Key of what only our own servers say of themselves, and of what only they are told."""


@final
class OpenPIActor:
    """Asks a policy's server for chunks. It reads no subgoal and continues no rows.

    A server that doesn't say how long its chunks are is asked once with an observation made up, which warms it up, too.
    Our own server is told each observation's stamp and each episode's seed: served and direct are then the same bits.

    Args:
        address: `ws://HOST:PORT`.
        embodiment: The robot.
        keys: Names that the policy has for what is sent: shipped (`dualsys`, `libero`, `droid`, `aloha`), a TOML file,
            or made in Python.
        dt_s: Time between the rows of its chunks, the control period of the data it was trained on, where its server
            says none; ours does.
        timeout_s: Longest wait for an answer.

    Raises:
        ConfigError: the robot hasn't what the keys name, or nobody says `dt_s`.
        PolicyError: nobody answers at the address, or with what is no chunk of this robot's.
        SpecMismatch: our server there serves another robot.
        ExtraMissing: msgpack or websockets is not installed.
    """

    def __init__(  # whom to ask, for which robot, in which words
        self,
        address: str,
        embodiment: EmbodimentSpec,
        *,
        keys: str | Path | PolicyKeys = "dualsys",
        dt_s: float | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        keys = keys if isinstance(keys, PolicyKeys) else PolicyKeys.named(keys)
        self._embodiment = embodiment
        self._translation = Translation(keys, embodiment)
        self._connection = OpenPIConnection(address, timeout_s=timeout_s)
        self.round_trips = RoundTrips()
        """What the answers took."""
        self._seed: int | None = 0
        try:
            served = served_robot(self._connection.metadata)
            if served is not None:
                served.require_same(embodiment, ours=f"the controller served at {address}", theirs="the robot")
            self._dt_s = self._told_dt_s(dt_s)
            self._horizon = self._told_horizon()
        except Exception:
            self._connection.close()
            raise

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the server said of itself."""
        return self._connection.metadata

    @property
    def embodiment(self) -> EmbodimentSpec:
        """The robot it drives."""
        return self._embodiment

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

    def reset(self, *, seed: int = 0) -> None:
        """Begin an episode. openpi's protocol has no word for it; our own server is told with the next observation."""
        self._seed = seed

    def act(
        self, observation: Observation, subgoal: LatentSubgoal | None, prefix: ActionPrefix | None = None
    ) -> ActionChunk:
        """The policy's chunk for an observation.

        Raises `PolicyError`: it can't be reached, has ended, or gave what is no chunk. The next call tries anew.
        """
        message = self._translation.outward(observation)
        if OWN in self._connection.metadata:
            message[OWN] = {"stamp_s": observation.stamp_s, "seed": self._seed}
        began_s = perf_counter()
        answer = self._connection.ask(message)
        self.round_trips.add(perf_counter() - began_s)
        self._seed = None
        rows = self._translation.rows(answer)
        return ActionChunk(rows=rows, dt_s=self._dt_s, start_stamp_s=observation.stamp_s)

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._connection.close()

    def _told_dt_s(self, given: float | None) -> float:
        value = self._own().get("dt_s", given)
        if not isinstance(value, int | float) or not value > 0:
            raise ConfigError(
                f"the policy at {self._connection.address} doesn't say how far its rows are apart: give dt_s, the "
                "control period that it was trained at"
            )
        return float(value)

    def _told_horizon(self) -> int:
        said = self._own().get("horizon")
        return said if isinstance(said, int) and said > 0 else asked_horizon(self)

    def _own(self) -> Mapping[str, Any]:
        own = self._connection.metadata.get(OWN, {})
        return own if isinstance(own, Mapping) else {}


def served_robot(metadata: Mapping[str, Any]) -> EmbodimentSpec | None:
    """The robot of a controller that is served by us; None of any other policy. Raises `PolicyError`."""
    own = metadata.get(OWN)
    if not isinstance(own, Mapping) or "embodiment" not in own:
        return None
    try:
        return EmbodimentSpec.model_validate(own["embodiment"])
    except ValidationError as error:
        raise PolicyError(f"the server describes its robot in words that we don't know: {error.errors()[0]}") from error
