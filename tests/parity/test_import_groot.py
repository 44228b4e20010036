"""An imported GR00T treats numbers as its `processor_config.json` says, or it is refused in a line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualsys.actor.dit_config import DiTConfig
from dualsys.app.cli import main
from dualsys.app.importing.conversion import Plan, Wish, plan_import
from dualsys.app.importing.import_report import summary
from dualsys.errors import CheckpointError
from dualsys.planner.feature_config import FeaturePlannerConfig, ImagesConfig
from tests.parity.groot_words import Change, action_of, planned, state_of, told
from tests.parity.published_folders import WIDTH, groot_folder, numbers

NAME = "lerobot_groot_n1_7"
ARM = 6
"""Numbers of the first part, the arm; the rest are the hand's."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return groot_folder(tmp_path_factory.mktemp("groot") / "published", NAME)


def assert_ends(plan: Plan, low: str, high: str) -> None:
    """-1 and 1 are these of the statistics, for states and rows."""
    for statistics, seed in ((plan.statistics.state, 1), (plan.statistics.action, 2)):
        ends = numbers(seed)
        np.testing.assert_allclose(statistics.normalize(ends[low]), -1.0)
        np.testing.assert_allclose(statistics.normalize(ends[high]), 1.0)
        np.testing.assert_allclose(statistics.denormalize(np.ones(len(ends[high]))), ends[high])


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        (lambda words: None, ("q01", "q99")),
        (lambda words: words.update(use_percentiles=False), ("min", "max")),
        # What the processor's class takes by default, not what the model is trained with by default.
        (lambda words: words.pop("use_percentiles"), ("min", "max")),
    ],
)
def test_the_file_says_whether_quantiles_are_the_ends(folder: Path, change: Change, ends: tuple[str, str]) -> None:
    assert_ends(planned(folder, change), *ends)


def test_without_the_file_config_json_says_it_and_else_it_is_as_n1_7_is_trained(tmp_path: Path) -> None:
    folder = groot_folder(tmp_path / "published", NAME)
    (folder / "processor_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "image_target_size": [32, 32], "image_crop_size": [28, 28]})
    )
    assert_ends(plan_import(Wish(checkpoint=folder)), "q01", "q99")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "use_percentiles": False}))
    assert_ends(plan_import(Wish(checkpoint=folder)), "min", "max")


@pytest.mark.parametrize(("quantity", "seed"), [("state", 1), ("action", 2)])
def test_parts_may_be_normalised_by_mean_and_deviation(quantity: str, seed: int, folder: Path) -> None:
    """Of NVIDIA's `normalize_values_meanstd`: nothing is clipped, and what never moved is as it is."""

    def change(words: dict[str, Any]) -> None:
        words["modality_configs"]["gr1"][quantity]["mean_std_embedding_keys"] = ["hand"]

    plan, of = planned(folder, change), numbers(seed)
    statistics = getattr(plan.statistics, quantity)
    values = of["mean"] + 9 * of["std"]
    expected = np.where(np.arange(WIDTH) < ARM, 1.0, 9.0)
    np.testing.assert_allclose(statistics.normalize(values), expected)
    np.testing.assert_allclose(statistics.denormalize(np.full(WIDTH, 9.0))[ARM:], values[ARM:])
    np.testing.assert_allclose(statistics.denormalize(np.full(WIDTH, 9.0))[:ARM], of["q99"][:ARM])
    assert summary(plan)["statistics"][quantity] == "arm quantiles, hand mean-std"


def test_a_part_that_never_moved_is_left_as_it_is_or_is_zero(tmp_path: Path) -> None:
    folder = groot_folder(tmp_path / "published", NAME)
    path = folder / "statistics.json"
    stored = json.loads(path.read_text())
    for part in ("arm", "hand"):
        still = {kind: [100.0 + (kind in ("q99", "max")) * 1e-4] for kind in ("min", "max", "mean", "q01", "q99")}
        for kind, value in {**still, "std": [0.0]}.items():
            stored["gr1"]["state"][part][kind][0] = value[0]
    path.write_text(json.dumps(stored))
    plan = planned(folder, lambda words: state_of(words).update(mean_std_embedding_keys=["hand"]))
    shown = plan.statistics.state.normalize(np.full(WIDTH, 101.0))
    np.testing.assert_allclose(shown[[0, ARM]], [0.0, 101.0], atol=1e-9)


@pytest.mark.parametrize("outliers", [True, False, None])
def test_what_lies_beyond_the_ends_is_clipped_as_nvidia_does(outliers: bool | None, folder: Path) -> None:
    """`StateActionProcessor`: states where `clip_outliers`, true by default, says so; rows on their way back always."""

    def change(words: dict[str, Any]) -> Any:
        return words.pop("clip_outliers") if outliers is None else words.update(clip_outliers=outliers)

    plan, beyond = planned(folder, change), numbers(1)["q99"] + 100.0
    np.testing.assert_array_equal(plan.statistics.state.normalize(beyond) == 1.0, outliers is not False)
    far = np.full(WIDTH, -3.0)
    np.testing.assert_allclose(plan.statistics.action.denormalize(far), numbers(2)["q01"])


def test_n1_5_clips_nothing(tmp_path: Path) -> None:
    plan = plan_import(Wish(checkpoint=groot_folder(tmp_path / "published", "lerobot_groot_n1_5")))
    low, high = numbers(2)["min"], numbers(2)["max"]
    np.testing.assert_allclose(plan.statistics.action.denormalize(np.full(WIDTH, 3.0)), 2 * high - low)


def test_the_report_says_how_it_is_normalised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = folder.parent / "report.json"
    assert main(["import", str(told(folder)), "--dry-run", "--json", str(report)]) == 0
    assert "quantiles" in capsys.readouterr().out
    found = json.loads(report.read_text())["statistics"]
    assert (found["state"], found["action"]) == ("quantiles", "quantiles")


def test_parts_come_in_the_processors_order(folder: Path) -> None:
    plan = planned(folder, lambda words: action_of(words).update(modality_keys=["hand", "arm"]))
    low = numbers(2)["q01"]
    np.testing.assert_allclose(plan.statistics.action.normalize(np.roll(low, 2)), -1.0)
    assert any("action: hand, arm" in note for note in plan.modules.notes)


def test_relative_actions_are_relative_only_where_the_file_says_so(folder: Path) -> None:
    """NVIDIA's `StateActionProcessor` turns nothing back unless `use_relative_action` is set."""

    def unused(words: dict[str, Any]) -> None:
        action_of(words)["action_configs"][0]["rep"] = "RELATIVE"
        words["use_relative_action"] = False

    def silent(words: dict[str, Any]) -> None:
        unused(words)
        del words["use_relative_action"]

    for change in (unused, silent):
        assert not planned(folder, change).statistics.is_relative


def sines(**more: Any) -> Change:
    def change(words: dict[str, Any]) -> None:
        state_of(words)["sin_cos_embedding_keys"] = ["arm"]
        words.update(more)

    return change


def test_sines_are_refused_only_where_they_are_used(folder: Path) -> None:
    assert planned(folder, sines())
    with pytest.raises(CheckpointError, match="angles as sine and cosine"):
        planned(folder, sines(apply_sincos_state_encoding=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda words: words.update(use_percentiles="yes"), "use_percentiles is 'yes'; it should be true or false"),
        (lambda words: words.update(modality_configs=3), "modality_configs is 3; it should be names and values"),
        (lambda words: words.update(exclude_state=True), "exclude_state is true; its model is shown zeros"),
        (lambda words: state_of(words).update(exclude_state=True), "exclude_state is true"),
        (lambda words: words.update(use_mean_std=True), "use_mean_std is true; NVIDIA's code saves it"),
        (lambda words: words.update(use_tactile=True), "use_tactile is true"),
        (
            lambda words: action_of(words)["action_configs"][1].update(type="EEF", format="XYZ_ROT6D"),
            "poses of its end effector (type EEF, format XYZ_ROT6D)",
        ),
        (
            lambda words: action_of(words)["action_configs"][0].update(rep="DELTA"),
            "trained on DELTA actions; only absolute ones",
        ),
    ],
)
def test_words_that_we_cannot_follow_are_refused_in_a_line(
    change: Change, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(told(folder, change)), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def images_of(plan: Plan) -> ImagesConfig:
    assert isinstance(plan.modules.planner, FeaturePlannerConfig)
    return plan.modules.planner.images


AREA: dict[str, Any] = {"resize_first": True, "resample": "area"}
WHOLE: dict[str, Any] = {"crop_fraction": None, "shortest_image_edge": None}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, {"size": 32, "crop": 0.95, **AREA}),
        ({"letter_box_transform": True}, {"size": 32, "crop": 0.95, "letterbox": True, **AREA}),
        ({"shortest_image_edge": 48}, {"size": 48, "crop": 0.95, **AREA}),
        ({"crop_fraction": 1.0}, {"size": 32, "crop": 1.0, **AREA}),
        ({**WHOLE, "image_target_size": [64, 64], "image_crop_size": [48, 48]}, {"size": 64, "crop": 0.75, **AREA}),
        (
            {"use_albumentations": False, "image_target_size": [48, 48], "image_crop_size": [44, 44]},
            {"size": 48, "crop": 44.5 / 48, "resize_first": True},
        ),
    ],
)
def test_pictures_are_shown_as_the_file_says(words: dict[str, Any], expected: dict[str, Any], folder: Path) -> None:
    assert images_of(planned(folder, lambda kwargs: kwargs.update(words))) == ImagesConfig(**expected)


@pytest.mark.parametrize("formalize", [True, False])
def test_words_are_formalized_as_the_file_says(formalize: bool, folder: Path) -> None:
    plan = planned(folder, lambda words: words.update(formalize_language=formalize))
    assert isinstance(plan.modules.planner, FeaturePlannerConfig)
    assert plan.modules.planner.prompt.formalize is formalize


def test_cameras_are_the_files_own(folder: Path) -> None:
    def two(words: dict[str, Any]) -> None:
        words["modality_configs"]["gr1"]["video"]["modality_keys"] = ["wrist", "head"]

    plan = planned(folder, two)
    assert plan.robot.cameras == ("wrist", "head")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"shortest_image_edge": 40}, "pictures of 40 pixels a side would be resized once more .* multiples of 16"),
        ({"shortest_image_edge": "big"}, "shortest_image_edge is 'big'; it should be a number of pixels"),
        ({"crop_fraction": 1.5}, "1.5 of a picture's sides is to be kept"),
        ({**WHOLE, "image_target_size": [32, 48]}, r"image_target_size is \[32, 48\]; only squares"),
        ({"use_albumentations": False, "image_crop_size": [31, 31]}, "image_crop_size 31 can't be cut out"),
        ({"use_albumentations": False, "image_crop_size": None}, "image_crop_size is None; only squares"),
        ({"letter_box_transform": 1}, "letter_box_transform is 1; it should be true or false"),
    ],
)
def test_pictures_that_cannot_be_shown_so_are_refused(words: dict[str, Any], message: str, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        planned(folder, lambda kwargs: kwargs.update(words))


def test_a_chunk_is_of_the_rows_that_the_robot_is_trained_on(folder: Path) -> None:
    def rows(*moments: int) -> Plan:
        return planned(folder, lambda words: action_of(words).update(delta_indices=list(moments)))

    found = [rows(*range(count)).modules.actor for count in (4, 6)]
    assert [(actor.horizon, actor.kept_rows) for actor in found if isinstance(actor, DiTConfig)] == [(6, 4), (6, 0)]
    for moments in (tuple(range(7)), (0, 2, 4)):
        with pytest.raises(CheckpointError, match="only the next ones, 0 to at most 5, can be imported"):
            rows(*moments)


def test_pictures_of_several_moments_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"pictures of 2 moments \(-15, 0\)"):
        planned(folder, lambda words: words["modality_configs"]["gr1"]["video"].update(delta_indices=[-15, 0]))


def test_wide_cameras_keep_their_form_unless_black_bars_make_them_square(folder: Path, tmp_path: Path) -> None:
    spec = planned(folder).robot.embodiment
    wide = spec.model_copy(update={"cameras": (spec.cameras[0].model_copy(update={"height": 480, "width": 640}),)})
    (tmp_path / "robot.json").write_text(wide.model_dump_json())
    wish = Wish(checkpoint=folder, embodiment=str(tmp_path / "robot.json"))
    plan = plan_import(wish)
    assert images_of(plan) == ImagesConfig(size=32, crop=0.95, shape=(32, 48), **AREA)
    assert isinstance(plan.modules.actor, DiTConfig)
    assert plan.modules.actor.num_image_tokens == 2 * 3  # steps of 16 pixels
    told(folder, lambda words: words.update(letter_box_transform=True))
    assert images_of(plan_import(wish)) == ImagesConfig(size=32, crop=0.95, letterbox=True, **AREA)


def test_cameras_of_different_forms_are_refused_where_they_keep_it(folder: Path, tmp_path: Path) -> None:
    def two(words: dict[str, Any]) -> None:
        words["modality_configs"]["gr1"]["video"]["modality_keys"] = ["head", "wrist"]

    spec = planned(folder, two).robot.embodiment
    head, wrist = spec.cameras
    mixed = spec.model_copy(update={"cameras": (head.model_copy(update={"width": 512}), wrist)})
    (tmp_path / "robot.json").write_text(mixed.model_dump_json())
    with pytest.raises(CheckpointError, match="cameras differ: head 256 by 512, wrist 256 by 256; give"):
        plan_import(Wish(checkpoint=folder, embodiment=str(tmp_path / "robot.json")))
