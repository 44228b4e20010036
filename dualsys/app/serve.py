"""`dualsys serve`: one planner for many robots, on a Ray cluster."""

import sys
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dualsys.bridge.box_line import NAMESPACE, Unreachable
from dualsys.bridge.fleet_server import FleetConfig
from dualsys.bridge.parts import PartConfig
from dualsys.bridge.placement import placement
from dualsys.bridge.processes import sigterm_as_exit
from dualsys.bridge.ray_cluster import start_ray
from dualsys.bridge.server_line import OwnServer, ServerLine, server_actor_name
from dualsys.checkpoint import Checkpoint, portable_checkpoint
from dualsys.errors import BridgeError, ConfigError
from dualsys.settings import Precision, RestartConfig
from dualsys.stored_kinds import require_kinds

_PERIOD_S = 1.0
_LINE_PERIOD_S = 5.0
_NAME_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """Robots use it with `dualsys run TASK --mode processes --ray-address ADDRESS --planner-server NAME`.

    Whatever observations are new are planned for together; of each robot only the newest waits. Robots join and leave.
    """

    checkpoint: str = "humanoid-table"
    """Shipped name or folder; the robots' actors must take its planner's subgoals."""
    planner: str = ""
    """Registered planner, or `package.module:attribute`, to serve instead of the checkpoint's."""
    name: str = "planner"
    """What robots ask for."""
    planner_precision: Precision = "auto"
    """`original`: bfloat16 where the authors of a planner of the pi family have it; else float32."""
    ray_address: str | None = None
    """Ray cluster to serve on; without it a local one is started, which goes with the server."""
    node: str = ""
    """Where in the cluster the planner goes: a label KEY=VALUE, an address, or the name of a resource; without it
    anywhere."""
    max_batch: int = 4
    """Robots that are planned for at once; 1: one after another."""
    max_robots: int = 64
    """Robots beyond these are refused."""
    hangs_after_s: float = 30.0
    """At one batch, or without an answer, for longer than this it hangs, and is started anew."""
    starts_within_s: float = 300.0
    """The same while it loads."""
    seconds: float | None = None
    """How long; without it until Ctrl-C."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if self.max_batch < 1 or self.max_robots < 1:
            raise ConfigError("--max-batch and --max-robots must be at least 1")
        limits = (self.hangs_after_s, self.starts_within_s, 1.0 if self.seconds is None else self.seconds)
        if not all(limit > 0 for limit in limits):
            raise ConfigError("--hangs-after-s, --starts-within-s and --seconds must be above 0")
        if not self.name:
            raise ConfigError("--name must not be empty: robots ask for it")
        placement(self.node)


def main(config: ServeConfig) -> int:
    """Serve until the time is up or Ctrl-C. Returns the exit status.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        BridgeError: Ray can't be had, the name is taken, or the planner can't be loaded or kept alive.
    """
    served = fleet_config(config)
    with sigterm_as_exit():
        ray = start_ray(config.ray_address, num_cpus=1, without="dualsys run, with a planner of its own,")
        options = {"name": server_actor_name(config.name), "namespace": NAMESPACE, **placement(config.node)}
        source = OwnServer(
            ray,
            served,
            options,
            restart=RestartConfig(),
            hangs_after_s=config.hangs_after_s,
            starts_within_s=config.starts_within_s,
        )
        try:
            _take_name(source)
            _tell(f"serving {config.checkpoint} as {config.name!r}; robots join with:")
            _tell(
                "  dualsys run TASK --mode processes"
                f" --ray-address {ray.get_runtime_context().gcs_address} --planner-server {config.name}"
            )
            _watch(ServerLine(ray, source), config.seconds)
        except KeyboardInterrupt:
            _tell("served until Ctrl-C")
        finally:
            source.end()
            ray.shutdown()
    return 0


def _take_name(source: OwnServer) -> None:
    """Make the server; the name of one that was killed is free soon after. Raises `BridgeError` where it is taken."""
    until_s = monotonic() + _NAME_WITHIN_S
    while True:
        try:
            source.get()
        except BridgeError:
            if monotonic() > until_s:
                raise
            sleep(_PERIOD_S / 2)
        else:
            return


def fleet_config(config: ServeConfig) -> FleetConfig:
    """What is served. Raises `CheckpointError`."""
    checkpoint = Checkpoint.open(config.checkpoint)
    require_kinds(checkpoint, planner=config.planner)
    return FleetConfig(
        planner=PartConfig(
            name=config.planner,
            checkpoint=portable_checkpoint(config.checkpoint),
            precision=config.planner_precision,
        ),
        embodiment=checkpoint.manifest.embodiment,
        max_batch=config.max_batch,
        max_robots=config.max_robots,
    )


def _watch(line: ServerLine, seconds: float | None) -> None:
    """Show how the server is, and have it started anew when it dies or hangs."""
    until_s = float("inf") if seconds is None else monotonic() + seconds
    with ServerTable() as table:
        while monotonic() < until_s:
            try:
                report = line.call("report")
                line.watch(report)
                if report["state"] == "failed":
                    raise BridgeError(f"the planner could not be loaded: {report['problem']}")
                table.show(report)
            except Unreachable as error:
                table.show({"state": str(error), "seats": {}})
            sleep(_PERIOD_S)


@final
class ServerTable:
    """A table on a terminal, a line now and then elsewhere; a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=2) if self._console.is_terminal else None
        self._before: dict[str, int] = {}
        self._shown_s = monotonic()
        self._next_line_s = 0.0
        self._said = ("", False)

    def __enter__(self) -> "ServerTable":
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state on the screen."""
        if self._live is not None:
            self._live.stop()

    def show(self, report: dict[str, Any]) -> None:
        """Show the newest state."""
        now_s, said = monotonic(), (report["state"], bool(report["seats"]))
        if self._live is None and self._said == said and (now_s < self._next_line_s or not report["seats"]):
            return  # that nobody is there is said once
        self._next_line_s, self._said = now_s + _LINE_PERIOD_S, said
        rates = self._rates(report["seats"], max(now_s - self._shown_s, 1e-3))
        self._shown_s = now_s
        if self._live is not None:
            self._live.update(server_table(report, rates))
        else:
            self._console.print(server_line(report, rates), markup=False, highlight=False)

    def _rates(self, seats: dict[str, Any], seconds: float) -> dict[str, float]:
        """Subgoals a second of each robot since the last look."""
        counts = {robot: seat["subgoals"] for robot, seat in seats.items()}
        rates = {robot: max(count - self._before.get(robot, 0), 0) / seconds for robot, count in counts.items()}
        self._before = counts
        return rates


def server_line(report: dict[str, Any], rates: dict[str, float]) -> str:
    """The server in a line."""
    seats = report["seats"]
    if not seats:
        return f"{report['state']}, no robots"
    failed = sum(seat["failures"] + seat["refused"] for seat in seats.values())
    return (
        f"{report['state']} {len(seats)} robots, {sum(rates.values()):.1f} subgoals a second, batches of "
        f"{report['batch']:.1f}, {1e3 * report['plan_s']:.0f} ms each; failed {failed}"
    )


def server_table(report: dict[str, Any], rates: dict[str, float]) -> Table:
    """The server and its robots."""
    table = Table(title=server_line(report, rates))
    for column in ("robot", "subgoals", "rate", "overtaken", "failed", "heard of", "newest problem"):
        table.add_column(column, justify="left" if column in ("robot", "newest problem") else "right")
    for robot, seat in sorted(report["seats"].items()):
        table.add_row(
            robot,
            str(seat["subgoals"]),
            f"{rates[robot]:.1f} Hz",
            str(seat["overtaken"]),
            str(seat["failures"] + seat["refused"]),
            f"{seat['quiet_s']:.1f} s ago",
            seat["problem"][:80],
        )
    return table


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
