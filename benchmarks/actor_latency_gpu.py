"""How long does a chunk take on a GPU, by engine and size of the actor, and how far is that from reading the weights?

    python -m benchmarks.actor_latency_gpu --seconds 5 --sizes humanoid-table 5M 300M

From arrays in the processor's memory to rows there again, so that each call has waited for the GPU. `graph` is eager
arithmetic recorded as one CUDA graph; `compiled` is the backend of that name (`torch.compile` and graphs, bfloat16).
The floor is the time in which the memory hands over the weights once for each evaluation, at two bytes each, with the
bandwidth that a large copy has here.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.actor.action_expert import ActionExpert, Memory
from dualsys.actor.backends import measure_parity
from dualsys.actor.compiled_sampler import CompiledSampler
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.flow_actor import FlowActor
from dualsys.actor.sampling import Array, EagerSampler, Moment, Sampler, flow, on_device, time_conditions
from dualsys.checkpoint import Checkpoint

Size = Literal["humanoid-table", "5M", "300M"]
SHAPES = {
    "5M": {"horizon": 16, "width": 224, "depth": 6, "num_heads": 4},
    "300M": {"horizon": 16, "width": 1024, "depth": 18, "num_heads": 16},
}
"""16 rows and 4 steps, as GR00T N1 samples; the larger is as wide and deep as pi0's expert."""
WARM_CALLS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLatencyConfig:
    """Latency of a chunk on a GPU by engine."""

    seconds: float = 5.0
    """For each engine and size."""
    sizes: tuple[Size, ...] = ("humanoid-table", "5M", "300M")
    """Actors to measure."""
    compiled: bool = True
    """Whether `torch.compile` is measured, too; for the large actor it compiles for minutes."""
    seed: int = 0
    """Of weights and inputs."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/actor_latency_gpu.json`; written after each engine."""


class Eager:
    """The sampling loop as it stands, in bfloat16."""

    version = 0

    def __init__(self, expert: ActionExpert) -> None:
        self.expert, self.device = expert, expert.position.device
        with torch.no_grad():
            self.told = time_conditions(expert)

    @torch.no_grad()
    def remember(self, tokens_KC: Array, mask_K: Any) -> Memory:
        """Keys and values, in float32."""
        tokens, mask = torch.from_numpy(tokens_KC)[None], torch.from_numpy(mask_K)[None]
        return self.expert.remember(tokens.to(self.device), mask.to(self.device))

    @torch.no_grad()
    def sample(self, memory: Memory, moment: Moment) -> Array:
        """Rows."""
        rows: Array = self.run(memory, *on_device(moment, self.device))[0].cpu().numpy()
        return rows

    def run(self, memory: Memory, *moment: Any) -> torch.Tensor:
        """Rows on the device."""
        # Within one of these contexts each weight is narrowed once.
        with torch.autocast(self.device.type, torch.bfloat16):
            return flow(self.expert, self.told, memory, *moment).float()


class Graph(Eager):
    """The same, recorded once and played again."""

    def __init__(self, expert: ActionExpert) -> None:
        super().__init__(expert)
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.no_grad()
    def sample(self, memory: Memory, moment: Moment) -> Array:
        """Rows; what changes is copied to where the graph reads it."""
        inputs = [*memory.keys_LBNKH, *memory.values_LBNKH, memory.mask_BK, memory.present_B]
        inputs += [each for each in on_device(moment, self.device) if each is not None]
        if self._graph is None:
            self._record([each.clone() for each in inputs])
        assert self._graph is not None
        torch._foreach_copy_(self._inputs[:-5], inputs[:-5])
        for kept, each in zip(self._inputs[-5:], inputs[-5:], strict=True):
            kept.copy_(each)
        self._graph.replay()
        rows: Array = self._rows[0].cpu().numpy()
        return rows

    def _record(self, inputs: list[torch.Tensor]) -> None:
        self._inputs = inputs
        count = (len(inputs) - 5) // 2
        memory = Memory(tuple(inputs[:count]), tuple(inputs[count : 2 * count]), inputs[-5], inputs[-4])
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.run(memory, *inputs[-3:], None)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._rows = self.run(memory, *inputs[-3:], None)


def main(config: GpuLatencyConfig) -> None:
    """Measure, print, write."""
    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; for a processor: python -m benchmarks.actor_latency")
    copy_bytes_per_s = _copy_bytes_per_s()
    sizes: list[dict[str, Any]] = []
    for name in config.sizes:
        expert = build(name, config.seed)
        weight_bytes = 2 * sum(weight.numel() for weight in expert.parameters())
        size: dict[str, Any] = {
            "size": name,
            "parameters": weight_bytes // 2,
            "rows": expert.config.horizon,
            "steps": expert.config.num_inference_steps,
            "floor_ms": 1e3 * expert.config.num_inference_steps * weight_bytes / copy_bytes_per_s,
            "engines": {},
        }
        sizes.append(size)
        for engine, make in engines(expert, compiled=config.compiled).items():
            try:
                size["engines"][engine] = measure(make(), expert, config)
            except Exception as error:  # one engine that fails must not cost the others' figures
                size["engines"][engine] = {"failed": f"{type(error).__name__}: {error}"[:600]}
            path = write_report("actor_latency_gpu", _figures(config, sizes, copy_bytes_per_s), config.json)
        Console(width=120).print(_table(size))
        del expert
        gc.collect()
        torch.cuda.empty_cache()
    print(path)


def build(name: Size, seed: int) -> ActionExpert:
    """The shipped actor, or one of random weights in which nothing is zero; on the GPU."""
    if name == "humanoid-table":
        shipped: ActionExpert = FlowActor.from_checkpoint(Checkpoint.open(name)).expert
        return shipped.to("cuda")
    torch.manual_seed(seed)
    expert = ActionExpert(
        FlowActorConfig(**SHAPES[name]), num_actions=28, num_states=28, num_subgoal_tokens=64, subgoal_dim=256
    )
    for parameter in expert.parameters():
        torch.nn.init.normal_(parameter, std=0.5 * parameter.shape[-1] ** -0.5)
    return expert.eval().to("cuda")


def engines(expert: ActionExpert, *, compiled: bool) -> dict[str, Callable[[], Sampler]]:
    """What makes each; the one that compiles comes last."""
    made: dict[str, Callable[[], Sampler]] = {
        "eager, float32": lambda: EagerSampler(expert),
        "eager, bfloat16": lambda: Eager(expert),
        "graph, bfloat16": lambda: Graph(expert),
    }
    return made | ({"compiled, bfloat16": lambda: CompiledSampler(expert, narrow=True)} if compiled else {})


def measure(sampler: Sampler, expert: ActionExpert, config: GpuLatencyConfig) -> dict[str, Any]:
    """Wall times of `sample` and of `remember`; how far the rows are from eager's in float32."""
    rng = np.random.default_rng(config.seed)

    def normal(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    began_s = time.perf_counter()
    difference = measure_parity(sampler, expert).difference
    ready_s = time.perf_counter() - began_s
    tokens_KC, mask_K = normal(*expert.null_subgoal.shape), np.ones(expert.null_subgoal.shape[0], dtype=bool)
    moments = [
        Moment(normal(expert.config.horizon, expert.num_actions), normal(expert.num_states), 0.2) for _ in range(16)
    ]
    memory = sampler.remember(tokens_KC, mask_K)
    times = _times(lambda index: sampler.sample(memory, moments[index % 16]), config.seconds)
    torch.cuda.synchronize()

    def remember(_: int) -> None:
        sampler.remember(tokens_KC, mask_K)
        torch.cuda.synchronize()

    told = _times(remember, min(1.0, config.seconds))
    return {
        "calls": len(times),
        "wall_ms": {f"p{q}": float(np.percentile(times, q)) for q in (10, 50, 99)},
        "remember_subgoal_ms": float(np.median(told)),
        "first_calls_s": ready_s,
        "difference": difference,
    }


def _times(call: Callable[[int], object], seconds: float) -> list[float]:
    """Milliseconds of each call."""
    for index in range(WARM_CALLS):
        call(index)
    times: list[float] = []
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        began_s = time.perf_counter()
        call(len(times))
        times.append(1e3 * (time.perf_counter() - began_s))
    return times


def _copy_bytes_per_s() -> float:
    """Of a large copy, bytes read and bytes written counted together."""
    source = torch.randn(2**29, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    began_s = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    return 10 * 2 * source.numel() * source.element_size() / (time.perf_counter() - began_s)


def _figures(config: GpuLatencyConfig, sizes: list[dict[str, Any]], copy_bytes_per_s: float) -> dict[str, Any]:
    return {
        "config": {"seconds": config.seconds, "seed": config.seed},
        "gpu": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "copy_tb_per_s": copy_bytes_per_s / 1e12,
        "sizes": sizes,
    }


def _table(size: dict[str, Any]) -> Table:
    table = Table(
        title=f"{size['size']}: {size['parameters'] / 1e6:.1f} M, {size['rows']} rows x {size['steps']} steps on "
        f"{torch.cuda.get_device_name()}; floor {size['floor_ms']:.3f} ms"
    )
    table.add_column("engine")
    for column in ("p10 ms", "p50", "p99", "subgoal ms", "first calls s", "differs by"):
        table.add_column(column, justify="right")
    for name, row in size["engines"].items():
        if "failed" in row:
            table.add_row(name, row["failed"][:60])
            continue
        cells = [f"{row['wall_ms'][q]:.3f}" for q in ("p10", "p50", "p99")]
        cells += [f"{row['remember_subgoal_ms']:.3f}", f"{row['first_calls_s']:.1f}", f"{row['difference']:.1g}"]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    main(tyro.cli(GpuLatencyConfig, description=__doc__))
