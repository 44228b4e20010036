"""How long does a chunk take on one core, by engine, and how far is that from what its matrix products alone take?

    python -m benchmarks.actor_latency --seconds 60

The bound is measured beside the engines: every product of the sampling loop with a weight, in the same order and of
the same shapes, through ONNX Runtime with its weights packed, and nothing else. Engines take turns of a fifth of a
second, in an order drawn anew each round, so that what else the machine does hits all alike. Beside the time on the
wall stands the processor time of the thread, which a busy machine changes less. `eager before` runs the whole forward
in each flow step, as the actor did before its subgoal was remembered. Exit status 1 where `onnx` takes more than 1.5
times the bound at 5 million parameters.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.actor_products import onnx_products, products_of, torch_products
from benchmarks.report import RESULTS, exit_unless, write_report
from dualsys.actor.action_expert import ActionExpert, Condition
from dualsys.actor.backends import build_sampler, measure_parity
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.flow_matching import Solver, integrate
from dualsys.actor.sampling import Moment
from dualsys.checkpoint import Checkpoint

BOUND, LINEARS, BEFORE = "bound", "PyTorch products", "eager before"
LARGE, CLAIMED = "5 M", "onnx"
CLAIM = 1.5
"""Times the bound, for that engine at that size."""
_TURN_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorLatencyConfig:
    """Latency of a chunk by engine, beside its bound."""

    seconds: float = 60.0
    """For each size of actor, shared by the engines."""
    compiled: bool = False
    """Whether `torch.compile` is measured, too; compiling takes minutes."""
    seed: int = 0
    """Of the inputs and of the order of turns."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/actor_latency.json`; a picture is drawn beside it."""


def main(config: ActorLatencyConfig) -> None:
    """Measure, print, draw, write. Exits with 1 where the claim is not kept."""
    torch.set_num_threads(1)
    backends = ["eager", "onnx", "onnx-int8", *(["compiled"] if config.compiled else [])]
    sizes = [_measure(name, expert, backends, config) for name, expert in _experts().items()]
    for size in sizes:
        Console().print(_table(size))
    verdict = verdict_of(sizes)
    for name, holds in verdict.items():
        print(f"{name}: {'yes' if holds else 'NO'}")
    settings = {"seconds": config.seconds, "threads": 1}
    path = write_report("actor_latency", {"config": settings, "sizes": sizes, "verdict": verdict}, config.json)
    draw(sizes, (config.json or RESULTS / "actor_latency.json").with_suffix(".png"))
    print(path)
    exit_unless(verdict)


def verdict_of(sizes: list[dict[str, Any]]) -> dict[str, bool]:
    """Whether the engine keeps to the claim, in processor time, at the size that it is made for."""
    large = next(size for size in sizes if size["size"] == LARGE)
    ratio = large["engines"][CLAIMED]["times_bound"]["processor_p50"]
    return {f"{CLAIMED} within {CLAIM:g} times the bound at {LARGE}": bool(ratio <= CLAIM)}


def _experts() -> dict[str, ActionExpert]:
    """The shipped actor, and one of 5 million parameters: 16 rows, 4 steps, a subgoal of 64 tokens."""
    torch.manual_seed(0)
    large = ActionExpert(
        FlowActorConfig(horizon=16, width=224, depth=6, num_heads=4),
        num_actions=28,
        num_states=28,
        num_subgoal_tokens=64,
        subgoal_dim=256,
    )
    for parameter in large.parameters():  # what is zero at the start would hide differences
        torch.nn.init.normal_(parameter, std=0.05)
    return {"humanoid-table": FlowActor.from_checkpoint(Checkpoint.open("humanoid-table")).expert, LARGE: large.eval()}


def _measure(name: str, expert: ActionExpert, backends: list[str], config: ActorLatencyConfig) -> dict[str, Any]:
    engines, differences, remember_ms = _engines(expert, backends, config.seed)
    times = take_turns(engines, seconds=config.seconds, seed=config.seed)
    rows = {engine: _figures(times[engine], times[BOUND]) for engine in engines}
    for backend, difference in differences.items():
        rows[backend]["difference"] = difference
    products = products_of(expert)
    return {
        "size": name,
        "parameters": sum(weight.numel() for weight in expert.parameters()),
        "rows": expert.config.horizon,
        "steps": expert.config.num_inference_steps,
        "subgoal_tokens": expert.null_subgoal.shape[0],
        "gigaflop": sum(product.flop for product in products) / 1e9,
        "engines": rows,
        "remember_subgoal_ms": remember_ms,
    }


def _engines(
    expert: ActionExpert, backends: list[str], seed: int
) -> tuple[dict[str, Callable[[], object]], dict[str, float], dict[str, float]]:
    """What to time; how far each backend's rows are from eager's; and what a new subgoal costs."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    tokens_KC, mask_K = normal(*expert.null_subgoal.shape), np.ones(expert.null_subgoal.shape[0], dtype=bool)
    moment = Moment(normal(expert.config.horizon, expert.num_actions), normal(expert.num_states), 0.2)
    products = products_of(expert)
    engines: dict[str, Callable[[], object]] = {
        BOUND: onnx_products(products, rng),
        LINEARS: torch_products(products),
        BEFORE: _whole_forward(expert, tokens_KC, mask_K, moment),
    }
    differences, remember_ms = {}, {}
    for backend in backends:
        sampler = build_sampler(expert, backend)
        differences[backend] = measure_parity(sampler, expert).difference
        began_s = time.thread_time()
        memory = sampler.remember(tokens_KC, mask_K)
        remember_ms[backend] = 1e3 * (time.thread_time() - began_s)
        engines[backend] = lambda sampler=sampler, memory=memory: sampler.sample(memory, moment)  # type: ignore[misc]
    return engines, differences, remember_ms


def _whole_forward(expert: ActionExpert, tokens_KC: Any, mask_K: Any, moment: Moment) -> Callable[[], object]:
    """As the actor sampled before its forward was taken apart."""
    condition = Condition(
        state_BX=torch.from_numpy(moment.state_X)[None],
        subgoal_BKC=torch.from_numpy(tokens_KC)[None],
        mask_BK=torch.from_numpy(mask_K)[None],
        age_B=torch.tensor([moment.age_s]),
    )
    noise, steps, solver = (
        torch.from_numpy(moment.noise_AU)[None],
        expert.config.num_inference_steps,
        expert.config.solver,
    )

    @torch.inference_mode()
    def sample() -> object:
        return integrate(lambda x, t: expert(x, t, condition), noise, steps, Solver(solver))

    return sample


def take_turns(
    engines: Mapping[str, Callable[[], object]], *, seconds: float, seed: int
) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each call. Each engine has the same time, in turns."""
    rng = np.random.default_rng(seed)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for call in engines.values():
        call()
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s or not all(times.values()):
        for name in rng.permutation(list(engines)):
            turn_s = time.monotonic() + _TURN_S
            engines[name]()  # what the engine before left in the caches is not this one's
            while time.monotonic() < turn_s or not times[name]:
                wall_s, processor_s = time.perf_counter(), time.thread_time()
                engines[name]()
                times[name].append((time.perf_counter() - wall_s, time.thread_time() - processor_s))
    return times


def _figures(times: list[tuple[float, float]], bound: list[tuple[float, float]]) -> dict[str, Any]:
    wall_ms, processor_ms = 1e3 * np.array(times).T
    bound_wall_ms, bound_processor_ms = 1e3 * np.array(bound).T
    return {
        "calls": len(times),
        "wall_ms": {f"p{q}": float(np.percentile(wall_ms, q)) for q in (10, 50, 99)},
        "processor_ms": {f"p{q}": float(np.percentile(processor_ms, q)) for q in (10, 50, 99)},
        "times_bound": {
            "wall_p10": float(np.percentile(wall_ms, 10) / np.percentile(bound_wall_ms, 10)),
            "wall_p50": float(np.median(wall_ms) / np.median(bound_wall_ms)),
            "processor_p50": float(np.median(processor_ms) / np.median(bound_processor_ms)),
        },
    }


def _table(size: dict[str, Any]) -> Table:
    table = Table(
        title=f"{size['size']}: {size['parameters'] / 1e6:.1f} M, {size['rows']} rows x {size['steps']} steps, "
        f"{size['subgoal_tokens']} tokens, {size['gigaflop']:.2f} GFLOP; ms on one core"
    )
    table.add_column("engine")
    for column in (
        "p10",
        "p50",
        "p99",
        "x bound",
        "cpu p50",
        "x bound",
        "differs by",
    ):
        table.add_column(column, justify="right")
    for name, row in size["engines"].items():
        cells = [f"{row['wall_ms'][q]:.1f}" for q in ("p10", "p50", "p99")]
        cells.append(f"{row['times_bound']['wall_p50']:.2f}")
        cells += [f"{row['processor_ms']['p50']:.1f}", f"{row['times_bound']['processor_p50']:.2f}"]
        table.add_row(name, *cells, f"{row['difference']:.1g}" if "difference" in row else "")
    return table


def draw(sizes: list[dict[str, Any]], path: Path) -> None:
    """Processor time by engine, with the bound and one and a half times it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(sizes), 3.4), layout="constrained")
    for axes, size in zip(np.atleast_1d(figure.subplots(1, len(sizes))), sizes, strict=True):
        names = list(size["engines"])
        medians = [size["engines"][name]["processor_ms"]["p50"] for name in names]
        bound_ms = size["engines"][BOUND]["processor_ms"]["p50"]
        axes.barh(
            names[::-1], medians[::-1], color=["#888888" if n in (BOUND, LINEARS) else "#1f77b4" for n in names[::-1]]
        )
        for factor, style in ((1.0, "-"), (CLAIM, "--")):
            axes.axvline(factor * bound_ms, color="black", linewidth=0.8, linestyle=style)
        axes.set_title(f"{size['size']}: {size['parameters'] / 1e6:.1f} M, {size['rows']} rows x {size['steps']} steps")
        axes.set_xlabel("processor ms a chunk, median; dashed: 1.5 x bound")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(ActorLatencyConfig, description=__doc__))
