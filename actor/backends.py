"""Which engine samples: a sampler by its name, checked against the reference before anybody gets it."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from dualsys.actor.action_expert import ActionExpert
from dualsys.actor.experts import FlowExpert
from dualsys.actor.head_config import HeadConfig
from dualsys.actor.heads import Head, HeadSampler
from dualsys.actor.original_precision import with_original_precision
from dualsys.actor.sampling import Array, EagerSampler, Moment, Sampler
from dualsys.errors import ConfigError, ExtraMissing, unknown_name

TOLERANCES = {
    "eager": 0.0,
    "packed": 1e-4,
    "onnx": 1e-4,
    "onnx-int8": 0.1,
    "compiled": 1e-4,
    "original": 5e-2,
    "compiled head on a GPU": 1e-3,
}
"""Largest difference from eager that is accepted, as a share of the rows' own size: root mean square over root mean
square, for the worst of the cases. Eight bits, and bfloat16's seven, are worth what they say here. `original` is the
precision, whichever the backend. On a GPU convolutions, in float32 too, multiply with ten bits (TF32)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a sampler is from the reference."""

    difference: float
    """Worst relative difference over the cases."""
    case: str
    """The case that has it."""


def eager_sampler(expert: FlowExpert | Head) -> Sampler:
    """The reference: PyTorch as it stands."""
    if isinstance(expert.config, HeadConfig):
        return HeadSampler(cast(Head, expert))
    return EagerSampler(cast(FlowExpert, expert))


def build_sampler(
    expert: FlowExpert | Head,
    backend: str,
    precision: str = "auto",
    subgoal_shape: tuple[int, ...] | None = None,
) -> Sampler:
    """A sampler that was checked.

    Args:
        expert: What to sample; heads other than flow matching have `eager` and `compiled`, in float32.
        backend: `eager`; `packed` (a processor's own order of weights); `onnx`, `onnx-int8` (ONNX Runtime, one core;
            the extra `fast`); `compiled` (`torch.compile`).
        precision: `float32`; `original`, which is bfloat16 where the expert's authors have it (`original_precision`),
            for `eager` and `compiled`; `auto`: `original` for `compiled` on a GPU, else `float32`.
        subgoal_shape: Of the subgoals that will come, which it is checked with; None: the expert's own.

    Raises:
        ConfigError: an unknown name, a backend or a precision that this expert or device doesn't have, or a sampler
            whose rows differ from eager's by more than its tolerance, or that torch can't compile.
        ExtraMissing: ONNX Runtime is not installed.
    """
    if isinstance(expert.config, HeadConfig):
        return _head_sampler(cast(Head, expert), backend, precision, subgoal_shape)
    expert = cast(FlowExpert, expert)
    narrow = _is_narrow(expert, backend, precision)
    sampler = _make(expert, backend, narrow)
    tolerance = TOLERANCES["original" if narrow else backend]
    require_parity(sampler, expert, backend, tolerance=tolerance, subgoal_shape=subgoal_shape)
    return sampler


def _head_sampler(head: Head, backend: str, precision: str, subgoal_shape: tuple[int, ...] | None) -> Sampler:
    name = type(head).__name__
    if precision not in ("auto", "float32"):
        raise ConfigError(f"a {name} has no precision {precision!r}: it runs in float32; leave --actor-precision out")
    if backend == "eager":
        return HeadSampler(head)
    if backend != "compiled":
        raise ConfigError(f"actor backend {backend!r} samples flow matching; a {name} has eager and compiled")
    from dualsys.actor.compiled_heads import CompiledHeadSampler

    sampler = CompiledHeadSampler(head)
    tolerance = TOLERANCES["compiled head on a GPU" if head.device.type == "cuda" else backend]
    require_parity(sampler, head, backend, tolerance=tolerance, subgoal_shape=subgoal_shape)
    return sampler


def require_parity(
    sampler: Sampler,
    expert: FlowExpert | Head,
    backend: str,
    *,
    tolerance: float,
    subgoal_shape: tuple[int, ...] | None = None,
) -> None:
    """Refuse a sampler that differs from eager. Raises `ConfigError` naming the difference."""
    with _first_calls(backend):
        found = measure_parity(sampler, expert, subgoal_shape)
    # "Not within", so that a difference that is no number is refused, too.
    if not found.difference <= tolerance:
        raise ConfigError(
            f"actor backend {backend!r} gives other rows than eager: {found.difference:.2g} of their size with "
            f"{found.case}, at most {tolerance:.2g} is accepted. Use --actor-backend eager; if the weights have not "
            "changed since it was built, this is a defect: please report it"
        )


def _first_calls(backend: str) -> AbstractContextManager[None]:
    """In which a sampler is called for the first time, and compiled where it is."""
    if backend != "compiled":
        return nullcontext()
    from dualsys.actor.compiled_sampler import compiling

    return compiling()


def measure_parity(sampler: Sampler, expert: FlowExpert | Head, subgoal_shape: tuple[int, ...] | None = None) -> Parity:
    """Compare with eager in float32 on fixed random inputs: several subgoals, one with a mask, and none.

    A head has no shape of subgoals of its own. Of heads that say words, not rows are compared, but how likely each
    word was.
    """
    reference = eager_sampler(expert)
    differences = {}
    for name, tokens_KC, mask_K, moment in _cases(expert, subgoal_shape or cast(FlowExpert, expert).subgoal_shape):
        memory = sampler.remember(tokens_KC, mask_K)
        compared = getattr(sampler, "compared", None)
        pair = None if compared is None else compared(memory, moment)
        if pair is None:
            pair = sampler.sample(memory, moment), reference.sample(reference.remember(tokens_KC, mask_K), moment)
        differences[name] = _relative(*pair)
    # A difference that is no number is the worst of all.
    worst = max(differences, key=lambda name: np.nan_to_num(differences[name], nan=np.inf))
    return Parity(difference=differences[worst], case=worst)


def _relative(asked: Array, expected: Array) -> float:
    size = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    error = float(np.sqrt(np.mean(np.square(asked.astype(np.float64) - expected))))
    return error / size if size else error


def _cases(expert: FlowExpert | Head, shape: tuple[int, ...]) -> list[tuple[str, Array, Any, Moment]]:
    rng = np.random.default_rng(0)
    count = shape[-2]
    vision = expert.config.vision

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    def moment(age_s: float) -> Moment:
        image = None
        if vision is not None:
            shape = (vision.num_channels, vision.camera.height, vision.camera.width)
            image = rng.uniform(-1, 1, shape).astype(np.float32)
        noise = normal(expert.config.horizon, expert.num_actions)
        return Moment(noise, normal(expert.num_states), age_s, image)

    whole, none = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    part = np.arange(count) < -(-count // 2)
    return [
        ("a fresh subgoal", normal(*shape), whole, moment(0.1)),
        ("an old subgoal", normal(*shape), whole, moment(1.9)),
        ("a subgoal that is half masked", normal(*shape), part, moment(0.4)),
        ("the null subgoal", normal(*shape), none, moment(0.0)),
    ]


def _is_narrow(expert: FlowExpert, backend: str, precision: str) -> bool:
    """Whether it is the original precision, not float32."""
    match precision:
        case "float32":
            return False
        case "auto":
            return backend == "compiled" and expert.device.type == "cuda"
        case "original":
            if backend not in ("eager", "compiled"):
                raise ConfigError(f"actor backend {backend!r} has no precision 'original'; eager and compiled do")
            return True
    raise ConfigError(unknown_name("actor precision", precision, ("auto", "float32", "original")))


def _make(expert: FlowExpert, backend: str, narrow: bool) -> Sampler:
    match backend:
        case "eager":
            return EagerSampler(with_original_precision(expert) if narrow else expert)
        case "packed":
            from dualsys.actor.packed_sampler import PackedSampler

            return PackedSampler(expert)
        case "onnx" | "onnx-int8":
            if not isinstance(expert, ActionExpert):
                raise ConfigError(
                    f"actor backend {backend!r} has no graph of a {type(expert).__name__}; it has eager, "
                    "packed and compiled"
                )
            try:
                from dualsys.actor.onnx_sampler import OnnxSampler
            except ImportError as error:
                raise ExtraMissing(
                    f"actor backend {backend!r} needs ONNX Runtime; install it with: pip install 'dualsys[fast]'"
                ) from error
            return OnnxSampler(expert, int8=backend == "onnx-int8")
        case "compiled":
            from dualsys.actor.compiled_sampler import CompiledSampler

            return CompiledSampler(expert, narrow=narrow)
    raise ConfigError(unknown_name("actor backend", backend, ("eager", "packed", "onnx", "onnx-int8", "compiled")))
