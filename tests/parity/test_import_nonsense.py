"""What makes no sense in a published folder is said in one line that names its file; nothing ends in a traceback."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dualsys.app.cli import main
from dualsys.app.importing.conversion import Wish, plan_import
from dualsys.app.importing.words import find_tokenizer
from dualsys.errors import CheckpointError, ConfigError
from dualsys.planner.tokenization import load_tokenizer
from tests.parity.published_folders import change_step, groot_folder, lerobot_folder, openpi_folder, tokenizer_folder


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


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["import", str(folder), "--dry-run"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


@pytest.mark.parametrize("value", [-1, 0, 10**9, "x", 2.5, True, float("nan")])
def test_rows_that_no_chunk_has_are_said_in_the_publisher_s_words(
    value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    rewrite(folder / "config.json", chunk_size=value)
    told = refused(folder, capsys)
    assert f"{folder}/config.json: chunk_size is {value!r}, expected " in told
    rewrite(folder / "config.json", chunk_size=1024)
    assert main(["import", str(folder), "--dry-run"]) == 0


def test_a_state_of_a_billion_numbers_is_refused_before_they_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    features = json.loads((folder / "config.json").read_text())["input_features"]
    features["observation.state"]["shape"] = [10**9]
    rewrite(folder / "config.json", input_features=features)
    assert "input_features.observation.state.shape is [1000000000], expected a whole number from 1" in refused(
        folder, capsys
    )


def test_layers_that_no_file_holds_are_refused_before_they_are_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    config = json.loads((folder / "config.json").read_text())
    config["qwen3vl"]["vision_config"]["depth"] = 10**9
    rewrite(folder / "config.json", **config)
    told = refused(folder, capsys)
    assert "qwen3vl.vision_config.depth is 1000000000, expected a whole number from 1 to " in told
    assert "as many tensors as its files hold" in told


@pytest.mark.parametrize(
    ("layout", "name", "field", "value"),
    [
        (lerobot_folder, "lerobot_smolvla_special", "fake_image_token", 10**9),
        (lerobot_folder, "lerobot_smolvla_special", "global_image_token", -1),
        (groot_folder, "lerobot_groot_n1_5", "image_token", 512),
    ],
)
def test_tokens_of_a_picture_that_are_no_words_are_refused(
    layout: Any, name: str, field: str, value: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = layout(tmp_path / "published", name)
    rewrite(folder / "config.json", **{field: value})
    assert f"{value} should be tokens of a picture; the planner's are 0 to 511" in refused(folder, capsys)


def test_what_libraries_say_beside_is_not_told(tmp_path: Path) -> None:
    """In a process of its own: their words go past what a test can catch."""
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    config = json.loads((folder / "config.json").read_text())
    config["qwen3vl"]["vision_config"]["in_channels"] = 0
    config["qwen3vl"]["text_config"]["pad_token_id"] = -1
    rewrite(folder / "config.json", **config)
    command = [sys.executable, "-m", "dualsys", "import", str(folder), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("noise_s", 2.0, "noise_s = 2.0: must be at most 1"),
        ("use_vlln", "x", "use_vlln = 'x': "),
        ("action_horizon", {"a": 1}, "head.action_horizon is {'a': 1}, expected a whole number"),
    ],
)
def test_fields_of_groot_are_called_as_nvidia_calls_them(
    field: str, value: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_5")
    config = json.loads((folder / "config.json").read_text())
    config["head"][field] = value
    rewrite(folder / "config.json", **config)
    told = refused(folder, capsys)
    assert str(folder) in told
    assert message in told


@pytest.mark.parametrize(
    ("step", "settings", "message"),
    [
        ("tokenizer_processor", {"max_length": "x"}, "max_length of tokenizer_processor is 'x', expected a number"),
        ("normalizer_processor", {"eps": -1.0}, "eps of normalizer_processor is -1.0, expected a number from 0"),
        ("normalizer_processor", {"norm_map": [1]}, "how to normalise is [1]"),
        ("normalizer_processor", {"norm_map": {"STATE": "SOMEHOW"}}, "STATE is normalised by SOMEHOW"),
    ],
)
def test_settings_of_processors_that_make_no_sense_name_their_file(
    step: str, settings: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    change_step(folder, step, **settings)
    told = refused(folder, capsys)
    assert str(folder) in told
    assert message in told


def test_what_a_norm_map_leaves_out_goes_through_as_it_is(tmp_path: Path) -> None:
    """As in LeRobot, whose step takes IDENTITY for what its map doesn't name."""
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    change_step(folder, "normalizer_processor", norm_map={"ACTION": "MEAN_STD"})
    plan = plan_import(Wish(checkpoint=folder))
    assert set(plan.statistics.state.std) == {1.0}
    assert set(plan.statistics.action.std) != {1.0}


def test_a_folder_is_planned_in_a_process_that_has_imported_nothing_yet(tmp_path: Path) -> None:
    """Modules are first imported where the default device is the one without numbers."""
    folder = groot_folder(tmp_path / "published", "lerobot_groot_n1_7")
    command = [sys.executable, "-m", "dualsys", "import", str(folder), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


LAYOUTS: dict[str, Any] = {
    "lerobot-pi0": (lerobot_folder, "lerobot_pi0"),
    "lerobot-pi05": (lerobot_folder, "lerobot_pi05"),
    "openpi-pi05": (openpi_folder, "lerobot_pi05"),
    "lerobot-smolvla": (lerobot_folder, "lerobot_smolvla_special"),
    "groot-n1.5": (groot_folder, "lerobot_groot_n1_5"),
    "groot-n1.7": (groot_folder, "lerobot_groot_n1_7"),
}
NONSENSE: tuple[Any, ...] = (None, "x", -1, 0, [], {}, 1e9, 10**30, True, [1], {"a": 1}, float("nan"))
DEPTH = 4


def places(value: Any, depth: int = DEPTH) -> Iterator[tuple[Any, ...]]:
    """Of everything in a JSON document: itself, its values, theirs."""
    yield ()
    if depth:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        yield from ((key, *rest) for key, below in inner for rest in places(below, depth - 1))


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = document.copy()
    copy[place[0]] = replaced(document[place[0]], place[1:], value)
    return copy


@pytest.fixture(scope="module", params=list(LAYOUTS))
def documents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Any]:
    build, name = LAYOUTS[request.param]
    folder = build(tmp_path_factory.mktemp("layout") / "published", name)
    return {path: json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))}


def said(folder: Path) -> tuple[int, str]:
    told = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(told):
        return main(["import", str(folder), "--dry-run"]), told.getvalue()


@settings(derandomize=True, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@example(file=0, place=0, value=None)
@given(file=st.integers(0, 5), place=st.integers(0, 10**4), value=st.sampled_from(NONSENSE))
def test_whatever_stands_in_a_folder_is_taken_or_refused_in_a_line(
    documents: dict[Path, Any], file: int, place: int, value: Any
) -> None:
    """A sample; the whole sweep, every place and every value, takes minutes."""
    path = list(documents)[file % len(documents)]
    there, folder = list(places(documents[path])), next(path.parent for path in documents if path.name == "config.json")
    path.write_text(json.dumps(replaced(documents[path], there[place % len(there)], value)))
    try:
        status, told = said(folder)
    finally:
        path.write_text(json.dumps(documents[path]))
    assert (status, told.count("\n")) in ((0, 0), (2, 1)), told
    assert status == 0 or str(folder) in told


@pytest.mark.parametrize(
    ("name", "value"), [("input_features", [1]), ("chunk_size", "x"), ("vision", {"a": 1}), ("vlm", {}), ("vocab", -1)]
)
def test_values_that_make_no_sense_are_said_in_a_line(
    name: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lerobot_folder(tmp_path / "published", "lerobot_pi0")
    rewrite(folder / "config.json", **{name: value})
    refused(folder, capsys)
