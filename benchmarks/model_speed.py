"""How long do pi0, pi0.5, SmolVLA and GR00T N1.7 take for a chunk, beside LeRobot on the same weights?

    python -m benchmarks.model_speed --peer-python LEROBOT/bin/python --sizes small medium

LeRobot draws the weights and writes them in its own layout; we load them as a published checkpoint. Both get the same
pictures, words, state and noise, and their rows must agree within 1e-4, so the two times are of the same thing. Blocks
of calls alternate in an order drawn anew each round, and the one that isn't measured waits. A ratio is the median of
the rounds' own, by processor time, which a busy machine changes less than time on the wall.

    sample   the loop on a prefix that is kept
    whole    from pictures and words as tensors to rows; `split`: with the subgoal through bytes between
    bound    the loop's matrix products alone, weights packed

LeRobot runs in an environment of its own; `docs/model-speed.md` says how to make one. Exit status 1 where rows differ,
or where `sample` takes more than 0.7 times LeRobot's at medium size on a processor.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file

from benchmarks.model_speed_bound import bound, gigaflop, products_of
from benchmarks.model_speed_ours import Parts, build
from benchmarks.model_speed_sizes import FAMILIES, Family, Size, inputs_of, spec_of
from benchmarks.report import exit_unless, write_report
from dualsys.bridge.wire import SubgoalCodec

CLAIM = 0.7
"""Of LeRobot's time, for the loop at medium size."""
AGREEMENT = 1e-4
BOUND = "bound"
Block = dict[str, list[float]]
"""`wall_s` and `cpu_s` of each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpeedConfig:
    """Time of a chunk by family and size, beside LeRobot's."""

    peer_python: Path
    """Python in whose environment LeRobot is."""
    sizes: tuple[Size, ...] = ("small", "medium")
    """`full` wants a GPU with 24 GB, or patience."""
    families: tuple[Family, ...] = FAMILIES
    """Which."""
    rounds: int = 7
    """Blocks of the loop."""
    whole_rounds: int = 3
    """Blocks of what is run from pictures to rows; 0: it isn't timed."""
    seconds: float = 1.0
    """Of a block, about."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where both run; in float32."""
    seed: int = 0
    """Of the inputs and of the order of turns."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/model_speed.json`."""


def main(config: ModelSpeedConfig) -> None:
    """Measure, print, write. Exits with 1 where a claim is not kept."""
    torch.set_num_threads(1)
    settings = asdict(config) | {"json": None, "peer_python": None, "threads": 1}
    models: list[dict[str, Any]] = []
    verdict: dict[str, bool] = {}
    for size in config.sizes:
        for family in config.families:
            models.append(_measure(family, size, config))
            verdict = verdict_of(models)
            # After each: a run of all takes long, and what was measured is measured.
            path = write_report("model_speed", {"config": settings, "models": models, "verdict": verdict}, config.json)
    for name, holds in verdict.items():
        print(f"{name}: {'yes' if holds else 'NO'}")
    print(path)
    exit_unless(verdict)


def verdict_of(models: list[dict[str, Any]]) -> dict[str, bool]:
    """Whether both sides give the same rows, and whether ours is fast enough where that is claimed."""
    verdict = {}
    for model in models:
        name = f"{model['family']}, {model['size']}"
        verdict[f"{name}: rows within {AGREEMENT:g}"] = all(gap <= AGREEMENT for gap in model["differences"].values())
        if model["size"] == "medium" and model["device"] == "cpu":
            ratio = model["ratios"]["sample"]["packed"]["cpu"]["median"]
            verdict[f"{name}: sampling within {CLAIM:g} of LeRobot's"] = ratio <= CLAIM
    return verdict


def _measure(family: Family, size: Size, config: ModelSpeedConfig) -> dict[str, Any]:
    spec = spec_of(family, size) | {"device": config.device, "whole": config.whole_rounds > 0}
    inputs = inputs_of(spec, config.seed)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "spec.json").write_text(json.dumps(spec))
        save_file(inputs, folder / "inputs.safetensors")
        with _Peer(config.peer_python, folder) as peer:
            model = build(
                spec, {key: value.to(config.device) for key, value in inputs.items()}, folder / "weights.safetensors"
            )
            (folder / "weights.safetensors").unlink()  # a full-size one is 14 GB
            subgoal = model.plan()
            engines = {
                backend: Parts(model, backend, subgoal)
                for backend in ("eager", "packed" if config.device == "cpu" else "compiled")
            }
            theirs = load_file(folder / "rows.safetensors")
            products = products_of(model.expert, engines["eager"].memory, model.moment)
            fastest = list(engines)[-1]
            report: dict[str, Any] = {
                "family": family,
                "size": size,
                "device": config.device,
                "peer": peer.described,
                "rows": list(theirs["sample"].shape[1:]),
                "steps": spec["steps"],
                "prefix_tokens": len(subgoal.tokens),
                "subgoal_bytes": len(SubgoalCodec().encode(subgoal)),
                "expert_parameters": sum(weight.numel() for weight in model.expert.parameters()),
                "sampling_gigaflop": gigaflop(products),
                "load_average": os.getloadavg()[0],
                "differences": _differences(engines, fastest, theirs),
            }
            sample = {backend: _here(parts.sample, config) for backend, parts in engines.items()}
            sample |= {BOUND: _here(bound(products), config), "LeRobot": peer.ask("sample")}
            whole = {
                fastest: _here(engines[fastest].whole, config),
                f"{fastest}, split": _here(engines[fastest].split, config),
                "LeRobot": peer.ask("whole"),
            }
            times = {"sample": _take_turns(sample, config.rounds, config)}
            if config.whole_rounds:
                times["whole"] = _take_turns(whole, config.whole_rounds, config)
    report["milliseconds"] = {
        part: {who: _figures(rows) for who, rows in found.items()} for part, found in times.items()
    }
    report["ratios"] = {part: _ratios(found) for part, found in times.items()}
    Console().print(_table(report))
    return report


def _differences(engines: dict[str, Parts], fastest: str, theirs: dict[str, torch.Tensor]) -> dict[str, float]:
    """Largest difference of any number from LeRobot's rows."""
    last = engines[fastest]
    rows = {f"{name}, sample": parts.sample() for name, parts in engines.items()}
    if "whole" in theirs:
        rows |= {f"{fastest}, whole": last.whole(), f"{fastest}, split": last.split()}
    expected = {name: theirs["sample" if name.endswith("sample") else "whole"][0].numpy() for name in rows}
    return {name: float(np.abs(found - expected[name]).max()) for name, found in rows.items()}


class _Peer:
    """LeRobot in its own process, which waits while it isn't asked."""

    def __init__(self, python: Path, folder: Path) -> None:
        script = Path(__file__).parent / "model_speed_lerobot.py"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [str(python), str(script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.described = self._answer()

    def __enter__(self) -> "_Peer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def ask(self, part: str) -> Callable[[int], Block]:
        """Something that measures so many calls."""

        def block(calls: int) -> Block:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"part": part, "calls": calls}) + "\n")
            self._process.stdin.flush()
            answer: Block = self._answer()
            return answer

        return block

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"LeRobot's process ended with status {self._process.wait()}; what it said stands above")
        return json.loads(line)


def _here(call: Callable[[], object], config: ModelSpeedConfig) -> Callable[[int], Block]:
    wait: Callable[[], object] = torch.cuda.synchronize if config.device == "cuda" else lambda: None

    def block(calls: int) -> Block:
        found: Block = {"wall_s": [], "cpu_s": []}
        for _ in range(calls):
            wait()
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            call()
            wait()
            found["wall_s"].append(time.perf_counter() - wall_s)
            found["cpu_s"].append(time.process_time() - cpu_s)
        return found

    return block


def _take_turns(
    runners: dict[str, Callable[[int], Block]], rounds: int, config: ModelSpeedConfig
) -> dict[str, list[Block]]:
    """Blocks of each, one a round; a call before the first one isn't counted."""
    rng = np.random.default_rng(config.seed)
    calls = {who: max(1, int(config.seconds / max(run(1)["wall_s"][0], 1e-6))) for who, run in runners.items()}
    blocks: dict[str, list[Block]] = {who: [] for who in runners}
    for _ in range(rounds):
        for who in rng.permutation(list(runners)):
            blocks[who].append(runners[who](min(calls[who], 50)))
    return blocks


def _figures(blocks: list[Block]) -> dict[str, Any]:
    found: dict[str, Any] = {"calls": sum(len(block["wall_s"]) for block in blocks)}
    for kind in ("wall", "cpu"):
        values_ms = 1e3 * np.concatenate([block[f"{kind}_s"] for block in blocks])
        found[kind] = {f"p{q}": round(float(np.percentile(values_ms, q)), 3) for q in (10, 50, 90)}
    return found


def _ratios(found: dict[str, list[Block]]) -> dict[str, Any]:
    """Of LeRobot's time, round by round: a round's is that of the two medians."""
    ratios: dict[str, Any] = {}
    for who, blocks in found.items():
        ratios[who] = {}
        for kind in ("wall", "cpu"):
            of_rounds = [
                float(np.median(ours[f"{kind}_s"]) / np.median(theirs[f"{kind}_s"]))
                for ours, theirs in zip(blocks, found["LeRobot"], strict=True)
            ]
            ratios[who][kind] = {
                "median": round(float(np.median(of_rounds)), 3),
                "from": round(min(of_rounds), 3),
                "to": round(max(of_rounds), 3),
            }
    return ratios


def _table(report: dict[str, Any]) -> Table:
    table = Table(
        title=f"{report['family']}, {report['size']}: {report['expert_parameters'] / 1e6:.1f} M, {report['rows'][0]} "
        f"rows x {report['steps']} steps, prefix {report['prefix_tokens']}, {report['sampling_gigaflop']:.1f} GFLOP; ms"
    )
    for column in ("part", "who", "cpu p50", "wall p50", "of LeRobot's, cpu", "from", "to"):
        table.add_column(column, justify="left" if column in ("part", "who") else "right")
    for part, figures in report["milliseconds"].items():
        for who, row in figures.items():
            ratio = report["ratios"][part][who]["cpu"]
            cells = [f"{row['cpu']['p50']:.1f}", f"{row['wall']['p50']:.1f}"]
            table.add_row(part, who, *cells, *(f"{ratio[key]:.2f}" for key in ("median", "from", "to")))
    table.caption = f"rows differ by {max(report['differences'].values()):.1g} at most"
    return table


if __name__ == "__main__":
    main(tyro.cli(ModelSpeedConfig))
