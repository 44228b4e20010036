"""Names of backbones that can't be had: refused at once, without a look at any hub."""

from pathlib import Path

import pytest

from dualsys.app.train_config import TrainConfig
from dualsys.checkpoint import shipped_checkpoints
from dualsys.errors import ConfigError
from dualsys.planner import vlm_planner
from dualsys.planner.backbone_name import require_backbone
from dualsys.planner.config import VLMPlannerConfig
from dualsys.planner.families import FAMILIES, UNSUPPORTED
from dualsys.planner.tiny_architectures import TINY


def test_an_unknown_name_is_refused_with_all_families_and_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"--backbone: unknown family 'nonsense'") as refused:
        TrainConfig(data=(Path("d"),), out=Path("o"), backbone="nonsense")
    assert all(name in str(refused.value) for name in {*FAMILIES, *TINY})
    with pytest.raises(ConfigError, match="Did you mean 'smolvlm'"):
        require_backbone("smolvlm2")


@pytest.mark.parametrize(("name", "meant"), [("SmolVLM", "smolvlm"), ("Qwen3-VL", "qwen3_vl")])
def test_another_spelling_is_told_the_right_one(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: the family is called '{meant}'"):
        require_backbone(name)


@pytest.mark.parametrize("name", [*UNSUPPORTED, "Florence2", "LLaVA-NeXT"])
def test_a_family_that_is_not_supported_says_why(name: str) -> None:
    with pytest.raises(ConfigError, match="is not supported: it") as refused:
        require_backbone(name)
    assert UNSUPPORTED[name.lower().replace("-", "_")] in str(refused.value)


def test_a_controller_is_gone_on_with_by_init() -> None:
    for name in ("humanoid-table", str(shipped_checkpoints()["humanoid-table"])):
        with pytest.raises(ConfigError, match=f"that is a controller; go on with it by --init {name}"):
            require_backbone(name)


def test_families_folders_and_names_of_a_hub_pass(tmp_path: Path) -> None:
    for name in (*TINY, str(tmp_path), "google/paligemma-3b-pt-224"):
        require_backbone(name)
    with pytest.raises(ConfigError, match="could not be loaded: there is no such folder"):
        require_backbone(str(tmp_path / "a"))


def test_a_mistyped_folder_is_not_asked_of_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(ConfigError, match="backbone 'models/smolvm' could not be loaded: there is no such folder"):
        require_backbone("models/smolvm")


def test_no_tokenizer_is_asked_for_before_the_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlm_planner, "load_tokenizer", lambda name: pytest.fail(f"asked for {name}"))
    with pytest.raises(ConfigError, match="unknown family"):
        vlm_planner.VLMPlanner.build(VLMPlannerConfig(backbone="nonsense"))
