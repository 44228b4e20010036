"""A policy of another program in place of a checkpoint: `--policy ADDRESS`."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dualsys.actor.outside.groot_actor import GrootActor, facts_at
from dualsys.actor.outside.groot_keys import GrootKeys
from dualsys.actor.outside.keys import PolicyKeys
from dualsys.actor.outside.openpi_actor import OWN, OpenPIActor, served_robot
from dualsys.actor.outside.openpi_connection import OpenPIConnection
from dualsys.app.controller import Controller
from dualsys.clearance import clearance_of
from dualsys.embodiment import EmbodimentSpec
from dualsys.protocols import Environment
from dualsys.settings import CoreConfig, SafetyConfig, TimingConfig


def make_outside_actor(address: str, keys: str, environment: Environment) -> OpenPIActor | GrootActor:
    """The policy at an address as an actor for an environment's robot.

    Its rows are a control period apart, where its server says nothing else.
    """
    return policy_actor(address, keys, environment.embodiment, environment.control_dt_s)


def policy_actor(
    address: str, keys: str, embodiment: Mapping[str, Any] | EmbodimentSpec, dt_s: float
) -> OpenPIActor | GrootActor:
    """The same from plain values, in whatever process."""
    robot, names = EmbodimentSpec.model_validate(embodiment), policy_names(address, keys)
    if isinstance(names, GrootKeys):
        return GrootActor(address, robot, keys=names, dt_s=dt_s)
    return OpenPIActor(address, robot, keys=names, dt_s=dt_s)


def policy_names(address: str, keys: str) -> PolicyKeys | GrootKeys:
    """The names that `--policy-keys` are, read now; without them those of our own servers.

    Raises `ConfigError` for what is neither shipped nor a file of them.
    """
    return GrootKeys.named(keys or "groot") if _is_groot(address) else PolicyKeys.named(keys or "dualsys")


def _is_groot(address: str) -> bool:
    return address.startswith("tcp://")


def robots_at(address: str) -> tuple[EmbodimentSpec, ...]:
    """The robot that a controller of ours is served for at an address; of a stranger's policy none."""
    robot = None if _is_groot(address) else served_robot(about_at(address))
    return () if robot is None else (robot,)


def about_at(address: str) -> dict[str, Any]:
    """What a policy's websocket server says of itself."""
    connection = OpenPIConnection(address)
    try:
        return dict(connection.metadata)
    finally:
        connection.close()


def policy_facts(address: str) -> dict[str, Any]:
    """What the server of a policy says of itself, as far as JSON holds it."""
    says = facts_at(address) if _is_groot(address) else about_at(address)
    facts: dict[str, Any] = json.loads(json.dumps(says, default=str))
    return facts


def served_weights(facts: dict[str, Any]) -> str:
    """Digest of the weights of a controller that is served by us; empty of any other policy."""
    ours = facts.get(OWN)
    return str(ours.get("weights", "")) if isinstance(ours, dict) else ""


def outside_controller(  # the policy, and each configuration of what stands between it and the robot
    address: str,
    keys: str | Path,
    environment: Environment,
    *,
    timing: TimingConfig,
    core: CoreConfig,
    safety: SafetyConfig,
) -> Controller:
    """A controller whose chunks come from a policy elsewhere; there is no planner, and nobody waits for its subgoal."""
    actor = make_outside_actor(address, str(keys), environment)
    return Controller(
        None,
        actor,
        timing=timing,
        core=replace(core, first_subgoal_wait_s=0.0),
        safety=safety,
        clearance=clearance_of(environment, safety),
    )
