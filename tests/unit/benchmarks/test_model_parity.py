"""The table of parity fails where a number is off, and where an output or a kind is not known."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.model_parity import BOUND, ModelParityConfig, _compared, main
from tests.parity.pi_fixtures import HERE

NAME = "lerobot_pi05"


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """One fixture under another name, alone in its folder: what it is stands in its JSON alone."""
    folder = tmp_path / "fixtures"
    folder.mkdir()
    for part in ("json", "io.safetensors", "weights.safetensors"):
        shutil.copy(HERE / "fixtures" / f"{NAME}.{part}", folder / f"held_back.{part}")
    return folder


def failure(folder: Path) -> str:
    with pytest.raises(SystemExit) as end:
        main(ModelParityConfig(fixtures=folder, json=folder.parent / "result.json"))
    return str(end.value)


def test_a_fixture_of_any_name_is_compared(
    fixtures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # workers of pytest are told how wide they are
    result = fixtures.parent / "result.json"
    shutil.copy(HERE / "fixtures" / "openpi_pi05.out.safetensors", fixtures)
    main(ModelParityConfig(fixtures=fixtures, json=result))
    told = json.loads(result.read_text())
    assert told["not_read"] == ["openpi_pi05.out.safetensors"], "of no fixture of this folder's"
    rows = told["results"]
    expected = {
        name.removeprefix("out.") for name in load_file(fixtures / "held_back.io.safetensors") if "out." in name
    }
    assert {row["output"] for row in rows if row["held_to"] == "lerobot"} == expected
    assert all(row["share"] <= 1 for row in rows)
    assert "grad_action_in_proj_weight" in capsys.readouterr().out, "names aren't cut in a pipe"
    for row in rows:
        assert row["allowed"] == pytest.approx(row["bound"] * (1 + row["largest"] / 10))
        assert row["within_bound"] == (row["difference"] <= row["bound"])


def test_what_is_beyond_the_bound_as_it_stands_is_told() -> None:
    """2e-5 on a number of 20 is allowed, and said; on one of 2 it is over."""
    told = {"large": torch.tensor([20.0], dtype=torch.float64), "small": torch.tensor([2.0], dtype=torch.float64)}
    rows = list(_compared("made", "peer", {name: value + 2e-5 for name, value in told.items()}, told, BOUND))
    assert [(row.output, row.within_bound, row.holds) for row in rows] == [
        ("large", False, True),
        ("small", False, False),
    ]


def test_what_is_off_or_unknown_fails(fixtures: Path) -> None:
    io_file = fixtures / "held_back.io.safetensors"
    io = load_file(io_file)
    off = io["out.actions"].clone()
    off[0, 0, 0] += 2e-5
    save_file(io | {"out.actions": off}, io_file)
    assert failure(fixtures) == "failed: every output within 1e-5 and 1e-6 a unit of its peer's"
    config = json.loads((fixtures / "held_back.json").read_text())
    (fixtures / "held_back.json").write_text(json.dumps(config | {"policy": "another"}))
    assert "every fixture is of a known kind" in failure(fixtures)


def test_an_output_that_ours_does_not_make_fails(fixtures: Path) -> None:
    io_file = fixtures / "held_back.io.safetensors"
    io = load_file(io_file)
    save_file(io | {"out.surprise": torch.zeros(1)}, io_file)
    assert "every output within 1e-5" in failure(fixtures)
    result = json.loads((fixtures.parent / "result.json").read_text())
    assert [row["output"] for row in result["results"] if row["share"] is None] == ["surprise"]


@pytest.mark.parametrize("broken", ["JSON", "weights", "sizes"])
def test_a_fixture_that_cannot_be_read_is_named_and_the_others_are_compared(fixtures: Path, broken: str) -> None:
    for part in ("json", "io.safetensors", "weights.safetensors"):
        shutil.copy(fixtures / f"held_back.{part}", fixtures / f"another.{part}")
    config = json.loads((fixtures / "another.json").read_text())
    match broken:
        case "JSON":
            (fixtures / "another.json").write_text("{")
        case "weights":
            (fixtures / "another.weights.safetensors").write_bytes(b"none")
        case "sizes":
            (fixtures / "another.json").write_text(json.dumps({key: config[key] for key in ("policy", "chunk")}))
    assert failure(fixtures) == "failed: every fixture is read and run"
    result = json.loads((fixtures.parent / "result.json").read_text())
    assert list(result["not_compared"]) == ["another"]
    assert {row["fixture"] for row in result["results"]} == {"held_back"}
