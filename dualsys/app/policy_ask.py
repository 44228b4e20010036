"""`dualsys policy ask`: what a policy's server says of itself, and how long its answers take."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from dualsys.app.border import require_address
from dualsys.app.eyes import eyes_for
from dualsys.app.outputs import require_outputs
from dualsys.app.outside_policy import make_outside_actor, robots_at
from dualsys.errors import ConfigError
from dualsys.files import write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAskConfig:
    """Chunks for made-up observations of a task's robot, and how long each took, there and back.

    The 95 % quantile is what to simulate: `dualsys eval TASK --policy ADDRESS --actor-latency-s SECONDS`.
    """

    address: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ADDRESS")]
    """`ws://HOST:PORT`: openpi's protocol; `tcp://HOST:PORT`: GR00T's."""
    task: str = "humanoid/touch"
    """Whose robot the observations are of."""
    keys: str = ""
    """Names that the policy has for states, cameras and words: shipped or a TOML file; without it `dualsys` or
    `groot`."""
    calls: int = 20
    """Questions that are timed, after one that isn't."""
    json: Path | None = None
    """File for the figures."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        require_address(self.address, option="ADDRESS")
        if self.calls < 1:
            raise ConfigError("--calls must be at least 1")


def main(config: PolicyAskConfig) -> int:
    """Ask, print, write. Returns 0."""
    from dualsys import sim_envs

    require_outputs({"--json": config.json}, folders={})
    environment = sim_envs.make(config.task, images="on-demand", **eyes_for(config.task, *robots_at(config.address)))
    actor = make_outside_actor(config.address, config.keys, environment)
    rng = np.random.default_rng(0)
    try:
        actor.reset()
        for number in range(config.calls + 1):
            if number == 1:
                actor.round_trips.clear()
            stamp_s = number * actor.dt_s * actor.horizon
            words = environment.instruction
            actor.act(environment.embodiment.fake_observation(rng, stamp_s=stamp_s, instruction=words), None)
    finally:
        actor.close()
        environment.close()
    quantiles = {f"p{round(100 * share)}_s": actor.round_trips.quantile_s(share) for share in (0.5, 0.95, 1.0)}
    sys.stdout.write(
        f"{config.address}: chunks of {actor.horizon} rows, {actor.dt_s:g} s apart, for {environment.embodiment.name}\n"
        f"round trip of {config.calls}: median {1e3 * quantiles['p50_s']:.1f} ms, 95 % within "
        f"{1e3 * quantiles['p95_s']:.1f} ms, longest {1e3 * quantiles['p100_s']:.1f} ms\n"
    )
    if config.json is not None:
        about = {"address": config.address, "horizon": actor.horizon, "dt_s": actor.dt_s, "calls": config.calls}
        write_json(config.json, about | quantiles)
    return 0
