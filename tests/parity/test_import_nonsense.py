"""What makes no sense in a published folder is said in one line that names its file; nothing ends in a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest

from dualsys.app.cli import main
from dualsys.app.importing.conversion import Wish, find_tokenizer, plan_import
from dualsys.errors import CheckpointError, ConfigError
from dualsys.planner.tokenization import load_tokenizer
from tests.parity.published_folders import lerobot_folder, tokenizer_folder


def rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", "[]"),
        ("tokenizer.json", "{"),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", '{"pad_token": 3}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": 3}'),
    ],
)
def test_a_malformed_tokenizer_is_said_in_a_line_that_names_its_file(
    file: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    tokenizer_folder(folder)
    (folder / file).write_text(text)
    assert main(["import", str(folder), "--out", str(tmp_path / "ours")]) == 2
    told = capsys.readouterr().err
    assert f"{folder / file} is no tokenizer's" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "ours").exists()


def test_code_beside_a_tokenizer_is_refused_without_a_question(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path)
    rewrite(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", None]}, tokenizer_class="Own")
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json is no tokenizer's"):
        load_tokenizer(folder)


def test_as_many_words_as_the_embedding_has_are_taken_whatever_config_says(tmp_path: Path) -> None:
    plan = plan_import(Wish(checkpoint=lerobot_folder(tmp_path / "published", "lerobot_pi0")))
    del plan.modules.planner.architecture["text_config"]["vocab_size"]  # type: ignore[attr-defined]
    few, many = tmp_path / "few", tmp_path / "many"
    assert len(find_tokenizer(plan, str(tokenizer_folder(few)))) <= plan.words
    tokenizer_folder(many, tuple(f"word{number} {number * 977}" for number in range(3000)), vocabulary=plan.words + 9)
    with pytest.raises(ConfigError, match=f"the model {plan.words}: it is another model's"):
        find_tokenizer(plan, str(many))
