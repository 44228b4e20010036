"""Conformance of actors."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dualsys.embodiment import EmbodimentSpec, SubgoalSpec
from dualsys.errors import NotConforming
from dualsys.guidance import Guided
from dualsys.messages import ActionChunk, ActionPrefix, FloatArray, Guidance, LatentSubgoal, Observation
from dualsys.protocols import Actor, Preparing
from dualsys.testing.actor_mistakes import actor_mistake, check_mask
from dualsys.testing.conditions import require, require_members, require_untouched, shown, snapshot
from dualsys.testing.examples import ActorExample


def check_actor(
    actor: Any,
    *,
    instruction: str = "",
    seed: int = 0,
    examples: Sequence[ActorExample] = (),
    sample: Callable[[ActorExample], FloatArray] | None = None,
    tolerance: float = 1e-3,
) -> None:
    """Check that an actor keeps its protocol, on random observations and subgoals of its own specs.

    Args:
        actor: The actor; it is reset and run a few times.
        instruction: Words for the observations.
        seed: Of the observations, the subgoals and the actor.
        examples: Recorded inputs with the rows that a known implementation gave; where they aren't met, the message
            names the mistake if it is one of the usual ones (`dualsys.testing.actor_mistakes`).
        sample: Gives an example's rows, where the actor must be told a peer's noise; None: it is reset with the
            example's seed, and acts.
        tolerance: How near the recorded ones must be, and as near again for each unit of a larger number.

    Raises:
        NotConforming: it does not; the message says what was expected.
    """
    name = require_members(actor, Actor)
    _check_specs(actor, name)
    rng = np.random.default_rng(seed)
    cases = [_case(actor, rng, stamp_s, instruction, known=known) for stamp_s, known in ((0.5, True), (0.75, False))]
    runs = []
    for _ in range(2):
        actor.reset(seed=seed)
        rows = [_run(actor, observation, subgoal, name) for observation, subgoal in cases]
        copies = [array.copy() for array in rows]
        actor.act(*cases[0])
        kept = all(np.array_equal(a, b) for a, b in zip(rows, copies, strict=True))
        require(kept, f"{name}.act() overwrote the rows of an earlier chunk")
        runs.append(copies)
    if isinstance(actor, Preparing):
        _check_preparing(actor, cases, runs[0], name, seed)
    same = all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
    require(same, f"{name} gave other rows after reset(seed={seed}) on the same input: not reproducible")
    check_mask(actor, cases[0][0], name, seed)
    for guidance in sorted(actor.guidances) if isinstance(actor, Guided) else ():
        _check_guidance(actor, guidance, cases[0][0], cases[0][1], name)
    for index, example in enumerate(examples):
        mistake = actor_mistake(example, (sample or partial(_sampled, actor))(example), tolerance)
        require(mistake is None, f"{name}.act() doesn't give the rows of example {index}: {mistake}")


def _sampled(actor: Any, example: ActorExample) -> FloatArray:
    actor.reset(seed=example.seed)
    rows: FloatArray = actor.act(example.observation, example.subgoal, None).rows
    return rows


def _check_guidance(
    actor: Any, guidance: Guidance, observation: Observation, subgoal: LatentSubgoal | None, name: str
) -> None:
    """Whatever the length of the prefix, a chunk comes of it; that it leaves the prefix as it is, too."""
    position = actor.embodiment.position_in(observation.state)
    for count, delay in ((actor.horizon, 2), (3, 5), (1, 0)):
        prefix = ActionPrefix(rows=np.tile(position, (count, 1)), inference_delay=delay, guidance=guidance)
        before = prefix.rows.copy()
        chunk = actor.act(observation, subgoal, prefix)
        where = f"{name}.act() with guidance {guidance!r}, {count} rows and a delay of {delay}"
        shape = (actor.horizon, actor.embodiment.num_actions)
        usable = chunk.rows.shape == shape and bool(np.isfinite(chunk.rows).all())
        require(usable, f"{where} gave rows {chunk.rows.shape}, expected finite ones {shape}")
        same_start = chunk.start_stamp_s == observation.stamp_s
        require(same_start, f"{where} gave start_stamp_s {chunk.start_stamp_s}, expected the observation's")
        require(np.array_equal(prefix.rows, before), f"{where} wrote into the prefix")


def _check_preparing(
    actor: Any, cases: list[tuple[Observation, LatentSubgoal | None]], rows: list[FloatArray], name: str, seed: int
) -> None:
    """What `prepare` was called with changes nothing."""
    actor.reset(seed=seed)
    for case, expected in zip(cases, rows, strict=True):
        for subgoal in (case[1], _other(actor)):
            if subgoal is not None:
                actor.prepare(subgoal)
        same = np.array_equal(_run(actor, *case, name), expected)
        require(same, f"{name} gave other rows after prepare(subgoal): what it prepares must not change what it does")


def _other(actor: Any) -> LatentSubgoal:
    other: LatentSubgoal = actor.subgoal_spec.fake_subgoal(np.random.default_rng(1))
    return other


def _check_specs(actor: Any, name: str) -> None:
    for member, kind in (("embodiment", EmbodimentSpec), ("subgoal_spec", SubgoalSpec)):
        value = getattr(actor, member)
        require(isinstance(value, kind), f"{name}.{member} is {type(value).__name__}, expected {kind.__name__}")
    horizon, dt_s = actor.horizon, actor.dt_s
    require(isinstance(horizon, int) and horizon > 0, f"{name}.horizon is {horizon!r}, expected a number of rows")
    require(isinstance(dt_s, float) and 0 < dt_s < 10, f"{name}.dt_s is {dt_s!r}, expected seconds between rows")


def _case(
    actor: Any, rng: np.random.Generator, stamp_s: float, instruction: str, *, known: bool
) -> tuple[Observation, LatentSubgoal | None]:
    observation = actor.embodiment.fake_observation(rng, stamp_s=stamp_s, instruction=instruction)
    return observation, actor.subgoal_spec.fake_subgoal(rng, stamp_s=stamp_s - 0.1) if known else None


def _run(actor: Any, observation: Observation, subgoal: LatentSubgoal | None, name: str) -> FloatArray:
    where = f"{name}.act(observation, {'None' if subgoal is None else 'subgoal'})"
    before = snapshot(observation)
    told = [] if subgoal is None else [subgoal.tokens, subgoal.keys, subgoal.values]
    arrays = [(array, array.copy()) for array in told if array is not None]
    with shown(actor.embodiment, where):
        chunk = actor.act(observation, subgoal, None)
    if not isinstance(chunk, ActionChunk):
        raise NotConforming(f"{where} gave {type(chunk).__name__}, expected dualsys.ActionChunk")
    rows, shape = chunk.rows, (actor.horizon, actor.embodiment.num_actions)
    require(
        isinstance(rows, np.ndarray) and rows.shape == shape and rows.dtype.kind == "f",
        f"{where} gave rows {getattr(rows, 'dtype', type(rows).__name__)} {getattr(rows, 'shape', '')}, "
        f"expected floats {shape}",
    )
    require(bool(np.isfinite(rows).all()), f"{where} gave rows that are not finite")
    require(chunk.dt_s == actor.dt_s, f"{where} gave dt_s {chunk.dt_s}, {name}.dt_s says {actor.dt_s}")
    require(
        chunk.start_stamp_s == observation.stamp_s,
        f"{where} gave start_stamp_s {chunk.start_stamp_s}, expected the observation's {observation.stamp_s}",
    )
    require_untouched(observation, before, where)
    for array, copy in arrays:
        require(np.array_equal(array, copy), f"{where} wrote into the subgoal's arrays")
    return rows
