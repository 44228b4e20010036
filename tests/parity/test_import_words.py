"""The tokenizer of an import: told by a dry run, refused at once where mistyped, looked for here before the hub."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dualsys.app.cli import main
from dualsys.app.importing import words
from dualsys.errors import CheckpointError
from dualsys.planner.tokenization import load_tokenizer, train_tokenizer
from tests.parity.published_folders import WORDS, lerobot_folder, openpi_folder, tokenizer_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return lerobot_folder(tmp_path / "published", "lerobot_pi0")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Names that are looked up, and whether here alone; a hub that has one of them."""
    found: list[tuple[str, bool]] = []

    def load(name: str, *, only_here: bool = False) -> Any:
        found.append((name, only_here))
        if Path(name).is_dir():
            return load_tokenizer(name)
        if only_here or name != "owner/known":
            raise CheckpointError("not here")
        return train_tokenizer(WORDS, vocabulary_size=300)

    monkeypatch.setattr(words, "load_tokenizer", load)
    return found


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_dry_run_tells_which_tokenizer_and_what_to_give_without_asking_a_hub(
    folder: Path, asked: list[tuple[str, bool]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    assert main(["import", str(folder), "--dry-run", "--json", str(report)]) == 0
    told = "nowhere/none: not on this machine; give its folder with --tokenizer FOLDER"
    assert json.loads(report.read_text())["tokenizer"].startswith(told)
    assert "tokenizer" in flat(capsys.readouterr().out)
    tokenizer_folder(folder)
    assert main(["import", str(folder), "--dry-run", "--json", str(report)]) == 0
    count = len(load_tokenizer(folder))
    assert json.loads(report.read_text())["tokenizer"].startswith(f"{folder}: here, {count} words of the model's ")
    assert asked == [("nowhere/none", True), (str(folder), False)]


@pytest.mark.parametrize("wrong", ["{here}/none", "./none/dir", "../none", "none/of/these", "none", "~/none", "none/"])
def test_a_mistyped_folder_is_refused_at_once(
    wrong: str, folder: Path, asked: list[tuple[str, bool]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = wrong.format(here=tmp_path)
    for more in (["--dry-run"], ["--out", str(tmp_path / "ours")]):
        assert main(["import", str(folder), "--tokenizer", name, *more]) == 2
        told = capsys.readouterr().err
        assert f"--tokenizer {name!r}: there is no such folder" in told
        assert told.count("\n") == 1
    assert asked == []


def test_the_last_part_of_a_folder_that_is_there_may_be_mistyped(
    folder: Path, asked: list[tuple[str, bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokenizers").mkdir()
    assert main(["import", str(folder), "--dry-run", "--tokenizer", "tokenizers/paligema"]) == 2
    assert asked == []


def test_a_hub_is_asked_after_what_is_here_and_a_line_says_so(
    folder: Path, asked: list[tuple[str, bool]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ours"
    assert main(["import", str(folder), "--out", str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("tokenizer 'nowhere/none' isn't on this machine: asking the hub")
    assert "get its folder and give it with --tokenizer FOLDER" in lines[1]
    assert not out.exists()
    assert main(["import", str(folder), "--out", str(out), "--tokenizer", "owner/known"]) == 0
    assert asked[-1] == ("owner/known", False)
    assert len(load_tokenizer(out / "tokenizer")) == len(train_tokenizer(WORDS, vocabulary_size=300))


def test_of_a_folder_without_a_tokenizer_its_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "paligemma"}')
    with pytest.raises(CheckpointError) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value) == f"no tokenizer.json, tokenizer_config.json or tokenizer.model in {tmp_path}"


def test_a_name_that_was_never_fetched_is_not_asked_of_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a hub was asked"))
    with pytest.raises(CheckpointError, match="no tokenizer in nowhere/none"):
        load_tokenizer("nowhere/none", only_here=True)


def test_a_robot_that_no_task_has_is_driven_from_a_program(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, tokens = tmp_path / "ours", tokenizer_folder(tmp_path / "words")
    assert main(["import", str(folder), "--out", str(out), "--tokenizer", str(tokens)]) == 0
    told = capsys.readouterr().err
    assert "dualsys eval" not in told
    assert f"with dualsys.Controller.from_checkpoint({str(out)!r}) as controller:" in told


def test_statistics_of_another_robots_are_refused_with_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = openpi_folder(tmp_path / "openpi", "lerobot_pi05")
    told = ["import", str(published), "--dry-run", "--embodiment", "humanoid/touch", "--cameras", "head"]
    assert main(told) == 2
    assert re.search(r"has 8 numbers, the robot has \d+ states\. .*--statistics DATASET", capsys.readouterr().err)
