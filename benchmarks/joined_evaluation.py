"""Evaluations of one controller on seeds that follow each other, as one: what was interrupted goes on where it stopped.

    dualsys eval humanoid/sequence --episodes 10 --seed 10000 --json part-0.json   # and so on
    python -m benchmarks.joined_evaluation whole.json part-0.json part-1.json

`benchmarks.paired_success` takes the file.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dualsys.app.evaluation.config import NOT_DECIDING
from dualsys.app.intervals import wilson_interval
from dualsys.errors import ConfigError
from dualsys.files import write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinConfig:
    """Join what `dualsys eval --json` wrote of one task."""

    out: Annotated[Path, tyro.conf.Positional]
    """File for the whole."""
    parts: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Files of the parts, in any order."""
    first: int | None = None
    """Take only so many episodes, from the lowest seed on; None: all."""


def join(reports: list[dict[str, Any]], first: int | None = None) -> dict[str, Any]:
    """One report of all. Raises `ConfigError` where they are of different controllers or tasks, or leave seeds out."""
    reports = sorted(reports, key=lambda report: int(report["config"]["seed"]))
    kinds = {json.dumps(_kind(report), sort_keys=True) for report in reports}
    if len(kinds) != 1:
        raise ConfigError("the parts were not evaluated alike: controller, options and versions must be the same")
    episodes = [episode for report in reports for episode in report["tasks"][0]["per_episode"]][:first]
    seeds = [episode["seed"] for episode in episodes]
    if seeds != list(range(seeds[0], seeds[0] + len(seeds))):
        raise ConfigError(f"the parts' seeds don't follow each other: {seeds}")
    successes, count = sum(episode["success"] for episode in episodes), len(episodes)
    task = {
        "task": reports[0]["tasks"][0]["task"],
        "episodes": count,
        "successes": successes,
        "success": successes / count,
        "ci95": list(wilson_interval(successes, count)),
        "mean_duration_s": sum(episode["duration_s"] for episode in episodes) / count,
        "per_episode": episodes,
    }
    whole = reports[0] | {"tasks": [task], "config": _deciding(reports[0]) | {"episodes": count}}
    whole.pop("timings", None)  # of the first part
    return whole


def _deciding(report: dict[str, Any]) -> dict[str, Any]:
    """Options that decide the result; older files have the others beside them."""
    return {key: value for key, value in report["config"].items() if key not in NOT_DECIDING}


def _kind(report: dict[str, Any]) -> dict[str, Any]:
    config = {key: value for key, value in _deciding(report).items() if key not in ("seed", "episodes")}
    tasks = [task["task"] for task in report["tasks"]]
    return {"config": config, "tasks": tasks, "weights": report["controller_weights"], "versions": report["versions"]}


def main(config: JoinConfig) -> None:
    """Read, join, write."""
    write_json(config.out, join([json.loads(part.read_text()) for part in config.parts], config.first))


if __name__ == "__main__":
    main(tyro.cli(JoinConfig, description=__doc__))
