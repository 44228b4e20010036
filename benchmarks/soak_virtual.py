"""Hours of virtual time: a point mass, scripted planner and actor, faults at random, all taped and decided again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np

from benchmarks.memory import resident_mb
from benchmarks.point_mass import PlaceActor, PlacePlanner, PointMass, point_mass_embodiment
from benchmarks.soak_faults import RandomFailures, SensorFaults
from benchmarks.tape_judge import TapeJudge
from dualsys.bridge.inline import InlineDriver
from dualsys.bridge.tape_reel import TapeReel
from dualsys.chunk_policies import build_policy
from dualsys.decision import DecisionCore
from dualsys.errors import InvalidObservation
from dualsys.safety import SafetyGate
from dualsys.settings import CoreConfig, SafetyConfig, StalenessConfig, TimingConfig
from dualsys.tape import TapeHead
from dualsys.testing.faults import FaultyActor, FaultyPlanner
from dualsys.testing.limits import check_limits

BLOCK_S = 600.0
"""Virtual time between two looks at memory, limits and tapes."""
_SHORTEST_EPISODE_S = 20.0
_KEPT = 3


@final
class VirtualSoak:
    """One long run. `blocks` yields figures every ten virtual minutes; `report` sums up.

    Args:
        folder: Gets the tape's parts, of which the newest three stay.
        control_hz: Rate of ticks.
        fault_every_s: Mean time between two faults of senses, clock and surroundings; models fail besides.
        part_mb: Size of a tape's part.
        longest_episode_s: Of episodes that last from 20 s to this.
        seed: Of everything.
    """

    def __init__(
        self,
        folder: Path,
        *,
        control_hz: float,
        fault_every_s: float,
        part_mb: float = 16.0,
        longest_episode_s: float = 600.0,
        seed: int = 0,
    ) -> None:
        embodiment = point_mass_embodiment()
        config = CoreConfig(actor_hz=5.0, chunk=StalenessConfig(fresh_s=0.3, usable_s=0.6, expire_s=1.2))
        timing = TimingConfig(planner_hz=2.0, planner_latency_s=0.2, actor_latency_s=0.05, control_hz=control_hz)
        safety, self._dt_s = SafetyConfig(), 1.0 / control_hz
        head = TapeHead(embodiment=embodiment, core=config, safety=safety, control_dt_s=self._dt_s)
        self._reel = TapeReel(folder / "soak.mcap", head, part_bytes=round(part_mb * 2**20), keep=_KEPT)
        self._core = DecisionCore(embodiment, config, build_policy(config.chunk_policy), self._reel)
        self._failures = RandomFailures(seed, 0.1), RandomFailures(seed + 1, 0.1)
        self._driver = InlineDriver(
            FaultyPlanner(PlacePlanner(), self._failures[0]),
            FaultyActor(PlaceActor(embodiment), self._failures[1]),
            self._core,
            SafetyGate(embodiment, self._dt_s, safety),
            timing,
            tape=self._reel,
        )
        self._faults = SensorFaults(seed, fault_every_s)
        self._plant = PointMass(self._dt_s)
        self._rng = np.random.default_rng(seed)
        self._longest_episode_s = longest_episode_s
        self._embodiment = embodiment
        self._commands: list[dict[str, Any]] = []
        self._stopped_until_s = float("inf")
        self.ticks = self.episodes = self.outside = 0
        self._tape: dict[str, Any] = {}

    def blocks(self, hours: float) -> Iterator[dict[str, Any]]:
        """Run; at the end of each block, virtual time and memory."""
        end_s, next_s = 3600.0 * hours, 0.0
        with TapeJudge() as judge:
            while self._plant.time_s + 0.5 * self._dt_s < end_s:
                self._episode(min(end_s, self._plant.time_s + self._draw_episode_s()))
                judge.judge(self._reel.files[:-1])
                if self._plant.time_s >= next_s:
                    yield {"hours": self._plant.time_s / 3600.0, "resident_mb": resident_mb(), "ticks": self.ticks}
                    next_s += BLOCK_S
            self._reel.close()
            judge.judge(self._reel.files)
            judge.finish()
            self._tape = judge.report()

    def report(self) -> dict[str, Any]:
        """What was done, what went wrong on purpose, and what went wrong."""
        status = self._core.status()
        return {
            "hours": self._plant.time_s / 3600.0,
            "ticks": self.ticks,
            "episodes": self.episodes,
            "commands_outside_limits": self.outside,
            "faults": self._faults.counts
            | {"planner_spells": self._failures[0].spells, "actor_spells": self._failures[1].spells},
            "tape": self._tape
            | {
                "parts_on_disk": len(self._reel.files),
                "mb_on_disk": sum(path.stat().st_size for path in self._reel.files) / 2**20,
            },
            "counters": dict(status.counts),
        }

    def _draw_episode_s(self) -> float:
        return float(self._rng.uniform(_SHORTEST_EPISODE_S, self._longest_episode_s))

    def _episode(self, end_s: float) -> None:
        self._driver.reset(self._plant.observe(), seed=self.episodes)
        self.episodes += 1
        while self._plant.time_s + 0.5 * self._dt_s < end_s:
            kind = self._faults.look(self._plant.time_s)
            if kind == "stop":
                self._driver.stop("pressed at random")
                self._stopped_until_s = self._plant.time_s + self._faults.stop_s()
            if self._plant.time_s >= self._stopped_until_s:
                self._stopped_until_s = self._release()
            command = self._driver.step(self._faults.spoil(self._plant.observe()))
            self._commands.append({"target": command.target, "source": command.source})
            self._plant.step(command.target, self._faults.push() if kind == "push" else None)
            self.ticks += 1
        self.outside += check_limits(self._commands, self._embodiment, self._dt_s).outside
        self._commands.clear()

    def _release(self) -> float:
        """End an emergency stop; when to try again, where nobody can tell at present where the mass is."""
        try:
            if self._driver.reset_stop():
                self._commands.append({"kind": "stop_reset", "moved": True})
        except InvalidObservation:
            return self._plant.time_s + 0.1
        return float("inf")
