"""What a run shows while it runs: a table on a terminal, a line now and then elsewhere, and a summary at the end."""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dualsys.app.refused_chunks import none_accepted, refused_chunks
from dualsys.bridge.progress import Progress

_LINE_PERIOD_S = 5.0


class LiveTable:
    """Shows progress. A context manager; `show` may be called from any thread.

    Args:
        seconds: Length of the run.
        console: Where to; standard error by default, so that standard output stays the report's.
    """

    def __init__(self, seconds: float, *, console: Console | None = None) -> None:
        self._seconds = seconds
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=4) if self._console.is_terminal else None
        self._next_line_s = 0.0
        self._stage = ("", False)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen."""
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Write a line that stays, above the table."""
        with self._lock:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Show the newest state."""
        with self._lock:
            if self._live is not None:
                self._live.update(progress_table(progress, self._seconds))
            elif progress.seconds >= self._next_line_s or _stage(progress) != self._stage:
                self._next_line_s = progress.seconds + _LINE_PERIOD_S
                self._stage = _stage(progress)
                self._console.print(progress_line(progress), markup=False, highlight=False)


def _stage(progress: Progress) -> tuple[str, bool]:
    """What is told at once when it changes: where a run is, and whether it is stopped."""
    return progress.stage, bool(progress.statuses.get("tick", {}).get("stopped"))


def progress_line(progress: Progress) -> str:
    """Progress in a line."""
    if progress.stage == "starting":
        waiting = f", waiting for {', '.join(progress.waiting)}" if progress.waiting else ""
        return f"{progress.seconds:6.1f} s  starting{waiting}"
    tick = progress.statuses.get("tick", {})
    life = _life(progress)
    return (
        f"{progress.seconds:6.1f} s  tick {tick.get('hz', 0):.1f} Hz, {tick.get('misses', 0)} missed; "
        f"planner {tick.get('planner_hz', 0):.1f} Hz{_after(', ', life)}; actor {tick.get('actor_hz', 0):.1f} Hz; "
        f"{tick.get('successes', 0)}/{tick.get('episodes', 0)} episodes"
        f"{_after('; ', _troubles(progress))}"
    )


def progress_table(progress: Progress, seconds: float) -> Table:
    """Progress as a table: who runs at which rate, how old things are, what was missed and limited."""
    statuses = progress.statuses
    tick, planner, actor = (statuses.get(name, {}) for name in ("tick", "planner", "actor"))
    title = f"{progress.stage} {progress.seconds:.1f} s"
    title += f" (of {seconds:g} s and the start-up)" if progress.stage == "running" else ""
    table = Table(title=title, caption=tick.get("instruction", ""))
    for column in ("", "rate", "count", "age", "notes"):
        table.add_column(column, justify="left" if column in ("", "notes") else "right")
    limited = ", ".join(f"{name} {count}" for name, count in tick.get("limited", {}).items()) or "none"
    table.add_row(
        "tick",
        _hz(tick.get("hz")),
        str(tick.get("count", 0)),
        "",
        f"missed {tick.get('misses', 0)}; limited: {limited}",
    )
    troubles = _troubles(progress)
    if troubles:
        table.add_row("[bold red]stopped[/]" if tick.get("stopped") else "trouble", "", "", "", troubles)
    life = _life(progress)
    faults = planner.get("failures", 0) + planner.get("refused", 0)
    age_s = tick.get("planner_age_s")
    table.add_row(
        "planner",
        _hz(tick.get("planner_hz")),
        str(tick.get("subgoals", planner.get("plans", 0))),
        "" if age_s is None else f"{1e3 * age_s:.0f} ms",
        f"start {planner.get('epoch', 1)}, process {planner.get('pid', '-')}, failed {faults}{_after(', ', life)}",
    )
    latency_s = actor.get("latency_s")
    table.add_row(
        "actor",
        _hz(tick.get("actor_hz")),
        str(tick.get("chunks", actor.get("chunks", 0))),
        "",
        "" if latency_s is None else f"latency {1e3 * latency_s:.0f} ms",
    )
    table.add_row("episodes", "", str(tick.get("episodes", 0)), "", f"succeeded {tick.get('successes', 0)}")
    if progress.waiting:
        table.add_row("waiting for", "", "", "", ", ".join(progress.waiting))
    return table


def _life(progress: Progress) -> str:
    """How the planner is, with the reason where it is not well; empty where nobody keeps it (threads, inline)."""
    planner = progress.statuses.get("supervisor", {}).get("planner")
    if planner is None:
        return ""
    state = str(planner["state"])
    return state if state in ("starting", "ready") or not planner["reason"] else f"{state} ({planner['reason'][:80]})"


def _troubles(progress: Progress) -> str:
    """What isn't as it should be, of what a person would do something about; empty where all is well."""
    tick, actor, supervisor = (progress.statuses.get(name, {}) for name in ("tick", "actor", "supervisor"))
    stopped = ["STOPPED until it is reset"] if tick.get("stopped") else []
    counts = {"recoveries": tick.get("recoveries", 0), **_of_images(actor)}
    return ", ".join(stopped + _counted(counts) + _given_up(supervisor))


def _of_images(actor: Mapping[str, Any]) -> dict[str, int]:
    return {"camera outages": actor.get("outages", 0), "old images": actor.get("old_images", 0)}


def _given_up(supervisor: Mapping[str, Any]) -> list[str]:
    # How the planner is stands beside it, with the reason.
    return [f"{name} given up" for name in supervisor.get("given_up", []) if name != "planner"]


def _counted(counts: Mapping[str, int]) -> list[str]:
    """Those that are not zero."""
    return [f"{name} {count}" for name, count in counts.items() if count]


def _after(separator: str, words: str) -> str:
    return separator + words if words else ""


def print_report(report: dict[str, Any]) -> None:
    """The figures of a run, for people."""
    tick, planner, actor = report["tick"], report["planner"], report["actor"]
    late, age = tick["lateness_us"], planner["age_s"]
    ended = ", interrupted" if report.get("interrupted") else ""
    table = Table(title=f"success {report['successes']}/{report['episodes']}{ended}", show_header=False)
    table.add_row("tick", f"{tick['hz']:.2f} Hz, {tick['count']} ticks, {tick['misses']} missed")
    table.add_row("lateness", " ".join(f"{name} {_number(late[name])}" for name in late) + " us")
    had = report.get("realtime", {})
    if had:
        table.add_row("real time", "; ".join(f"{name} {value}" for name, value in had.items()))
    table.add_row("planner", f"{planner['hz']:.2f} Hz, restarts {planner['restarts']}{_end_of(planner)}")
    table.add_row("subgoal age", " ".join(f"{name} {_number(age[name])}" for name in age) + " s" + _without(report))
    table.add_row("actor", f"{actor['hz']:.2f} Hz")
    table.add_row("limited", ", ".join(f"{name} {count}" for name, count in report["limited"].items()) or "nothing")
    for name, notes in _notes(report).items():
        if notes:
            table.add_row(name, ", ".join(notes))
    console = Console()
    console.print(table)
    if warning := none_accepted(report.get("counters", {})):
        console.print(warning, markup=False, highlight=False, soft_wrap=True)


def _without(report: dict[str, Any]) -> str:
    ticks = report["planner"].get("ticks_without_subgoal", 0)
    return f"; none in {ticks} of {report['tick']['count']} ticks" if ticks else ""


def _notes(report: dict[str, Any]) -> dict[str, list[str]]:
    """Rows for what went otherwise than it should; empty where nothing did."""
    counters, tape = report.get("counters", {}), report.get("tape", {})
    stops = {"stopped": counters.get("stops", 0), "reset": counters.get("stop_resets", 0)}
    attempts = {"failed, then tried again": counters.get("recoveries", 0)}
    attempts["left as they were"] = counters.get("recoveries_given_up", 0)
    losses = {
        "records not written": tape.get("records_not_written", 0),
        "unrecorded": tape.get("unrecorded", 0),
        "bytes lost": tape.get("bytes_lost", 0),
    }
    return {
        "emergency stop": _counted(stops),
        "chunks refused": _counted(refused_chunks(counters)),
        "attempts": _counted(attempts),
        "given up": list(report.get("supervisor", {}).get("given_up", [])),
        "cameras": _counted(_of_images(report.get("processes", {}).get("actor", {}))),
        "not written": list(report.get("not_written", [])),
        "tape": _counted(losses) + (["damaged"] if tape.get("damaged") else []),
    }


def _end_of(planner: dict[str, Any]) -> str:
    """What there is to say of a planner that was not well at the end."""
    life = planner.get("life", {"state": "ready"})
    return "" if life["state"] in ("starting", "ready") else f"; {life['state']} at the end: {life['reason']}"


def _hz(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} Hz"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
