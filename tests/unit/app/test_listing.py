import inspect
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dualsys import registry
from dualsys.app import cli, commands, listing
from dualsys.errors import ExtraMissing
from dualsys.sim_envs.perturbations import PRESETS
from dualsys.sim_envs.protocols import protocol_names


def test_it_names_everything_that_others_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert list(rows) == [
        "tasks", "planners", "actors", "chunk_policies", "experts", "robots", "protocols", "perturbations",
        "checkpoints",
    ]  # fmt: skip
    names = {heading: {row["name"] for row in found} for heading, found in rows.items()}
    assert {"humanoid/touch", "dm_control/walker-walk"} <= names["tasks"]
    assert names["planners"] == set(registry.names("planners"))
    assert names["actors"] == set(registry.names("actors"))
    assert names["protocols"] == set(protocol_names())
    assert names["perturbations"] == set(PRESETS)


def test_its_help_names_every_kind_that_it_shows() -> None:
    """Beside shipped checkpoints, in the words of the headings."""
    headings = [heading.replace("_", " ") for heading in listing.collect()]
    told = inspect.cleandoc(listing.ListConfig.__doc__ or "").split("\n\n")[1].replace("\n", " ")
    assert told == f"Those are {', '.join(headings[:-1])} and shipped {headings[-1]}."
    summary = f"{', '.join(headings[:-1])} and {headings[-1]} that are there."
    assert commands.COMMANDS["list"].summary == summary.capitalize()


def test_the_table_holds_the_same_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    printed = capsys.readouterr().out
    for rows in listing.collect().values():
        assert all(row["name"] in printed for row in rows)


def test_a_suite_without_its_extra_is_listed_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> tuple[str, ...]:
        raise ExtraMissing("install it with: pip install 'dualsys[humanoid]'")

    real = registry.load
    broken = SimpleNamespace(tasks=missing)
    monkeypatch.setattr(
        registry,
        "load",
        lambda kind, name: broken if (kind, name) == ("environments", "humanoid") else real(kind, name),
    )
    row = next(row for row in listing.collect()["tasks"] if row["name"] == "humanoid/...")
    assert row["error"] == "install it with: pip install 'dualsys[humanoid]'"


def test_a_third_partys_planner_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "third-3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 3.1\n")
    (info / "entry_points.txt").write_text("[dualsys.planners]\nmine = third_planner:Mine\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    expected = {"name": "mine", "target": "third_planner:Mine", "distribution": "third 3.1"}
    assert expected in listing.collect()["planners"]
