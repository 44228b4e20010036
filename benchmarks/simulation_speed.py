"""How fast are `humanoid/touch`'s physics and pictures, beside MuJoCo's own renderer with its defaults?

    python -m benchmarks.simulation_speed

CPU milliseconds, all threads of the process counted, so that a busy machine changes little.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mujoco
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_report
from dualsys.sim_envs.humanoid.expert import TableExpert
from dualsys.sim_envs.humanoid.robot import HOME
from dualsys.sim_envs.humanoid.table import HumanoidTable
from dualsys.sim_envs.options import EnvironmentOptions
from dualsys.sim_envs.rendering import Renderer, backend


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSpeedConfig:
    """Cost of physics, resets, the expert and pictures."""

    seed: int = 8000
    """Episode that is looked at."""
    repetitions: int = 100
    """How often each is done."""
    json: Path | None = None
    """File for the result instead of `benchmarks/results/simulation_speed.json`."""


def cpu_ms(work: Callable[[], object], repetitions: int) -> float:
    """CPU time of one call, after one that isn't counted."""
    work()
    started_s = time.process_time()
    for _ in range(repetitions):
        work()
    return 1000 * (time.process_time() - started_s) / repetitions


def main(config: SimulationSpeedConfig) -> None:
    """Print the table and write the JSON."""
    backend()
    environment = HumanoidTable(EnvironmentOptions(images="on-demand"))
    environment.reset(seed=config.seed)
    expert = TableExpert(environment)
    count = config.repetitions
    figures = {
        "step, 10 physics steps": cpu_ms(lambda: environment.step(HOME), count),
        "reset": cpu_ms(lambda: environment.reset(seed=config.seed), count),
        "expert": cpu_ms(expert.act, count),
    }
    data = mujoco.MjData(environment.model)
    data.qpos[:] = environment.physics_state()
    mujoco.mj_forward(environment.model, data)
    for size in (64, 96, 224):
        renderer = Renderer(environment.model, height=size, width=size)
        figures[f"head camera, {size} px"] = cpu_ms(lambda r=renderer: r.render(data, "head"), count)  # type: ignore[misc]
        renderer.close()
    environment.model.vis.quality.shadowsize = 4096
    environment.model.vis.quality.offsamples = 4
    environment.model.light_castshadow[:] = True
    usual = mujoco.Renderer(environment.model, 96, 96)

    def render_as_usual() -> None:
        usual.update_scene(data, "head")
        usual.render()

    figures["head camera, 96 px, mujoco.Renderer as shipped"] = cpu_ms(render_as_usual, max(count // 10, 3))
    usual.close()
    table = Table("what", "CPU ms")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    steps_per_s = 10_000 / figures["step, 10 physics steps"]
    table.add_row("physics steps a second", f"{steps_per_s:.0f}")
    Console().print(table)
    report = {"cpu_ms": figures, "physics_steps_per_s": steps_per_s, "backend": backend()}
    path = write_report("simulation_speed", report, config.json)
    Console().print(f"written to {path}")


if __name__ == "__main__":
    main(tyro.cli(SimulationSpeedConfig))
