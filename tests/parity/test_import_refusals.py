"""What is missing from a published folder is what the refusal is about."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dualsys.app.cli import main
from dualsys.app.importing.conversion import Wish, plan_import
from dualsys.app.importing.import_report import summary
from tests.parity.published_folders import groot_folder, lerobot_folder, openpi_folder, raw_weights


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["import", str(folder), "--dry-run", *options]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize("options", [[], ["--tag", "gr1"]])
def test_groot_n1_7_without_its_robots_numbers_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """N1.5's list would call `gr1` 24, which with 32 projectors is another robot's here."""
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    (folder / "embodiment_id.json").unlink()
    assert f"{folder} has no embodiment_id.json" in refused(folder, capsys, *options)


def test_groot_n1_5_without_its_robots_numbers_goes_by_nvidias_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_5")
    (folder / "embodiment_id.json").unlink()
    told = refused(folder, capsys)
    assert "projectors of robot 'gr1' are number 24" in told
    assert "(max_num_embodiments): give the embodiment_id.json" in told


def test_a_robot_that_nobody_names_is_not_the_first_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    (folder / "statistics.json").unlink()
    (folder / "embodiment_id.json").write_text(json.dumps({"gr1": 1, "other": 0}))
    assert "which projectors are those of 'new_embodiment' isn't told" in refused(folder, capsys)
    (folder / "embodiment_id.json").write_text(json.dumps({"gr1": 1}))
    told = refused(folder, capsys)
    assert "(no experiment_cfg/metadata.json, no statistics.json): no statistics" in told


@pytest.mark.parametrize("name", ["lerobot_pi0", "lerobot_smolvla_special"])
def test_a_lerobot_folder_without_config_json_is_told_so(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", name)
    (folder / "config.json").unlink()
    assert f"{folder} has no config.json, which LeRobot's folders have" in refused(folder, capsys)


def test_an_adapter_and_shards_without_their_index_are_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    (folder / "model.safetensors.index.json").unlink()
    assert "has shards (model-00001-of-00002.safetensors, ...) without model.safetensors.index.json" in refused(
        folder, capsys
    )
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    shutil.copy(folder / "model-00001-of-00002.safetensors", adapter / "adapter_model.safetensors")
    told = refused(adapter, capsys)
    assert "is an adapter (adapter_model.safetensors)" in told
    assert "merge it into that first" in told


def test_of_shards_and_a_single_file_the_shards_are_read_and_the_report_says_so(tmp_path: Path) -> None:
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    note = "the files of model.safetensors.index.json are read; model.safetensors beside them isn't"
    assert note not in summary(plan_import(Wish(checkpoint=folder)))["notes"]
    save_file(
        {name: value + 1 for name, value in raw_weights("lerobot_groot_n1_7").items()}, folder / "model.safetensors"
    )
    told = summary(plan_import(Wish(checkpoint=folder)))
    assert note in told["notes"]
    assert "model.safetensors" not in told["files"]
    assert (
        note not in summary(plan_import(Wish(checkpoint=openpi_folder(tmp_path / "openpi", "lerobot_pi05"))))["notes"]
    )


def test_pi0_fast_is_another_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its tensors are pi0's without the expert (LeRobot 0.6.1)."""
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    weights = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in weights.items() if ".paligemma." in name}, folder / "model.safetensors")
    for kind in ("pi0_fast", "pi0"):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "type": kind}))
        assert f"{folder} is pi0-FAST" in refused(folder, capsys)
        assert f"{folder} is pi0-FAST" in refused(folder, capsys, "--layout", "lerobot-pi0")


def test_pi0_of_transformers_own_class_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("model.vlm.language_model.norm.weight", "model.dit.norm.weight", "action_out_proj.bias")
    save_file({name: torch.zeros(2) for name in names}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "pi0"}))
    assert f"{tmp_path} is pi0 as transformers' own class saves it" in refused(tmp_path, capsys)


def test_groot_of_lerobots_is_refused_until_nvidias_files_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "type": "groot"}))
    assert plan_import(Wish(checkpoint=folder))
    (folder / "embodiment_id.json").unlink()
    for options in ([], ["--layout", "groot-n1.7"]):
        assert f"{folder} is a GR00T policy that LeRobot saved" in refused(folder, capsys, *options)
